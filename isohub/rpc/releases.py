"""What the host has no use for any more, on its way to the worker: remote objects, streams, blocks of shared memory.

A proxy dies wherever the garbage collector finds it, in any thread and in the middle of anything, so its death only leaves
a note. The notes leave with the next call; if no call comes, one thread of the process sees to it a moment later.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Releases"]

# Long enough that a busy caller takes the notes along, short enough that a dropped model does not linger.
_DELAY = 0.05

_OBJECT, _STREAM, _BLOCK = range(3)

_requests: queue.SimpleQueue[Releases] = queue.SimpleQueue()
_thread_lock = threading.Lock()
_thread: threading.Thread | None = None


class Releases:
    """The notes for one worker.

    Args:
        flush: sends what is noted; called by the thread when nobody else did in time.

    Attributes:
        notes: empty if there is nothing to say.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self.notes: deque[tuple[int, int, int]] = deque()
        self._flush = flush
        self._requested = False
        _start_thread()

    def add_object(self, number: int, count: int, stream: int | None) -> None:
        """Note that object `number`, received `count` times, is not needed any more, nor is `stream`.

        Safe in a finalizer.
        """
        if stream is not None:
            self.notes.append((_STREAM, stream, 0))
        self.notes.append((_OBJECT, number, count))
        self.request()

    def add_block(self, offset: int) -> None:
        """Note that nobody looks at the block at `offset` any more. Safe in a finalizer."""
        self.notes.append((_BLOCK, offset, 0))
        self.request()

    def request(self) -> None:
        """See to it that `flush` is called soon. Safe in a finalizer."""
        if not self._requested:
            self._requested = True
            _requests.put(self)

    def take(self) -> tuple[list[tuple[int, int]], list[int], list[int]]:
        """All notes, which are then no longer noted: objects with their counts, streams, and blocks."""
        objects: list[tuple[int, int]] = []
        streams: list[int] = []
        blocks: list[int] = []
        try:
            while True:
                kind, number, count = self.notes.popleft()
                if kind == _OBJECT:
                    objects.append((number, count))
                else:
                    (streams if kind == _STREAM else blocks).append(number)
        except IndexError:
            return objects, streams, blocks  # it is empty, perhaps because another thread takes notes too

    def _flush_late(self) -> None:
        self._requested = False
        self._flush()


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
