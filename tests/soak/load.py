"""The load: threads and an event loop that call all the time, and check each answer."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy

import isohub
from isohub.errors import CallTimeout, IsohubError, RemoteError, StaleObject, UnsupportedValue, WorkerDied
from tests.soak.place import Place
from tests.soak.tally import Tally

__all__ = ["Caller", "Loop"]

# Whatever takes longer than this hangs.
_HANGS = 60.0
# A deadline that holds so much later does not hold.
_LATE = 5.0


class _Wrong(Exception):
    """An answer that is not the right one."""


class Caller(threading.Thread):
    """One thread that calls the worker of one place.

    Args:
        place: whose.
        tally: where it is counted what came of it.
        seed: of its choices.
        over: set when it is to end.

    Attributes:
        since: when its present call began, by ``time.monotonic``.
    """

    def __init__(self, place: Place, tally: Tally, seed: int, over: threading.Event) -> None:
        super().__init__(name=f"caller {place.name} {seed}", daemon=True)
        self._place = place
        self._tally = tally
        self._chance = random.Random(seed)
        self._over = over
        self._things: Any = None
        self._ends = 0
        self.since = time.monotonic()
        self._kinds: list[Callable[[], int]] = [
            *[self._trivial] * 6,
            self._array,
            self._large_array,
            self._object,
            self._generator,
            self._futures,
            self._error,
            self._unsupported,
            self._deadline,
            self._cancel,
        ]

    def run(self) -> None:
        while not self._over.is_set():
            kind = self._chance.choice(self._kinds)
            self.since = time.monotonic()
            try:
                if self._things is None:
                    self._ends = self._place.ends
                    self._things = self._place.load("things")
                count = kind()
            except _Wrong as error:
                self._tally.lose(f"{self.name}: {kind.__name__}: {error}")
            except Exception as error:
                self._explain(kind.__name__[1:], error)
            else:
                self._tally.call(kind.__name__[1:].replace("_", " "), "right", count)

    def _explain(self, kind: str, error: Exception) -> None:
        """An error that nobody asked for: was there a cause?"""
        place = self._place
        ended = isinstance(error, (WorkerDied, StaleObject)) or type(error).__name__ == "ProtocolError"
        if ended and place.explains_end(self._ends):
            if isinstance(error, WorkerDied) and not place.ends_soon:
                self._tally.took(
                    f"{kind} in {place.name}",
                    min(place.since_end, time.monotonic() - self.since),
                )
        elif not (isinstance(error, CallTimeout) and (place.impatient or place.stopped_lately)):
            self._tally.lose(f"{self.name}: {kind}: {type(error).__name__}: {error}")
        self._tally.call(kind.replace("_", " "), type(error).__name__)
        if ended:
            self._things = None

    # ---- kinds of calls

    def _trivial(self) -> int:
        a, b = self._chance.randrange(1 << 40), self._chance.randrange(1 << 40)
        for _ in range(20):
            _expect(self._things.add(a, b), a + b)
        return 20

    def _array(self) -> int:
        return self._there_and_back(self._chance.randrange(1, 2000))

    def _large_array(self) -> int:
        return self._there_and_back(self._chance.randrange(100_000, 400_000))

    def _there_and_back(self, size: int) -> int:
        array = numpy.arange(size) + self._chance.randrange(1000)
        doubled = self._things.double(array)
        if not numpy.array_equal(doubled, array * 2):
            raise _Wrong(f"an array of {size} came back otherwise")
        doubled[0] = 0  # it is ours, and the worker gets what it is now
        _expect(self._things.total(doubled), float((array * 2)[1:].sum()))
        return 2

    def _object(self) -> int:
        counter = self._things.counter()
        for number in range(1, 5):
            _expect(counter.add(1), number)
        return 5

    def _generator(self) -> int:
        count = self._chance.randrange(1, 300)
        if self._chance.random() < 0.3:
            for number, item in enumerate(self._things.numbers(count)):
                _expect(item, number)
                if number > count // 2:
                    return number  # and the rest is dropped
        _expect([*self._things.numbers(count)], [*range(count)])
        return count

    def _futures(self) -> int:
        futures = [isohub.submit(self._things.add, number, 1) for number in range(30)]
        _expect([future.result() for future in futures], [*range(1, 31)])
        return 30

    def _error(self) -> int:
        text = f"text {self._chance.random()}"
        try:
            self._things.fail(text)
        except ValueError as error:
            if not isinstance(error, RemoteError) or str(error) != text:
                raise _Wrong(f"raised otherwise: {error!r}") from None
            return 1
        raise _Wrong("it did not raise")

    def _unsupported(self) -> int:
        try:
            self._things.add(lambda: None, 1)
        except UnsupportedValue:
            return 1
        raise _Wrong("a function crossed")

    def _deadline(self) -> int:
        began = time.monotonic()
        try:
            isohub.options(timeout=0.1)(self._things.sleep)(30)
        except CallTimeout:
            late = time.monotonic() - began - 0.1
            self._tally.took("a deadline", late)
            if late > _LATE:
                raise _Wrong(f"it ended {late:.1f} s after its deadline") from None
            return 1
        raise _Wrong("it slept for no time at all")

    def _cancel(self) -> int:
        future = isohub.submit(self._things.sleep, 30)
        time.sleep(self._chance.random() / 50)
        if not future.cancel():
            raise future.exception(0) or _Wrong("it was done")
        began = time.monotonic()
        try:
            future.result(_HANGS)
        except CancelledError:
            self._tally.took("a cancel", time.monotonic() - began)
            return 1
        raise _Wrong("it had a result")


class Loop(threading.Thread):
    """An event loop with tasks that call the worker of one place.

    Args:
        place: whose.
        tally: where it is counted what came of it.
        over: set when it is to end.

    Attributes:
        since: when its present round began, by ``time.monotonic``.
    """

    def __init__(self, place: Place, tally: Tally, over: threading.Event) -> None:
        super().__init__(name=f"loop {place.name}", daemon=True)
        self._place = place
        self._tally = tally
        self._over = over
        self.since = time.monotonic()

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        things: Any = None
        ends = 0
        while not self._over.is_set():
            self.since = time.monotonic()
            try:
                if things is None:
                    ends = self._place.ends
                    things = await asyncio.to_thread(self._place.load, "things")
                add = things.add
                answers = await asyncio.gather(*(isohub.acall(add, number, 2) for number in range(50)))
            except IsohubError as error:
                if not self._place.explains_end(ends) and not (
                    isinstance(error, CallTimeout) and (self._place.impatient or self._place.stopped_lately)
                ):
                    self._tally.lose(f"{self.name}: {type(error).__name__}: {error}")
                self._tally.call("awaited", type(error).__name__)
                things = None
            except Exception as error:
                self._tally.lose(f"{self.name}: {error!r}")
            else:
                if answers != [*range(2, 52)]:
                    self._tally.lose(f"{self.name}: a wrong answer")
                self._tally.call("awaited", "right", 50)
            await asyncio.sleep(0.01)


def _expect(answer: Any, right: Any) -> None:
    if answer != right:
        raise _Wrong(f"{answer!r:.200} and not {right!r:.200}")
