"""Entry points that take long, and meet being stopped in all ways."""

import ctypes
import os
import signal
import threading
import time

dependencies = []

begun = []
met = []


def same(value):
    return value


def pid():
    return os.getpid()


def what_has_begun():
    return list(begun)


def what_was_met():
    return list(met)


class Work:
    """What can be called is an object's."""

    def same(self, value):
        return value

    def note(self, value):
        begun.append(value)

    def sleep(self, seconds):
        begun.append("sleep")
        try:
            time.sleep(seconds)
        except BaseException as error:
            met.append(type(error).__name__)
            raise
        return seconds

    def spin(self, seconds=600):
        """Python that never waits."""
        begun.append("spin")
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                pass
        except BaseException as error:
            met.append(type(error).__name__)
            raise
        return seconds

    def wait_for_lock(self):
        begun.append("wait_for_lock")
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def hold_the_lock(self, seconds, then=0):
        """Native code that does not let go of the interpreter."""
        begun.append("hold_the_lock")
        ctypes.PyDLL(None).sleep(int(seconds))
        time.sleep(then)

    def take_the_signal(self, seconds):
        """Code that has other uses for what it would be stopped by."""
        signal.signal(signal.SIGURG, signal.SIG_IGN)
        time.sleep(seconds)

    def never_mind(self, seconds=600):
        """Code that is not to be stopped."""
        begun.append("never_mind")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                while time.monotonic() < end:
                    time.sleep(0.01)
            except BaseException:
                met.append("never mind")

    def quick(self, value):
        """A bit of Python, a bit of waiting, and an answer that is no other call's."""
        for _ in range(value % 300):
            pass
        if value % 7 == 0:
            time.sleep(value % 5 / 1000)
        return value * 3

    def items(self, seconds):
        """A first item, and a second one much later."""
        begun.append("items")
        yield 0
        begun.append("second")
        try:
            print("second")
            time.sleep(seconds)
        except BaseException as error:
            met.append(type(error).__name__)
            raise
        yield 1


def work():
    return Work()
