"""Calls that carry much: the copies, the computation, and the sweep from 8 bytes to 256 MiB."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.companion import Companion
from benchmarks.findings import Findings, Series
from benchmarks.limits import RawPing
from benchmarks.measure import Block, as_block, compare, take_turns
from benchmarks.target import Line, at_most
from benchmarks.workplace import Workplace

__all__ = ["SIZES", "calls_of", "measure_round_trip", "measure_sweep"]

SIZES = (*(8 << 2 * step for step in range(11)), 32 << 20, 64 << 20, 128 << 20, 256 << 20)
"""Bytes of the payloads of the sweep: 8 bytes to 256 MiB."""

_LARGE = 64 << 20


def measure_round_trip(place: Workplace) -> Findings:
    """A model whose input and output are 64 MiB, with another input each time."""
    with place.hub() as hub, Companion(place.python(), "programs.local") as local:
        model = place.load(hub, "plus_one")
        taken = take_turns(
            {"ours": _fresh(model, _LARGE, 1), "limit": lambda: local.ask("rounds", _LARGE, 1)},
            place.some(60),
            warm_up=4,
        )
    ours, limits = taken["ours"], taken["limit"]
    return Findings(
        [
            Line(
                "round-trip",
                "64 MiB in, 64 MiB out, another input each time",
                "ms",
                ours.median,
                limits.median,
                "two warm copies and the computation, in one process",
                compare(ours, limits),
                at_most(1.25),
            )
        ]
    )


def measure_sweep(place: Workplace) -> Findings:
    """Latency by payload, for the picture: isohub, ZeroMQ with the same bytes, and the work without the call."""
    names = {
        "ours": "isohub",
        "socket": "limit: raw pyzmq REQ/REP",
        "local": "limit: two copies + computation",
    }
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    with (
        place.hub() as hub,
        RawPing() as socket,
        Companion(place.python(), "programs.local") as local,
    ):
        model = place.load(hub, "plus_one")
        for size in SIZES:
            calls = calls_of(size)
            payload = memoryview(bytes(size))
            sides: dict[str, Block] = {
                "ours": _fresh(model, size, calls),
                "socket": as_block(calls, partial(socket.exchange, payload)),
                "local": partial(local.ask, "rounds", size, calls),
            }
            for name, times in take_turns(sides, place.some(6, quick=2)).items():
                points[name].append((size, times.median))
    return Findings(series=[Series(names[name], tuple(found)) for name, found in points.items()])


def calls_of(size: int) -> int:
    """How many calls of a payload make a block: as many as take about as long."""
    return max(1, min(100, (16 << 20) // size))


def _fresh(model: Callable[..., Any], size: int, calls: int) -> Block:
    """Calls of `model`, each with an array that was just made and filled; making it is not timed, nor is letting go of it."""
    number = 0
    array: Any = None
    result: Any = None

    def prepare() -> None:
        nonlocal number, array, result
        assert result is None or result[-1] == number + 1
        array = result = None
        number = (number + 1) % 1000
        array = np.full(size // 4, number, np.float32)

    def call() -> None:
        nonlocal result
        result = model(array)

    return as_block(calls, call, prepare)
