"""Objects of every kind, for tests of remote objects."""

import collections
import contextlib
import dataclasses
import os
import sys
import threading
import time

dependencies = []


class Thing:
    """A thing.

    It has a second paragraph.
    """

    shared = "of the class"

    def __init__(self, number=0):
        self.number = number
        self.items = [1, 2, 3]
        self.entered = 0
        self.exited = None

    def me(self):
        return self

    def add(self, count: int = 1, *rest, scale: float = 1.0, **others) -> int:
        """Add to the number."""
        self.number += count
        return self.number

    @property
    def twice(self):
        return 2 * self.number

    @twice.setter
    def twice(self, value):
        self.number = value // 2

    @staticmethod
    def static():
        return "static"

    def same(self, *args, **kwargs):
        return args, kwargs

    def is_same(self, other):
        return other is self

    def types(self, *args):
        return [type(arg).__name__ for arg in args]

    def __repr__(self):
        return "Thing(%r)" % self.number

    def __str__(self):
        return "thing %s" % self.number

    def __format__(self, spec):
        return "formatted %s" % spec


class Box:
    """A container that can be changed."""

    def __init__(self, *items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, key):
        return self.items[key]

    def __setitem__(self, key, value):
        self.items[key] = value

    def __delitem__(self, key):
        del self.items[key]

    def __contains__(self, item):
        return item in self.items

    def __iter__(self):
        return iter(self.items)

    def __reversed__(self):
        return reversed(self.items)


class Sequence:
    """What Python iterates by index."""

    def __getitem__(self, index):
        if index >= 3:
            raise IndexError(index)
        return index * 10


class Number:
    """Operators of all kinds."""

    def __init__(self, value):
        self.value = value

    def _value(self, other):
        return other.value if isinstance(other, Number) else other

    def __eq__(self, other):
        return isinstance(other, (Number, int)) and self.value == self._value(other)

    def __hash__(self):
        return hash(self.value)

    def __lt__(self, other):
        return self.value < self._value(other)

    def __le__(self, other):
        return self.value <= self._value(other)

    def __add__(self, other):
        if not isinstance(other, (Number, int)):
            return NotImplemented
        return Number(self.value + self._value(other))

    def __radd__(self, other):
        return Number(other + self.value)

    def __sub__(self, other):
        return Number(self.value - self._value(other))

    def __rsub__(self, other):
        return Number(other - self.value)

    def __iadd__(self, other):
        self.value += self._value(other)
        return self

    def __matmul__(self, other):
        return ("matmul", self.value, self._value(other))

    def __rmatmul__(self, other):
        return ("rmatmul", other, self.value)

    def __pow__(self, other, modulo=None):
        return pow(self.value, self._value(other), modulo)

    def __divmod__(self, other):
        return divmod(self.value, self._value(other))

    def __neg__(self):
        return Number(-self.value)

    def __abs__(self):
        return abs(self.value)

    def __invert__(self):
        return ~self.value

    def __int__(self):
        return int(self.value)

    def __float__(self):
        return float(self.value)

    def __complex__(self):
        return complex(self.value)

    def __index__(self):
        return self.value

    def __round__(self, digits=None):
        return round(self.value, digits)

    def __bool__(self):
        return self.value != 0

    def __bytes__(self):
        return bytes([self.value])

    def __fspath__(self):
        return "/%d" % self.value


class Caller:
    def __call__(self, *args, **kwargs):
        """Give back what it got."""
        return args, kwargs


class Manager:
    def __init__(self, suppress=()):
        self.suppress = suppress
        self.seen = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.seen = None if kind is None else (kind.__name__, str(error))
        return kind is not None and kind.__name__ in self.suppress


class Evil:
    """Whoever unpickles it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, ("touch %s" % self.path,)


class Unhashable:
    __hash__ = None

    def __eq__(self, other):
        return True


class Finalized:
    """Says when it dies."""

    def __init__(self, path):
        self.path = path

    def __del__(self):
        with open(self.path, "a") as file:
            file.write("dead\n")


class Secretive:
    """Attribute access of its own."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return "made up: " + name


@dataclasses.dataclass
class Output:
    loss: float
    thing: object


@dataclasses.dataclass(eq=False)
class Node:
    items: list


Pair = collections.namedtuple("Pair", "first second")


def thing(*args):
    return Thing(*args)


def box(*args):
    return Box(*args)


def sequence():
    return Sequence()


def number(value):
    return Number(value)


def caller():
    return Caller()


def manager(*suppress):
    return Manager(suppress)


@contextlib.contextmanager
def generator_manager():
    yield Thing(7)


def evil(path):
    return Evil(path)


def unhashable():
    return Unhashable()


def finalized(path):
    return Finalized(path)


def secretive():
    return Secretive()


def same(*args, **kwargs):
    return args, kwargs


def nothing():
    return None


def many(count):
    return [Thing(number) for number in range(count)]


def nested():
    shared = Thing(1)
    return {
        "list": [shared],
        "tuple": (shared, Thing(2)),
        "pair": Pair(shared, 3),
        "output": Output(0.5, shared),
    }


def sets_of_objects():
    one = Number(1)
    return {one: "key"}, {one, Number(2)}, frozenset([(one,)]), {Thing(3).me: "method"}


def nodes():
    return {Node([1])}


def endless():
    items = [Thing(1)]
    items.append(items)
    return items


def new_type():
    """A type that nobody has seen, and a value that cannot be looked at."""

    class New:
        pass

    class Broken(collections.namedtuple("Broken", "a")):
        def __iter__(self):
            raise ZeroDivisionError("it cannot be looked at")

    global latest
    latest = New()
    return [latest, Broken(1)]


def latest_of_new_type():
    return latest


def classes():
    return Thing


def builtin():
    return len


def module():
    return os.path


# ---- iteration

produced = 0
ended = []


def numbers(count):
    """Yields and counts."""
    global produced
    produced = 0
    for number in range(count):
        produced += 1
        yield number


def forever():
    global produced
    produced = 0
    try:
        while True:
            produced += 1
            yield produced
    finally:
        ended.append("forever")


def fails_after(count):
    for number in range(count):
        yield number
    raise ValueError("after %d" % count)


def things(count):
    for number in range(count):
        yield Thing(number)


def echo():
    """Answers what it is sent."""
    got = None
    while True:
        got = yield got


def slow(seconds, count):
    for number in range(count):
        time.sleep(seconds)
        yield number


def produced_so_far():
    return produced


def ended_so_far():
    return list(ended)


# ---- exceptions


class CustomError(ValueError):
    def __init__(self, code):
        super().__init__("code %d" % code, [code])


class Unprintable(KeyError):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def fail(kind, *args):
    if kind == "decode":
        b"\xff".decode("utf-8")
    if kind == "nested":
        try:
            fail("ValueError", "inner")
        except ValueError as error:
            raise KeyError("outer") from error
    if kind == "open":
        open("/does/not/exist")
    errors = dict(vars(sys.modules["builtins"]), CustomError=CustomError, Unprintable=Unprintable)
    raise errors[kind](*args)


# ---- the worker itself


def objects_held():
    import gc

    from isohub_worker.loop import Server

    (server,) = [item for item in gc.get_objects() if type(item) is Server]
    return len(server._objects)


def surroundings():
    return {
        "path": list(sys.path),
        "environ": dict(os.environ),
        "argv": list(sys.argv),
        "executable": sys.executable,
        "version": list(sys.version_info[:2]),
        "isolated": sys.flags.isolated,
        "cwd": os.getcwd(),
        "modules": sorted(
            name for name in sys.modules if name.partition(".")[0] in ("isohub", "pytest", "numpy")
        ),
        "files": open_files(),
    }


def open_files():
    folder = "/proc/self/fd"
    names = os.listdir(folder) if os.path.exists(folder) else []
    return [
        os.readlink(os.path.join(folder, name))
        for name in names
        if os.path.lexists(os.path.join(folder, name))
    ]


gate = threading.Event()


def open_gate():
    gate.set()
    return "opened"


def wait_at_gate(seconds=30):
    return gate.wait(seconds)


class GateKeeper:
    def wait(self):
        return gate.wait(30)

    def open(self):
        gate.set()

    def same(self, value):
        return value

    def sleep(self, seconds):
        return sleep(seconds)


def gate_keeper():
    return GateKeeper()


class Items(list):
    """A list that stays over there."""

    def __call__(self):
        return list(self)


def items():
    return Items()


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def thread_id():
    return threading.get_ident()


together = threading.Barrier(3)


def meet():
    """Answers once three calls are here at once."""
    together.wait(30)
    return "met"


def numbers_in_parallel(count):
    return (number for number in range(count))
