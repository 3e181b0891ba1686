"""The limits: what two processes of Python reach on this machine with nothing in between.

Their other ends are processes of their own under the interpreter of this one, with pyzmq and nothing else.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio

from benchmarks.companion import ROOT, module_command

__all__ = ["MESSAGE", "PipelinedEcho", "RawPing", "in_threads"]

MESSAGE = bytes(64)
"""What is sent where a row does not say otherwise."""


class _Echo:
    """A process that sends back what it gets, and what it takes to connect to it."""

    def __init__(self, kind: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.endpoint = f"ipc://{self._folder / 'echo'}"
        self._process = subprocess.Popen(
            module_command(Path(sys.executable), "programs.echo", kind, self.endpoint),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.context = zmq.Context()

    def connect(self, kind: int, context: zmq.Context[Any] | None = None) -> zmq.Socket[Any]:
        socket = (context or self.context).socket(kind)
        socket.linger = 0
        socket.set_hwm(0)
        socket.connect(self.endpoint)
        return socket

    def close(self) -> None:
        self.context.destroy()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class RawPing(_Echo):
    """A REQ socket here, a REP socket in a process of its own, over ipc: what a round trip costs."""

    def __init__(self) -> None:
        super().__init__("REP")
        self._socket = self.connect(zmq.REQ)

    def exchange(self, message: bytes | memoryview = MESSAGE) -> None:
        """Send a message and wait for its echo."""
        self._socket.send(message)
        self._socket.recv()


class PipelinedEcho(_Echo):
    """DEALER sockets here, a ROUTER socket in a process of its own, over ipc: what many round trips at once cost.

    Each method answers the seconds that `count` round trips took.

    Args:
        threads: how many sockets there are for `from_threads`.
    """

    def __init__(self, threads: int = 8) -> None:
        super().__init__("ROUTER")
        self._dealer = self.connect(zmq.DEALER)
        self._dealers = [self.connect(zmq.DEALER) for _ in range(threads)]
        self._loop = asyncio.new_event_loop()

    def from_one_thread(self, count: int, window: int) -> float:
        """One thread, which keeps `window` messages under way."""
        send, receive = self._dealer.send, self._dealer.recv
        start = perf_counter()
        for _ in range(window):
            send(MESSAGE)
        for _ in range(count - window):
            receive()
            send(MESSAGE)
        for _ in range(window):
            receive()
        return perf_counter() - start

    def from_threads(self, count: int) -> float:
        """A thread for each socket, which waits for each echo before it sends again."""
        return in_threads([partial(_ping, dealer) for dealer in self._dealers], count)

    def from_asyncio(self, count: int, window: int) -> float:
        """A coroutine for each message under way, and one that reads for all, over pyzmq's own asyncio sockets."""
        return self._loop.run_until_complete(self._await_echoes(count, window))

    async def _await_echoes(self, count: int, window: int) -> float:
        context = zmq.asyncio.Context(self.context)
        dealer: Any = self.connect(zmq.DEALER, context)
        waiting: dict[bytes, asyncio.Future[None]] = {}
        numbers = iter(range(count))

        async def ask() -> None:
            for number in numbers:
                key = number.to_bytes(8, "little")
                answered = waiting[key] = self._loop.create_future()
                await dealer.send(key + MESSAGE[8:])
                await answered

        async def read() -> None:
            while True:
                message: bytes = await dealer.recv()
                waiting.pop(message[:8]).set_result(None)

        reader = asyncio.ensure_future(read())
        start = perf_counter()
        await asyncio.gather(*(ask() for _ in range(window)))
        seconds = perf_counter() - start
        reader.cancel()
        dealer.close()
        return seconds

    def close(self) -> None:
        """End the process."""
        self._loop.close()
        super().close()


def _ping(dealer: zmq.Socket[Any]) -> None:
    dealer.send(MESSAGE)
    dealer.recv()


def in_threads(calls: list[Callable[[], object]], count: int) -> float:
    """Make `count` calls in all, each of `calls` in a thread of its own, one after the other; the seconds that took."""
    barrier = threading.Barrier(len(calls) + 1)

    def work(call: Callable[[], object]) -> None:
        barrier.wait()
        for _ in range(count // len(calls)):
            call()

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - start
