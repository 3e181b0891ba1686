"""What the measuring of a row comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.target import Line
from benchmarks.workplace import Workplace

__all__ = ["Bar", "Findings", "Measure", "Series"]


@dataclass(frozen=True)
class Series:
    """A line of the picture of latency by payload.

    Attributes:
        name: whose it is.
        points: bytes, and the seconds that they take there and back.
    """

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Bar:
    """A bar of the picture of start-up.

    Attributes:
        name: whose it is.
        what: what is waited for.
        seconds: how long.
    """

    name: str
    what: str
    seconds: float


@dataclass
class Findings:
    """Lines of the table, and what the pictures show."""

    lines: list[Line] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take in what another row came to."""
        self.lines += other.lines
        self.series += other.series
        self.bars += other.bars


Measure = Callable[[Workplace], Findings]
"""Measures a row."""
