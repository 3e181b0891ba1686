"""Taking times in turns, and what is said of them.

Two things that are compared are measured in small blocks, A B B A A B ..., so that the drift of a machine that others use as well
falls on both. Two things are compared turn by turn, and their ratio is the median over the turns: a machine that changes its
state now and then, as this kind does, would put the medians of all times together from different states.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

__all__ = ["Block", "Ratio", "Times", "as_block", "compare", "quantile", "take_turns"]

Block = Callable[[], Sequence[float]]
"""Measures a few times and answers the seconds that each took."""


@dataclass(frozen=True)
class Times:
    """What was measured of one side.

    Attributes:
        blocks: seconds, by turn.
    """

    blocks: tuple[tuple[float, ...], ...]

    @property
    def all(self) -> list[float]:
        return [seconds for block in self.blocks for seconds in block]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    def quantile(self, share: float) -> float:
        """The time that this share of all stays below."""
        return quantile(self.all, share)


@dataclass(frozen=True)
class Ratio:
    """How one side compares with another.

    Attributes:
        value: the median of the ratios of the single turns.
        low, high: their quartiles.
    """

    value: float
    low: float
    high: float


def as_block(calls: int, call: Callable[[], object], prepare: Callable[[], object] | None = None) -> Block:
    """A block that times each of `calls` calls alone; `prepare` runs before each of them, untimed."""

    def block() -> list[float]:
        times = []
        for _ in range(calls):
            if prepare is not None:
                prepare()
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
        return times

    return block


def take_turns(sides: Mapping[str, Block], turns: int, *, warm_up: int = 1) -> dict[str, Times]:
    """Let each side measure a block, `turns` times, in alternating order; the first `warm_up` turns do not count."""
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in sides}
    order = [*sides]
    for turn in range(warm_up + turns):
        for name in order:
            block = tuple(sides[name]())
            if turn >= warm_up:
                taken[name].append(block)
        order.reverse()
    return {name: Times(tuple(blocks)) for name, blocks in taken.items()}


def compare(
    ours: Times, limit: Times, statistic: Callable[[Sequence[float]], float] = statistics.median
) -> Ratio:
    """How `ours` compares with `limit`, which was measured in the same turns."""
    turns = [
        statistic(mine) / statistic(theirs) for mine, theirs in zip(ours.blocks, limit.blocks, strict=True)
    ]
    return Ratio(quantile(turns, 0.5), quantile(turns, 0.25), quantile(turns, 0.75))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all stay below, between two of them in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
