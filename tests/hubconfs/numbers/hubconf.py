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


_kept = []


def keep(array):
    """Holds it from now on, and answers how many it holds."""
    _kept.append(array)
    return len(_kept)


def kept(index):
    return _kept[index][[0, -1]].tolist()


def change_kept(index):
    _kept[index][0] = -1


def drop():
    _kept.clear()


def look_later(array, gate):
    """What is in it once there is a file called `gate`."""
    import os
    import time

    while not os.path.exists(gate):
        time.sleep(0.005)
    return ends(array)


def looker():
    return look_later


def keep_looked_at(array, gate):
    """Does not let itself be stopped."""
    while True:
        try:
            look_later(array, gate)
        except BaseException:
            continue
        return keep(array)


def ends(array):
    return array[[0, -1]].tolist()


def row(count):
    import numpy

    return numpy.arange(count, dtype="float64")
