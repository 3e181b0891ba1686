"""A Hub with one worker in it, and what is known of what befell that worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import isohub

__all__ = ["REPO", "Place"]

# Between what ends a worker and the end.
_JUST = 5.0

REPO = Path(__file__).parents[1] / "hubconfs" / "soak"


class Place:
    """Where calls go and faults happen.

    Args:
        name: what it is called.
        home: of all Hubs, so that one environment serves all.
        impatient: whether calls may end by their deadline although nothing befell the worker.
        **options: of the Hub.

    Attributes:
        hub: the Hub.
        ends_soon: whether what was caused last takes a while.
    """

    def __init__(self, name: str, home: Path, *, impatient: bool = False, **options: Any) -> None:
        self.name = name
        self.hub = isohub.Hub(home=home, **options)
        self.impatient = impatient
        self.ends_soon = False
        self._lock = threading.Lock()
        self._ends = 0  # of workers, that were caused here
        self._last_end = 0.0
        self._stopped_until = 0.0

    def load(self, entry: str, *args: Any) -> Any:
        """Load an entry point."""
        return self.hub.load(REPO, entry, *args, source="local", trust_repo=True, verbose=False)

    def pid(self) -> int:
        """The process of the worker, as it is numbered out here and not in its sandbox."""
        self.load("things")
        (slot,) = self.hub._pool._slots.values()
        assert slot.worker is not None
        return slot.worker.pid

    # ---- what befalls it

    @property
    def ends(self) -> int:
        """How many ends were caused."""
        return self._ends

    @property
    def since_end(self) -> float:
        """Seconds since the last one was caused."""
        return time.monotonic() - self._last_end

    def explains_end(self, ends: int) -> bool:
        """Whether one was caused since there were so many, or just before."""
        return self._ends > ends or self.since_end < _JUST

    @property
    def stopped_lately(self) -> bool:
        """Whether the worker stood still within the last seconds."""
        return time.monotonic() < self._stopped_until

    def will_end(self, *, soon: bool = False) -> None:
        """Something that ends the worker is about to be done; `soon` if that takes a while."""
        with self._lock:
            self._ends += 1
            self._last_end = time.monotonic()
            self.ends_soon = soon

    def kill(self, pid: int) -> None:
        self.will_end()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # something else was faster

    def stop_for(self, pid: int, seconds: float) -> None:
        """Have the worker stand still for so long."""
        self._stopped_until = time.monotonic() + seconds + 10
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
