"""Open streams: iterators that send items ahead, as many as the host has asked for and no more."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Callable

from .messages import WireError

__all__ = ["Stream", "Streams"]


class Stream:
    """One iterator on its way to the host.

    Attributes:
        call: the number of the call that opened it.
        grad: the host's grad mode when it did.
        credit: how many more items the host will take.
    """

    __slots__ = ("call", "credit", "grad", "iterator", "running")

    def __init__(self, call: int, iterator: Any, grad: int) -> None:
        self.call = call
        self.iterator = iterator
        self.grad = grad
        self.credit = 0
        self.running = False


class Streams:
    """The open streams of a worker.

    Without a pool each call of `turn` moves one of them on; with a pool each moves on by itself.

    Args:
        step: sends the next item of a stream and answers whether there may be more.
        pool: where streams run; None leaves that to `turn`.
    """

    def __init__(self, step: Callable[[Stream], bool], pool: ThreadPoolExecutor | None) -> None:
        self._step = step
        self._pool = pool
        self._lock = Lock()
        self._open: OrderedDict[int, Stream] = OrderedDict()

    def open(self, stream: Stream, credit: int) -> None:
        with self._lock:
            self._open[stream.call] = stream
        self.more(stream.call, credit)

    def more(self, call: int, count: int) -> None:
        """The host takes `count` more items of stream `call`, if that is still open.

        Raises:
            WireError: it takes none.
        """
        if count < 1:
            raise WireError("the host takes %d more items" % count)
        with self._lock:
            stream = self._open.get(call)
            if stream is None:
                return
            stream.credit += count
            if self._pool is not None and not stream.running:
                stream.running = True
                self._pool.submit(self._run, stream)

    def close(self, call: int) -> None:
        with self._lock:
            self._open.pop(call, None)

    def ready(self) -> bool:
        """Whether there is a stream for `turn` to move on."""
        if not self._open or self._pool is not None:
            return False
        return any(stream.credit for stream in self._open.values())

    def turn(self) -> None:
        """Send one item of the stream that has waited longest."""
        stream = next(stream for stream in self._open.values() if stream.credit)
        self._open.move_to_end(stream.call)
        stream.credit -= 1
        if not self._step(stream):
            self.close(stream.call)

    def _run(self, stream: Stream) -> None:
        while True:
            with self._lock:
                if not stream.credit or stream.call not in self._open:
                    stream.running = False
                    return
                stream.credit -= 1
            if not self._step(stream):
                self.close(stream.call)
