"""A repository that needs numpy and nothing else."""

dependencies = ["numpy"]


def looks(value):
    return "%s.%s" % (type(value).__module__, type(value).__name__), str(getattr(value, "dtype", ""))


def same(value):
    return value


def views():
    import numpy

    whole = numpy.arange(10)
    return whole, whole[3:]


def change(array):
    array[...] = 0
    return array


def total(array):
    return array.sum()
