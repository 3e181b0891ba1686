"""Entry points whose answers can be checked, and some that go wrong on command."""

import gc
import os
import time

import numpy

dependencies = ["numpy"]


class Things:
    """What the load calls."""

    def pid(self):
        return os.getpid()

    def add(self, a, b):
        return a + b

    def double(self, array):
        return array * 2

    def total(self, array):
        return float(array.sum())

    def counter(self):
        return Counter()

    def numbers(self, count):
        yield from range(count)

    def rows(self, count, length):
        for number in range(count):
            yield numpy.full(length, number)

    def fail(self, text):
        raise ValueError(text)

    def sleep(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        return seconds


class Counter:
    """An object that remembers."""

    def __init__(self):
        self.value = 0

    def add(self, number):
        self.value += number
        return self.value


def things():
    return Things()


def leave(status):
    os._exit(status)


def say_nonsense(size):
    """Put so many bytes into the socket by which answers leave."""
    import zmq

    for thing in gc.get_objects():
        if isinstance(thing, zmq.Socket) and not thing.closed and thing.type == zmq.PUSH:
            thing.send(b"\xc3" * size)


def close_files():
    os.closerange(3, 1000)
    time.sleep(60)


def print_much(size):
    piece = b"x" * 1023 + b"\n"
    for _ in range(size // len(piece)):
        os.write(1, piece)
    return size


def take(size):
    """More memory than there may be."""
    return len(bytearray(size))


def die_of_memory(size):
    """The same, from code that does not ask."""
    kept = []
    while True:
        kept.append(numpy.ones(size // 80))
