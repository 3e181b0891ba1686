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


def memory_files():
    """The shared memory, as file descriptors of this process."""
    import os

    links = {number: os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")}
    return [int(number) for number, link in links.items() if _is_memory(link)]


def _is_memory(link):
    import os

    try:
        return "memfd:isohub" in os.readlink(link)
    except OSError:
        return False


def cut_memory():
    """Try to make the shared memory shorter under the host's eyes; what came of it."""
    import os

    refusals = []
    for fd in memory_files():
        for size in (0, 1 << 30):
            try:
                os.ftruncate(fd, size)
            except OSError as error:
                refusals.append(error.strerror)
    return refusals


def close_memory():
    """Close the files of the shared memory and have others take their numbers; answers how many bytes get into those."""
    import os
    import tempfile

    numbers = memory_files()
    for number in numbers:
        other = tempfile.TemporaryFile()
        os.dup2(other.fileno(), number)
    _kept.extend(numbers)
    return len(numbers)


def written_elsewhere():
    import os

    return sum(os.fstat(number).st_size for number in _kept)


def allow_no_more(spare):
    """Let this process have so many bytes of address space more, or all again."""
    import resource

    size = resource.RLIM_INFINITY
    if spare is not None:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
