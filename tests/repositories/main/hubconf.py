dependencies = ["numpy", "PIL"]

import os
import platform
import sys
import time
from collections import namedtuple
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import models
import numpy

Box = namedtuple("Box", "left top")


@dataclass
class Score:
    label: str
    value: float


class Colour(Enum):
    RED = "red"


class Refused(KeyError):
    pass


class Trap:
    """Whoever unpickles it runs a command of its choice."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, ("touch " + self.path,)

    def __reduce_ex__(self, protocol):
        return self.__reduce__()

    def touched(self):
        return Path(self.path).exists()


def net(scale=1.0):
    """A net of this branch.

    It multiplies.
    """
    return models.Net(scale)


def net_and_friends():
    return models.Net(1.0), double, models.Net, Trap("/nowhere")


def double(value):
    """Twice the value, or what is twice that of a net."""
    return models.Net(value.scale * 2) if isinstance(value, models.Net) else value * 2


def same(value):
    return value


def looks(value):
    return type(value).__name__, repr(value)


def outputs():
    return Box(1, 2.5), Score("cat", 0.5), Colour.RED


def called_with(*args, **kwargs):
    return args, kwargs


_produced = []


def count(limit):
    for number in range(limit):
        _produced.append(number)
        yield number
    raise LookupError(f"there are no more than {limit}")


def produced():
    return len(_produced)


def refuse(kind, *args):
    raise {"value": ValueError, "own": Refused, "stop": StopIteration, "exit": SystemExit}[kind](*args)


def talk(lines):
    for number in range(lines):
        print("line", number)
    print("to stderr", file=sys.stderr)
    os.write(1, b"past Python, and without an end")
    return lines


def sleep(seconds):
    time.sleep(seconds)


def die(how):
    print("last words")
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), 9)


def trap(path):
    return Trap(path)


def place():
    return {
        "path": sys.path,
        "environ": dict(os.environ),
        "argv": sys.argv,
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "models": models.__file__,
        "modules": sorted(sys.modules),
    }
