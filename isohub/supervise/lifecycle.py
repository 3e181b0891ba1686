"""The life of a worker, as a table. No I/O.

=========  =========  =========  =========
state      ready      close      exit
=========  =========  =========  =========
starting   serving    closing    dead
serving               closing    dead
closing    closing    closing    closed
dead       dead       dead
closed     closed     closed
=========  =========  =========  =========

A process exit is the only death. What ends in "closed" was wanted; what ends in "dead" was not, and somebody is told why.
"""

from __future__ import annotations

import threading
from enum import Enum

__all__ = ["Event", "Lifecycle", "State"]


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    CLOSING = "closing"
    DEAD = "dead"
    CLOSED = "closed"


class Event(Enum):
    """What can happen to a worker."""

    READY = "ready"
    CLOSE = "close"
    EXIT = "exit"


_NEXT = {
    (State.STARTING, Event.READY): State.SERVING,
    (State.STARTING, Event.CLOSE): State.CLOSING,
    (State.STARTING, Event.EXIT): State.DEAD,
    (State.SERVING, Event.CLOSE): State.CLOSING,
    (State.SERVING, Event.EXIT): State.DEAD,
    (State.CLOSING, Event.READY): State.CLOSING,
    (State.CLOSING, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.EXIT): State.CLOSED,
    (State.DEAD, Event.READY): State.DEAD,
    (State.DEAD, Event.CLOSE): State.DEAD,
    (State.CLOSED, Event.READY): State.CLOSED,
    (State.CLOSED, Event.CLOSE): State.CLOSED,
}


class Lifecycle:
    """The state of one worker; threads may report events at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State.STARTING

    @property
    def state(self) -> State:
        return self._state

    @property
    def alive(self) -> bool:
        """Whether calls make sense."""
        return self._state in (State.STARTING, State.SERVING)

    def on(self, event: Event) -> State:
        """The state that `event` leads to.

        Raises:
            RuntimeError: it cannot happen in this state, which is a fault in isohub.
        """
        with self._lock:
            following = _NEXT.get((self._state, event))
            if following is None:
                raise RuntimeError(f"a worker that is {self._state.value} cannot become {event.value}")
            self._state = following
            return following
