"""Why nothing is asked of a worker any more, or nothing works any more, in the words of whoever decided that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from isohub.errors import IsohubError, StaleObject

__all__ = ["Refusals"]


class Refusals:
    """The words on one channel.

    Args:
        name: what the worker is called in messages.
        log: where its output goes.
        none_open: whether nothing is asked for that the worker may still be at.

    Attributes:
        death: makes the error of what was asked and has no answer; None as long as answers come. Set once.
        forked: whether this process is a fork of the one that the worker serves.
    """

    def __init__(self, name: str, log: Path, none_open: Callable[[], bool]) -> None:
        self.death: Callable[[], IsohubError] | None = None
        self.forked = False
        self._name = name
        self._log = log
        self._none_open = none_open
        # What was asked may still be answered while nothing is asked any more.
        self._word: Callable[[], IsohubError] | None = None
        self._deciding = threading.RLock()

    @property
    def decided(self) -> bool:
        """Whether nothing is asked any more; while that is being decided, this waits for what comes of it."""
        if self._word is None:
            return False
        with self._deciding:
            return self._word is not None

    def retire(self, error: Callable[[], IsohubError]) -> bool:
        """From now on refuse with `error` whatever is asked, if nothing is open; False if something is, and nothing has changed.

        Whoever asks at the same moment has either opened a call by now, or finds the refusal.
        """
        with self._deciding:
            if self._word is not None:
                return False
            self._word = error
            if not self._none_open():
                self._word = None
                return False
            return True

    def die(self, error: Callable[[], IsohubError]) -> None:
        """From now on nothing works, because of `error`."""
        with self._deciding:
            self.death = error
            self._word = self._word or error

    def after_fork(self) -> None:
        """In a forked child."""
        self.forked = True
        self._deciding = threading.RLock()
        self._word = self.death = lambda: StaleObject(
            f"this process is a fork of the one that loaded {self._name}; the worker serves only that one",
            hint="load it in this process",
        )

    def require_alive(self) -> None:
        """Raise StaleObject if nothing is asked any more."""
        with self._deciding:
            word = self._word
        if word is None:
            return
        error = word()
        if isinstance(error, StaleObject):
            raise error
        raise StaleObject(
            f"the worker of {self._name} has ended, and this object with it: {error.message}",
            log=self._log,
            hint="load it again",
        )
