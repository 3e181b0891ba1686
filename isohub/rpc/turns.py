"""Of the threads that wait for answers one reads for all. No I/O.

The answer of the one that reads reaches it without waking anybody. Answers of others wake one of those, which wakes the next when
it leaves, and the last wakes one to go on reading: one thread at a time runs Python anyway, and those that are woken before they
can run only get in each other's way. Beside a thread that computes in Python each would then have to wait for the interpreter
anew, so where it takes long to get it, all are woken at once.
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


# Seconds that a thread that was woken takes to run if nothing keeps it from it, and many times that.
_LONG = 0.001
# For who wants a turn, and waits for nothing in particular.
_NOTHING = _Nothing()


class Turns:
    """Who reads. As a context manager: nobody but this thread, which waits for its turn.

    Args:
        read: takes in one message, which may make something ready; False if the deadline came first. One thread at a time
            calls it.
        none_follow: called when the last of the threads whose answers were there has run, if not more often.

    Attributes:
        reading: who does, as "by"; empty if nobody does.
        woken: empty unless threads are about to run whose answers are there.
    """

    def __init__(self, read: Callable[[float | None], bool], none_follow: Callable[[], None]) -> None:
        self._read = read
        self._none_follow = none_follow
        # A lock that knows its owner from the instant that it is taken: whatever interrupts the owner, a signal or a finalizer
        # of somebody's, finds the two in agreement.
        self.reading: dict[str, int] = {}
        self._parked: dict[threading.Lock, Awaited] = {}
        self.woken: dict[threading.Lock, float] = {}  # and since when
        self._crowded = False  # whether the last one that was woken had to wait for the interpreter

    def wait(self, awaited: Awaited, deadline: float | None) -> bool:
        """Until `awaited` is ready; False if the deadline came first."""
        me = threading.get_ident()
        reading = self.reading
        slept = False
        try:
            while not awaited.ready:
                if reading.setdefault("by", me) == me:
                    if not self._read(deadline):
                        return awaited.ready
                    if self._parked and not awaited.ready:
                        self._wake_next()
                else:
                    slept = True
                    if not self._park(awaited, deadline):
                        return awaited.ready
                    if not awaited.ready:
                        # Another took what it was woken for, so it does not leave yet.
                        self._wake_answered()
            return True
        finally:
            if reading.get("by") == me:
                reading.clear()
            # The one that leaves may be the one that read, or one that was woken.
            if slept or self._parked:
                self._wake_next()

    def __enter__(self) -> Turns:
        me = threading.get_ident()
        while self.reading.setdefault("by", me) != me:
            self._park(_NOTHING, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.reading.clear()
        self._wake_next()

    def _park(self, awaited: Awaited, deadline: float | None) -> bool:
        """Sleep until somebody wakes this thread; False if the deadline came first."""
        alarm = threading.Lock()
        alarm.acquire()
        self._parked[alarm] = awaited
        try:
            # Only now can a reader that leaves see this thread; if it left before, there is nobody to wait for.
            if awaited.ready or not self.reading:
                return True
            if not self.woken:
                # This thread was, perhaps, and found that another had taken what it waits for.
                self._none_follow()
            return alarm.acquire(timeout=-1 if deadline is None else max(0, deadline - time.monotonic()))
        finally:
            self._parked.pop(alarm, None)
            since = self.woken.pop(alarm, None)
            if since is not None:
                self._crowded = time.monotonic() - since > _LONG

    def _wake_next(self) -> None:
        """Wake one whose answer is there; if there is none and nobody reads, one that does."""
        if not self._wake_answered():
            if not self.reading:
                any(self._wake(alarm, answered=False) for alarm in reversed(self._parked.copy()))
            if not self.woken:
                self._none_follow()

    def _wake_answered(self) -> bool:
        """Whether there was one to wake whose answer is there."""
        parked = self._parked.copy()  # which is made in one go: others park meanwhile
        wakes = (self._wake(alarm, answered=True) for alarm, awaited in parked.items() if awaited.ready)
        return any([*wakes] if self._crowded else wakes)

    def _wake(self, alarm: threading.Lock, answered: bool) -> bool:
        """Whether that woke a thread, which then sees to the others when it leaves."""
        if answered:
            self.woken[alarm] = time.monotonic()
        try:
            alarm.release()
        except RuntimeError:
            woke = False  # another thread did before
        else:
            woke = True
        if alarm not in self._parked:
            # Its deadline had come, or it has left by now: it took the note away before it was made.
            self.woken.pop(alarm, None)
            return False
        return woke
