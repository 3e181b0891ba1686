"""Futures of calls that no thread waits for.

Two threads see to them, started with the first. One waits for each call in turn, so that there is somebody who reads the answers.
The other gives the answers to the futures, and so runs what people have hung on those: it may call the worker again, and never
runs in the thread of a caller, who may hold a lock that it needs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from isohub.errors import CallTimeout
from isohub.rpc.calls import Call

__all__ = ["Futures"]


class Futures:
    """The futures of one channel.

    Args:
        wait: returns once a call is answered; raises CallTimeout, after which nothing answers it.
        error: what to raise for the fault of a call.
    """

    def __init__(
        self, wait: Callable[[Call, float | None], None], error: Callable[[Any], BaseException]
    ) -> None:
        self._wait = wait
        self._error = error
        self._unstarted = threading.Lock()  # held from the first one on
        self._waited_for: queue.SimpleQueue[tuple[Call, float | None] | None] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[Call, Future[Any]] | None] = queue.SimpleQueue()

    def done(self, call: Call, future: Future[Any]) -> None:
        """The answer of `call` is there, or there will be none."""
        self._answered.put((call, future))

    def add(self, call: Call, deadline: float | None) -> None:
        """Wait for `call`, which was sent."""
        self._waited_for.put((call, deadline))
        if self._unstarted.acquire(blocking=False):
            for target in (self._wait_for_all, self._settle):
                threading.Thread(target=target, name="isohub-futures", daemon=True).start()

    def close(self) -> None:
        """No call is added any more, and all are done."""
        self._waited_for.put(None)
        self._answered.put(None)

    def _wait_for_all(self) -> None:
        while (entry := self._waited_for.get()) is not None:
            call, deadline = entry
            try:
                self._wait(call, deadline)
            except CallTimeout as error:
                call.finish(fault=error)
            del entry, call  # and with it the answer, which somebody else may have dropped already

    def _settle(self) -> None:
        while (entry := self._answered.get()) is not None:
            call, future = entry
            if future.set_running_or_notify_cancel():
                if call.fault is not None:
                    future.set_exception(self._error(call.fault))
                else:
                    future.set_result(call.value)
            del entry, call, future
