"""What is removed to make room, and why each stays or goes: a plan that can be shown before it is carried out. No I/O.

what somebody uses or works on stays, whatever is asked
what is broken goes: nobody can use it
without a limit, all the rest goes
older_than   what was last used longer ago goes
max_size     of what is left the least recently used goes, until all that stays fits
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from isohub.disk import DiskUse, Footprint, together
from isohub.errors import ConfigError

__all__ = ["Candidate", "PrunePlan", "Verdict", "as_bytes", "as_seconds", "decide"]

Fate = Literal["remove", "keep", "failed"]


@dataclass(frozen=True)
class Candidate:
    """Something that may be removed.

    Attributes:
        kind: "environment", "tree", "lock", "requests" or "uv".
        key: its name among those of its kind.
        path: where it is.
        footprint: what it takes.
        last_used: in seconds since the epoch.
        held: why it has to stay; None if it may go.
        broken: why nobody can use it; None if it is whole.
        unused: why it goes if no limit is asked for.
    """

    kind: str
    key: str
    path: Path
    footprint: Footprint = field(repr=False)
    last_used: float
    held: str | None = None
    broken: str | None = None
    unused: str = "no worker uses it"


@dataclass(frozen=True)
class Verdict:
    """What is to become of it, or what became of it.

    Attributes:
        kind, key, path, footprint, last_used: as in the candidate.
        fate: "remove", "keep" or, after an attempt, "failed".
        reason: why, in words.
    """

    kind: str
    key: str
    path: Path
    footprint: Footprint = field(repr=False)
    last_used: float
    fate: Fate
    reason: str

    @property
    def disk(self) -> DiskUse:
        """What it takes."""
        return together([self.footprint])


@dataclass(frozen=True)
class PrunePlan:
    """One verdict for each, the most recently used first.

    Attributes:
        verdicts: all of them.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def removed(self) -> tuple[Verdict, ...]:
        """What goes, or is gone."""
        return self._of("remove")

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """What stays."""
        return self._of("keep")

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """What should have gone and could not be removed."""
        return self._of("failed")

    @property
    def disk(self) -> DiskUse:
        """What all of them take together, each file counted once."""
        return together(item.footprint for item in self.verdicts)

    @property
    def freed(self) -> int:
        """Bytes that are free once what goes is gone."""
        return together(item.footprint for item in self.removed).freed

    def _of(self, fate: Fate) -> tuple[Verdict, ...]:
        return tuple(item for item in self.verdicts if item.fate == fate)


def decide(
    candidates: Iterable[Candidate], *, older_than: float | None, max_size: int | None, now: float
) -> PrunePlan:
    """Make a plan.

    Args:
        candidates: what there is.
        older_than: seconds since the last use after which something goes; None for no such limit.
        max_size: bytes that may stay, of all together; None for no such limit.
        now: in seconds since the epoch.
    """
    fates: dict[int, tuple[Fate, str]] = {}
    ordered = sorted(candidates, key=lambda item: (-item.last_used, item.key))
    within: list[int] = []
    for number, item in enumerate(ordered):
        if item.held is not None:
            fates[number] = ("keep", item.held)
        elif item.broken is not None:
            fates[number] = ("remove", item.broken)
        elif older_than is not None and now - item.last_used > older_than:
            fates[number] = ("remove", "last used longer ago than the limit")
        elif older_than is None and max_size is None:
            fates[number] = ("remove", item.unused)
        else:
            within.append(number)
            fates[number] = ("keep", "used within the limit")
    if max_size is not None:
        total = _Total()
        for number, (fate, _) in fates.items():
            if fate == "keep" and number not in within:
                total.add(ordered[number].footprint)
        full = False
        for number in within:
            total.add(ordered[number].footprint)
            full = full or total.size > max_size
            reason = "the least recently used, and there is more than the limit" if full else "fits the limit"
            fates[number] = ("remove" if full else "keep", reason)
    return PrunePlan(tuple(_verdict(item, *fates[number]) for number, item in enumerate(ordered)))


def as_seconds(limit: datetime.timedelta | float | None) -> float | None:
    """A limit on age.

    Raises:
        ConfigError: it is none.
    """
    seconds = limit.total_seconds() if isinstance(limit, datetime.timedelta) else limit
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 <= seconds < math.inf):
        raise ConfigError(f"older_than is {limit!r}", hint="give seconds, or a datetime.timedelta")
    return seconds


def as_bytes(limit: int | None) -> int | None:
    """A limit on size.

    Raises:
        ConfigError: it is none.
    """
    if limit is not None and not (isinstance(limit, int) and limit >= 0):
        raise ConfigError(f"max_size is {limit!r}, not a number of bytes")
    return limit


class _Total:
    """A sum of footprints in which each file counts once."""

    def __init__(self) -> None:
        self.size = 0
        self._seen: set[tuple[int, int]] = set()

    def add(self, item: Footprint) -> None:
        new = item.linked.keys() - self._seen
        self.size += item.alone + sum(item.linked[inode][0] for inode in new)
        self._seen |= new


def _verdict(item: Candidate, fate: Fate, reason: str) -> Verdict:
    return Verdict(item.kind, item.key, item.path, item.footprint, item.last_used, fate, reason)
