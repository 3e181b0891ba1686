"""What came of everything: calls by their kind and their end, faults by their kind, and what was lost."""

from __future__ import annotations

import threading
import time
from collections import Counter

__all__ = ["Tally"]

# A loss is shown; thousands of the same are not.
_SHOWN = 20


class Tally:
    """Counts for all threads.

    Attributes:
        started: when, by ``time.monotonic``.
        calls: how many of each kind were made.
        ends: how many ended in each way: "right", or the name of an error that a fault explains.
        faults: how many of each kind were injected.
        losses: what must not be: wrong answers, errors that nothing explains, waits that were too long, what is left over.
        slowest: the longest time from a cause (a death, a deadline) to the end of a call, in seconds, and what that was.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.calls: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.losses: list[str] = []
        self.slowest = 0.0, "nothing"
        self._said: list[str] = []
        self._lock = threading.Lock()

    def call(self, kind: str, end: str, count: int = 1) -> None:
        with self._lock:
            self.calls[kind] += count
            self.ends[end] += count

    def fault(self, kind: str) -> None:
        with self._lock:
            self.faults[kind] += 1

    def lose(self, what: str) -> None:
        with self._lock:
            self.losses.append(f"after {time.monotonic() - self.started:.1f} s: {what}")

    def say(self, text: str) -> None:
        """Something that the report has, too."""
        self._said.append(text)

    def took(self, what: str, seconds: float) -> None:
        """It took so long from the cause of `what` to the end of a call."""
        with self._lock:
            self.slowest = max(self.slowest, (seconds, what))

    def report(self) -> str:
        """All of it as Markdown."""
        seconds = time.monotonic() - self.started
        numbers = f"{_grouped(self.calls.total())} calls and {_grouped(self.faults.total())} faults in {seconds:.0f} seconds"
        slowest = f"the slowest end after its cause took {self.slowest[0]:.2f} s ({self.slowest[1]})"
        lines = [f"{numbers}; {slowest}; losses: {len(self.losses) or 'none'}.", *self._said, ""]
        for title, counts in (("Calls", self.calls), ("Ends", self.ends), ("Faults", self.faults)):
            lines += [f"| {title} | |", "|--|--|"]
            lines += [f"| {name} | {_grouped(count)} |" for name, count in sorted(counts.items())]
            lines.append("")
        lines += [f"LOST {loss}" for loss in self.losses[:_SHOWN]]
        return "\n".join(lines)


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
