"""Many small calls at once, and many small items of one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

import isohub
from benchmarks.findings import Findings
from benchmarks.limits import PipelinedEcho, in_threads
from benchmarks.measure import Times, compare, take_turns
from benchmarks.target import Line, Target, at_least
from benchmarks.workplace import Workplace

__all__ = ["measure_generator", "measure_pipelined"]

_CALLS = 4000
_WINDOW = 64
_THREADS = 8
_ITEMS = 10_000


def measure_pipelined(place: Workplace) -> Findings:
    """The rate of small calls from one thread with futures, from threads, and from asyncio; each limit is built alike."""
    findings = Findings()
    loop = asyncio.new_event_loop()
    with place.hub() as hub, PipelinedEcho(_THREADS) as echo:
        call = place.load(hub, "function", "next_number")

        def rate(
            what: str,
            ours: Callable[[], float],
            limit: Callable[[], float],
            against: str,
            *,
            aimed: bool = True,
        ) -> None:
            turns = place.some(15 if aimed else 5, quick=2)
            taken = take_turns({"ours": lambda: [ours()], "limit": lambda: [limit()]}, turns)
            target = at_least(0.6) if aimed else None
            findings.lines.append(
                _rate("pipelined", f"small calls: {what}", _CALLS, taken, against=against, target=target)
            )

        def futures(window: int, *, aimed: bool = True) -> None:
            rate(
                f"futures of one thread, {window} under way",
                lambda: _futures(call, _CALLS, window),
                lambda: echo.from_one_thread(_CALLS, window),
                "pyzmq DEALER/ROUTER, one thread, as many under way",
                aimed=aimed,
            )

        futures(_WINDOW)
        rate(
            f"{_THREADS} threads",
            lambda: in_threads([lambda: call(1)] * _THREADS, _CALLS),
            lambda: echo.from_threads(_CALLS),
            "pyzmq DEALER/ROUTER, as many threads, a DEALER each",
        )
        rate(
            f"asyncio, {_WINDOW} under way",
            lambda: loop.run_until_complete(_coroutines(call, _CALLS, _WINDOW)),
            lambda: echo.from_asyncio(_CALLS, _WINDOW),
            "zmq.asyncio DEALER/ROUTER, as many coroutines",
        )
        for window in (1, 8, 512):
            futures(window, aimed=False)
    loop.close()
    return findings


def measure_generator(place: Workplace) -> Findings:
    """The rate of the items of one generator, beside that of messages that are answered one by one."""
    with place.hub() as hub, PipelinedEcho() as echo:
        numbers = place.load(hub, "function", "numbers")
        call = place.load(hub, "function", "next_number")
        taken = take_turns(
            {
                "ours": lambda: [_items(numbers)],
                "limit": lambda: [echo.from_one_thread(_ITEMS, _WINDOW)],
                "calls": lambda: [_futures(call, _ITEMS, _WINDOW)],
            },
            place.some(15, quick=2),
        )
    own = compare(taken["calls"], taken["ours"])
    return Findings(
        [
            _rate(
                "generator",
                f"items of a generator of {_ITEMS:,}",
                _ITEMS,
                taken,
                against=f"pyzmq DEALER/ROUTER, one thread, {_WINDOW} under way",
                target=at_least(0.5),
                note=f"{own.value:.2f}x the rate of isohub's own futures",
            )
        ]
    )


def _rate(
    row: str,
    what: str,
    count: int,
    taken: dict[str, Times],
    *,
    against: str,
    target: Target | None,
    note: str = "",
) -> Line:
    ours, limit = taken["ours"], taken["limit"]
    return Line(
        row,
        what,
        "1/s",
        count / ours.median,
        count / limit.median,
        against,
        compare(limit, ours),  # a rate is the higher the less time it takes
        target,
        note,
    )


def _futures(call: isohub.RemoteObject, count: int, window: int) -> float:
    start = perf_counter()
    waiting = deque(isohub.submit(call, 1) for _ in range(window))
    for _ in range(count - window):
        waiting.popleft().result()
        waiting.append(isohub.submit(call, 1))
    while waiting:
        waiting.popleft().result()
    return perf_counter() - start


async def _coroutines(call: isohub.RemoteObject, count: int, window: int) -> float:
    numbers = iter(range(count))

    async def ask() -> None:
        for number in numbers:
            await isohub.acall(call, number)

    start = perf_counter()
    await asyncio.gather(*(ask() for _ in range(window)))
    return perf_counter() - start


def _items(numbers: Any) -> float:
    start = perf_counter()
    count = sum(1 for _ in numbers(_ITEMS))
    seconds = perf_counter() - start
    assert count == _ITEMS
    return seconds
