"""Stopping what the host does not wait for any more.

The host names calls and streams on the control channel, since the thread that reads the others' socket may be the one that is to
be stopped. A line is the number of the oldest call that the host has no answer of, and the numbers of what is to be stopped.

What runs is stopped by an exception in its thread. It must not hit anything else: what that thread does next belongs to another
call. So there is a mark on each call that is to be stopped, and a thread can be interrupted between `begin` and `end` only, by
the mark on the call that it says it does, once. What is marked before it begins raises as it begins. Marks are put up before
anybody looks what runs, and a thread says what it does before it looks for marks, so one of the two sees the other.
"""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from signal import SIGURG, pthread_kill, signal
from threading import Lock, Thread, get_ident
from typing import AbstractSet, Any, Callable

__all__ = ["Cancelled", "Cancels", "MainThread", "PoolThreads"]

# The marks on streams that are kept. They are needed for the moment until the host's word arrives that a stream is closed.
_STREAMS = 1000


class Cancelled(BaseException):
    """The host does not wait for this call any more."""


class MainThread:
    """Calls that the main thread does. A signal gets it out of what the system does for it, too.

    The handler runs in the thread itself, and so sees what it does. SIGURG is one that nobody uses and that does nothing where it
    is not handled.

    Attributes:
        marked: the numbers of calls and streams that are to be stopped.
    """

    def __init__(self) -> None:
        self.marked: AbstractSet[int] = frozenset()
        self._running = 0
        self._thread = get_ident()
        signal(SIGURG, self._interrupt)

    def begin(self, call: int) -> None:
        """From here on this thread does `call`.

        Raises:
            Cancelled: it is not to do that.
        """
        self._running = call
        if call in self.marked:
            raise Cancelled

    def end(self) -> None:
        """From here on this thread is not interrupted."""
        self._running = 0

    def runs(self, call: int) -> bool:
        """Whether `call` runs."""
        return self._running == call

    def interrupt(self, call: int) -> None:
        """Raise Cancelled in what runs, if that is `call`, which is marked."""
        pthread_kill(self._thread, SIGURG)

    def _interrupt(self, number: int, frame: Any) -> None:
        if self._running in self.marked:
            self._running = 0
            raise Cancelled


class PoolThreads:
    """Calls that several threads do. They can be interrupted in Python code only, not in what the system does for them.

    Attributes:
        marked: the numbers of calls and streams that are to be stopped.
    """

    def __init__(self) -> None:
        self.marked: AbstractSet[int] = frozenset()
        self._running: dict[int, int] = {}
        self._lock = Lock()

    def begin(self, call: int) -> None:
        """From here on this thread does `call`.

        Raises:
            Cancelled: it is not to do that.
        """
        self._running[get_ident()] = call
        if call in self.marked:
            raise Cancelled

    def end(self) -> None:
        """From here on this thread is not interrupted. It may still be while it says so; then it has to be said again."""
        thread = get_ident()
        with self._lock:
            if self._running.pop(thread, 0) in self.marked:
                # What was to be raised and has not been would hit what comes next.
                _raise_in(thread, None)

    def runs(self, call: int) -> bool:
        """Whether `call` runs."""
        return call in self._running.copy().values()

    def interrupt(self, call: int) -> None:
        """Raise Cancelled in the thread that runs `call`, which is marked, if one does."""
        with self._lock:
            for thread, running in self._running.copy().items():
                if running == call:
                    _raise_in(thread, Cancelled)


class Cancels:
    """Does what the host says on the control channel.

    Args:
        running: what runs.
        not_running: called with the number of each call that is to be stopped and does not run.
    """

    def __init__(self, running: MainThread | PoolThreads, not_running: Callable[[int], None]) -> None:
        self._running = running
        self._not_running = not_running
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._streams: deque[int] = deque(maxlen=_STREAMS)
        self._thread: Thread | None = None

    def heed(self, line: bytes) -> None:
        """Do it, in a thread of its own: sending may have to wait, and the one that calls this must not. One thread calls it."""
        self._lines.put(line)
        if self._thread is None:
            self._thread = Thread(target=self._run, name="isohub-cancels", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            oldest, *numbers = map(int, self._lines.get().split())
            former = self._running.marked
            self._streams.extend(number for number in numbers if number < 0)
            self._running.marked = {
                *(number for number in former if number >= oldest),
                *(number for number in numbers if number > 0),
                *self._streams,
            }
            for number in numbers:
                if not self._running.runs(number):
                    self._not_running(number)
                elif number not in former:
                    self._running.interrupt(number)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have `error` raised in a thread when it next does something in Python; None takes that back."""
    import ctypes

    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
