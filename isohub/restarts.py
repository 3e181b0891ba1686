"""How often a worker that died is started again, and when."""

from __future__ import annotations

import threading
import time

from isohub.errors import ConfigError

__all__ = ["Restarts", "require_restart"]

# The second start follows the first after this at the least, and each after that takes twice as long, up to the most.
_FIRST_DELAY, _MOST_DELAY = 0.5, 30.0
# A worker that lived for so long did not die of its start, so the next one need not wait.
_LIVED = 10.0


class Restarts:
    """The starts of one environment's workers after the first, which was asked for.

    Args:
        most: how many there may be.

    Attributes:
        loads: what is to be there after each.
    """

    def __init__(self, most: int) -> None:
        # Not before there is a worker: it takes time to import.
        from isohub.rpc.loads import Loads

        self.loads = Loads()
        self._most = most
        self._count = 0
        self._in_a_row = 0
        self._began = -float("inf")

    @property
    def exhausted(self) -> bool:
        """Whether there is none any more."""
        return self._count >= self._most

    def wait(self, closed: threading.Event) -> None:
        """Wait until it is time for the next, unless that is not wanted any more; count it."""
        since = time.monotonic() - self._began
        if since >= _LIVED:
            self._in_a_row = 0
        delay = min(_FIRST_DELAY * 2 ** (self._in_a_row - 1), _MOST_DELAY) if self._in_a_row else 0.0
        closed.wait(max(0.0, delay - since))
        self._began = time.monotonic()
        self._count += 1
        self._in_a_row += 1


def require_restart(restart: str | None, most: int) -> None:
    """Raise ConfigError if workers cannot be restarted like this."""
    if restart not in (None, "on-failure"):
        raise ConfigError(f"restart is {restart!r}", hint='use "on-failure", or None for never')
    if type(most) is not int or most < 1:
        raise ConfigError(f"max_restarts is {most!r}, not a number of restarts")
