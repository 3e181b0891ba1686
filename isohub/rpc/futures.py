"""Futures of calls that nobody waits for yet.

Whoever asks such a future for its result reads the answers itself, as the thread of a plain call does, and wakes nobody. Only
what has to happen although nobody asks needs threads of its own: callbacks, and the waiting for several futures at once that
``concurrent.futures`` offers. There are two of them, started with the first such future. One waits for each call in turn, so that
there is somebody who reads the answers. The other gives the answers to the futures, and so runs what people have hung on those:
it may call the worker again, and never runs in the thread of a caller, who may hold a lock that it needs.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol

from isohub.rpc.calls import Call

__all__ = ["Answers", "Futures", "RemoteFuture"]


class Answers(Protocol):
    """What a future needs of the channel that it is of."""

    def wait_for(self, call: Call, deadline: float | None) -> bool:
        """Until `call` is answered; False if the deadline came first, None for none."""

    def look(self) -> None:
        """Take in what has arrived, without waiting."""

    def give_up(self, call: Call) -> None:
        """The call's own deadline has come: finish it with CallTimeout, unless the answer came at the last moment."""

    def cancel(self, call: Call) -> None:
        """Have the worker stop what the call does."""

    def error(self, fault: Any) -> BaseException:
        """What to raise for the fault of a call."""


class RemoteFuture(Future[Any]):
    """The result of a call, some time.

    Args:
        call: which was sent.
        deadline: until when it may take; None for no limit.
        answers: the channel.
        futures: what settles this one, if it has to happen by itself.
    """

    def __init__(self, call: Call, deadline: float | None, answers: Answers, futures: Futures) -> None:
        # Not the base's constructor: what that makes takes as long to make as the rest of a call. See __getattr__.
        self._call = call
        self._deadline = deadline
        self._answers = answers
        self._futures = futures

    def __getattr__(self, name: str) -> Any:
        # Everything in concurrent.futures that wants to know of this future, or to be told by it, takes this condition first.
        if name != "_condition":
            raise AttributeError(name)
        with _making_conditions:
            if "_condition" not in self.__dict__:
                super().__init__()
                self._futures.settle(self, self._call, self._deadline)
        return self._condition

    def cancel(self) -> bool:
        if self.cancelled():
            return True
        if self._call.ready or not super().cancel():
            return False
        self._answers.cancel(self._call)
        return True

    def done(self) -> bool:
        if not self._call.ready and not self.cancelled():
            self._answers.look()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._answers.give_up(self._call)
        return self._call.ready or self.cancelled()

    def cancelled(self) -> bool:
        # Only with a condition can it have been cancelled.
        return "_condition" in self.__dict__ and super().cancelled()

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        call = self._call
        if call.fault is not None:
            try:
                raise self._answers.error(call.fault)
            finally:
                # As the base does: the traceback refers to this frame, and this frame to the future.
                self = None  # type: ignore[assignment]
        return call.value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return None if self._call.fault is None else self._answers.error(self._call.fault)

    def _wait(self, timeout: float | None) -> None:
        """Until the answer is there.

        Raises:
            CancelledError: it was cancelled.
            concurrent.futures.TimeoutError: `timeout` seconds have passed.
        """
        call = self._call
        limit = None if timeout is None else time.monotonic() + timeout
        while not call.ready:
            if self.cancelled():
                break
            own = self._deadline is not None and (limit is None or self._deadline <= limit)
            if not self._answers.wait_for(call, self._deadline if own else limit):
                if not own:
                    raise FutureTimeout
                self._answers.give_up(call)
        if self.cancelled():
            raise CancelledError


_making_conditions = threading.Lock()


class Futures:
    """Those futures of one channel that have to be settled although nobody asks for their results.

    Args:
        answers: the channel.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._unstarted = threading.Lock()  # held from the first one on
        self._waited_for: queue.SimpleQueue[tuple[Call, float | None] | None] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[Call, RemoteFuture] | None] = queue.SimpleQueue()

    def settle(self, future: RemoteFuture, call: Call, deadline: float | None) -> None:
        """See to it that `future` learns what `call` answers."""
        call.when_done(lambda done: self._answered.put((done, future)))
        self._waited_for.put((call, deadline))
        if self._unstarted.acquire(blocking=False):
            for target in (self._wait_for_all, self._tell_all):
                threading.Thread(target=target, name="isohub-futures", daemon=True).start()

    def close(self) -> None:
        """All calls are done, and there will be no others."""
        self._waited_for.put(None)
        self._answered.put(None)

    def _wait_for_all(self) -> None:
        while (entry := self._waited_for.get()) is not None:
            call, deadline = entry
            if not self._answers.wait_for(call, deadline):
                self._answers.give_up(call)
            del entry, call  # and with it the answer, which somebody else may have dropped already

    def _tell_all(self) -> None:
        while (entry := self._answered.get()) is not None:
            call, future = entry
            if future.set_running_or_notify_cancel():
                if call.fault is not None:
                    future.set_exception(self._answers.error(call.fault))
                else:
                    future.set_result(call.value)
            del entry, call, future
