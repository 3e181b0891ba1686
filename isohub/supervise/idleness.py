"""How long a worker was not used, told by looking at it now and then. No I/O."""

from __future__ import annotations

__all__ = ["Idleness"]


class Idleness:
    """Of one worker; a call that came and went between two looks counts until the second of them.

    Args:
        limit: seconds without use that are too many.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None
        self._asked: tuple[int, ...] = ()
        self._was_busy = False

    def look(self, now: float, *, asked: tuple[int, ...], busy: bool) -> bool:
        """Whether it was not used for too long.

        Args:
            now: by ``time.monotonic``.
            asked: the numbers of what it was asked for so far.
            busy: whether it is at something.
        """
        if self._since is None or busy or self._was_busy or asked != self._asked:
            self._since = now
        self._asked, self._was_busy = asked, busy
        return now - self._since >= self._limit
