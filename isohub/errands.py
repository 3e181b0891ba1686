"""Errands that take long, and that several threads want done: each waits for as long as it likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

__all__ = ["Errands"]


class Errands:
    """One errand at a time, in a thread of its own, so that it goes on when nobody waits any more."""

    def __init__(self) -> None:
        # A finalizer may run while it is held, and want an errand run, too.
        self._lock = threading.RLock()
        self._latest: tuple[threading.Thread, Future[None]] | None = None

    def run(self, errand: Callable[[], None], deadline: float | None) -> bool:
        """Wait for an errand that begins now, or when the one that is being run has ended.

        In the middle of an errand, where a finalizer may run and want another one, nothing is done.

        Args:
            errand: what to do.
            deadline: by the monotonic clock; None for none.

        Returns:
            False if the deadline came first; an errand that has begun by then goes on.

        Raises:
            BaseException: what the errand raised.
        """
        while True:
            with self._lock:
                if self._latest is not None and self._latest[0] is threading.current_thread():
                    return True
                own = self._latest is None or self._latest[1].done()
                if own:
                    self._latest = _begun(errand)
                assert self._latest is not None
                ended = self._latest[1]
            if not wait((ended,), None if deadline is None else max(0.0, deadline - time.monotonic())).done:
                return False
            if own:
                ended.result()
                return True

    def wait(self) -> None:
        """Until none is being run, unless it is the one that asks."""
        with self._lock:
            latest = self._latest
        if latest is not None and latest[0] is not threading.current_thread():
            latest[0].join()


def _begun(errand: Callable[[], None]) -> tuple[threading.Thread, Future[None]]:
    ended: Future[None] = Future()

    def run() -> None:
        try:
            errand()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=run, name="isohub-errand", daemon=True)
    thread.start()
    return thread, ended
