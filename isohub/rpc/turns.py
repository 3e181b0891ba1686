"""Of the threads that wait for answers one reads for all. No I/O.

The answer of the one that reads reaches it without waking anybody; the answers of the others wake them; and when it leaves, it
wakes one of those to go on reading.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

__all__ = ["Awaited", "Turns"]


class Awaited(Protocol):
    """What a thread can wait for: something that becomes ready when somebody reads."""

    @property
    def ready(self) -> bool: ...


class _Nothing:
    ready = False


# For who wants a turn, and waits for nothing in particular.
_NOTHING = _Nothing()


class Turns:
    """Who reads. As a context manager: nobody but this thread, which waits for its turn.

    Args:
        read: takes in one message, which may make something ready; False if the deadline came first. One thread at a time
            calls it.
    """

    def __init__(self, read: Callable[[float | None], bool]) -> None:
        self._read = read
        # A lock that knows its owner from the instant that it is taken: whatever interrupts the owner, a signal or a finalizer
        # of somebody's, finds the two in agreement.
        self._reading: dict[str, int] = {}
        self._parked: dict[threading.Lock, Awaited] = {}

    @property
    def mine(self) -> bool:
        """Whether this thread is the one that reads."""
        return self._reading.get("by") == threading.get_ident()

    def wait(self, awaited: Awaited, deadline: float | None) -> bool:
        """Until `awaited` is ready; False if the deadline came first."""
        me = threading.get_ident()
        reading = self._reading
        try:
            while not awaited.ready:
                mine = reading.setdefault("by", me) == me
                if not (self._read(deadline) if mine else self._park(awaited, deadline)):
                    return awaited.ready
            return True
        finally:
            if reading.get("by") == me:
                reading.clear()
            # The one that leaves may be the one that read, or the one that was woken to.
            if self._parked and not reading:
                self._wake_one()

    def arrived(self, awaited: Awaited) -> None:
        """`awaited` is ready: wake whoever waits for it."""
        if not self._parked:
            return
        # A copy, which is made in one go: others park meanwhile.
        for alarm, waited_for in self._parked.copy().items():
            if waited_for is awaited and self._parked.pop(alarm, None) is not None:
                alarm.release()

    def wake_all(self) -> None:
        """Everything is ready."""
        while self._parked:
            self._wake_one()

    def __enter__(self) -> Turns:
        me = threading.get_ident()
        while self._reading.setdefault("by", me) != me:
            self._park(_NOTHING, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reading.clear()
        self._wake_one()

    def _park(self, awaited: Awaited, deadline: float | None) -> bool:
        """Sleep until somebody wakes this thread; False if the deadline came first."""
        alarm = threading.Lock()
        alarm.acquire()
        self._parked[alarm] = awaited
        try:
            # Only now can a reader that leaves see this thread; if it left before, there is nobody to wait for.
            if awaited.ready or not self._reading:
                return True
            return alarm.acquire(timeout=-1 if deadline is None else max(0, deadline - time.monotonic()))
        finally:
            self._parked.pop(alarm, None)

    def _wake_one(self) -> None:
        try:
            alarm, _ = self._parked.popitem()
        except KeyError:
            return  # it was woken already
        alarm.release()
