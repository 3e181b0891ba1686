"""What a row must reach, and a line of the table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import Ratio

__all__ = ["Line", "Target", "at_least", "at_most", "at_most_in_all", "in_unit"]

_SCALES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "MiB": float(1 << 20), "1/s": 1.0}


@dataclass(frozen=True)
class Target:
    """A bound on what is measured: `times` the limit, and `plus` more.

    Attributes:
        times: of the limit; 0 if the bound depends on none.
        plus: in the base unit: seconds, bytes, or items a second.
        lower: it is a lower bound, as for a rate, and not an upper one.
    """

    times: float = 0.0
    plus: float = 0.0
    lower: bool = False

    def met(self, value: float, limit: float | None) -> bool:
        """Whether `value` keeps to it."""
        bound = self.times * (limit or 0.0) + self.plus
        return value >= bound if self.lower else value <= bound

    def text(self, unit: str) -> str:
        """How it stands in the table."""
        parts = [f"{self.times:g}x"] if self.times else []
        parts += [in_unit(self.plus, "ms" if unit == "s" else unit)] if self.plus else []
        return ("≥ " if self.lower else "≤ ") + " + ".join(parts)


def at_most(times: float, plus: float = 0.0) -> Target:
    """No more than `times` the limit and `plus`."""
    return Target(times, plus)


def at_most_in_all(plus: float) -> Target:
    """No more than `plus`, whatever else is."""
    return Target(plus=plus)


def at_least(times: float) -> Target:
    """No less than `times` the limit."""
    return Target(times, lower=True)


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        row: the name of the row that it belongs to.
        what: what was measured.
        unit: in which it is shown: us, ms, s, MiB or 1/s.
        value: what was measured, in the base unit: seconds, bytes, or items a second.
        limit: what it is held against, in the same unit.
        against: what that is.
        ratio: of the two, and how far it spread.
        target: what must be reached; None if the line is there to know.
        note: what else there is to say.
    """

    row: str
    what: str
    unit: str
    value: float
    limit: float | None = None
    against: str = ""
    ratio: Ratio | None = None
    target: Target | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, by the ratio if there is one; None without a target."""
        if self.target is None:
            return None
        value = self.value
        if self.ratio is not None and self.limit is not None:
            value = self.ratio.value * self.limit
        return self.target.met(value, self.limit)


def in_unit(value: float, unit: str) -> str:
    """A value in base units as text."""
    scaled = value / _SCALES[unit]
    if unit == "1/s":
        return f"{scaled:,.0f}/s"
    name = "µs" if unit == "us" else unit
    return f"{scaled:,.0f} {name}" if abs(scaled) >= 100 else f"{scaled:.3g} {name}"
