"""Having the worker stop what nobody waits for any more.

The worker raises an exception where the work is done. Code may not let it through, or never come back to Python to meet it; it
has a grace, and then the process ends. One thread sees to that, started when something is first cancelled.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["Cancels", "WorkerProcess"]

# How often what the worker does not take at once, since it is busy with itself, is offered again.
_RETRY = 0.1
# What is asked for at the end. No call has this number.
_END = 0


class WorkerProcess(Protocol):
    """What there must be of a worker to have it stop something."""

    def tell_soon(self, text: bytes) -> bytes:
        """Write into its control channel, without waiting; what of `text` it did not take."""

    def kill(self, because: str | None = None) -> None:
        """End its process."""


class Cancels:
    """What the worker of one channel is to stop.

    Args:
        worker: whose channel it is.
        grace: seconds that it gets for each; None for as long as it takes.
        oldest: answers the number of the oldest call that has no answer.
        is_open: whether a call has no answer yet, as far as is known when all that has arrived is taken in.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        grace: float | None,
        *,
        oldest: Callable[[], int],
        is_open: Callable[[int], bool],
    ) -> None:
        self._worker = worker
        self._grace = grace
        self._oldest = oldest
        self._is_open = is_open
        self._unstarted = threading.Lock()  # held from the first one on
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._watched: set[int] = set()

    def stop(self, number: int) -> None:
        """Have a call or a stream stopped."""
        if number in self._watched:
            return
        self._watched.add(number)
        self._asked.put(number)
        if self._unstarted.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, name="isohub-cancels", daemon=True).start()
            except RuntimeError:
                pass  # the interpreter is about to end, and with it the worker

    def settle(self, number: int) -> None:
        """It has stopped, or never ran."""
        self._watched.discard(number)

    def close(self) -> None:
        """There is no worker any more."""
        self._asked.put(_END)

    def _run(self) -> None:
        due: deque[tuple[float, int]] = deque()
        text = b""
        while True:
            waits = [due[0][0] - time.monotonic()] if due else []
            if text:
                waits.append(_RETRY)
            try:
                numbers = self._take(max(0, min(waits)) if waits else None)
            except queue.Empty:
                numbers = []
            if _END in numbers:
                return
            if numbers:
                text += b"%d %s\n" % (self._oldest(), b" ".join(b"%d" % number for number in numbers))
            text = self._worker.tell_soon(text) if text else text
            if self._grace is None:
                self._watched.difference_update(numbers)
                continue
            end = time.monotonic() + self._grace
            due.extend((end, number) for number in numbers)
            while due and due[0][0] <= time.monotonic():
                self._check(due.popleft()[1])

    def _take(self, timeout: float | None) -> list[int]:
        """All that was asked for; the first of it is waited for.

        Raises:
            queue.Empty: nothing was, in this time.
        """
        numbers = [self._asked.get(timeout=timeout)]
        while not self._asked.empty():
            numbers.append(self._asked.get())
        return numbers

    def _check(self, number: int) -> None:
        """The grace of a call is over."""
        # In this order: whether it is open is asked of the worker's words, and these may settle it.
        if self._is_open(number) and number in self._watched:
            self._worker.kill(f"was ended: what was cancelled did not come back within {self._grace:g} s")
        self._watched.discard(number)
