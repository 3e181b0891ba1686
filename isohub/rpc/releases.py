"""Remote objects and streams that the host dropped, on their way to the worker.

A proxy dies wherever the garbage collector finds it, in any thread and in the middle of anything, so its death only leaves
a note. The notes leave with the next call; if no call comes, one thread of the process sees to it a moment later.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["Releases"]

# Long enough that a busy caller takes the notes along, short enough that a dropped model does not linger.
_DELAY = 0.05

_Note = TypeVar("_Note")

_requests: queue.SimpleQueue[Releases] = queue.SimpleQueue()
_thread_lock = threading.Lock()
_thread: threading.Thread | None = None


class Releases:
    """The notes for one worker.

    Args:
        flush: sends what is noted; called by the thread when nobody else did in time.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._objects: deque[tuple[int, int]] = deque()
        self._streams: deque[int] = deque()
        self._requested = False
        _start_thread()

    def __bool__(self) -> bool:
        return bool(self._objects or self._streams)

    def add(self, number: int, count: int, stream: int | None) -> None:
        """Note that object `number`, received `count` times, is not needed any more, nor is `stream`.

        Safe in a finalizer.
        """
        if stream is not None:
            self._streams.append(stream)
        self._objects.append((number, count))
        self.request()

    def request(self) -> None:
        """See to it that `flush` is called soon. Safe in a finalizer."""
        if not self._requested:
            self._requested = True
            _requests.put(self)

    def take(self) -> tuple[list[tuple[int, int]], list[int]]:
        """All notes, which are then no longer noted: objects with their counts, and streams."""
        return list(_drained(self._objects)), list(_drained(self._streams))

    def _flush_late(self) -> None:
        self._requested = False
        self._flush()


def _drained(notes: deque[_Note]) -> Iterator[_Note]:
    try:
        while True:
            yield notes.popleft()
    except IndexError:
        return  # it is empty, perhaps because another thread takes notes too


def _start_thread() -> None:
    global _thread
    with _thread_lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="isohub-releases", daemon=True)
            _thread.start()


def _run() -> None:
    while True:
        first = _requests.get()
        time.sleep(_DELAY)
        first._flush_late()
