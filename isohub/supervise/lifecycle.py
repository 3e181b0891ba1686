"""The life of a worker, as a table. No I/O.

=========  =========  =========  =========  =========  =========
state      ready      silent     beat       close      exit
=========  =========  =========  =========  =========  =========
starting   serving    starting   starting   closing    dead
serving               suspect    serving    closing    dead
suspect               suspect    serving    closing    dead
closing    closing    closing    closing    closing    closed
dead       dead       dead       dead       dead
closed     closed     closed     closed     closed
=========  =========  =========  =========  =========  =========

A process exit is the only death. What ends in "closed" was wanted; what ends in "dead" was not, and somebody is told why.

A worker that gives no sign of life for a while is suspect: it may be stopped, or native code in it may not let go of the
interpreter. That is shown, and nothing follows from it.
"""

from __future__ import annotations

import threading
from enum import Enum

__all__ = ["Event", "Lifecycle", "State"]


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    SUSPECT = "suspect"
    CLOSING = "closing"
    DEAD = "dead"
    CLOSED = "closed"


class Event(Enum):
    """What can happen to a worker."""

    READY = "ready"
    SILENT = "silent"
    BEAT = "beat"
    CLOSE = "close"
    EXIT = "exit"


_NEXT = {
    (State.STARTING, Event.READY): State.SERVING,
    (State.STARTING, Event.SILENT): State.STARTING,
    (State.STARTING, Event.BEAT): State.STARTING,
    (State.STARTING, Event.CLOSE): State.CLOSING,
    (State.STARTING, Event.EXIT): State.DEAD,
    (State.SERVING, Event.SILENT): State.SUSPECT,
    (State.SERVING, Event.BEAT): State.SERVING,
    (State.SERVING, Event.CLOSE): State.CLOSING,
    (State.SERVING, Event.EXIT): State.DEAD,
    (State.SUSPECT, Event.SILENT): State.SUSPECT,
    (State.SUSPECT, Event.BEAT): State.SERVING,
    (State.SUSPECT, Event.CLOSE): State.CLOSING,
    (State.SUSPECT, Event.EXIT): State.DEAD,
    (State.CLOSING, Event.READY): State.CLOSING,
    (State.CLOSING, Event.SILENT): State.CLOSING,
    (State.CLOSING, Event.BEAT): State.CLOSING,
    (State.CLOSING, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.EXIT): State.CLOSED,
    (State.DEAD, Event.READY): State.DEAD,
    (State.DEAD, Event.SILENT): State.DEAD,
    (State.DEAD, Event.BEAT): State.DEAD,
    (State.DEAD, Event.CLOSE): State.DEAD,
    (State.CLOSED, Event.READY): State.CLOSED,
    (State.CLOSED, Event.SILENT): State.CLOSED,
    (State.CLOSED, Event.BEAT): State.CLOSED,
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
        return self._state in (State.STARTING, State.SERVING, State.SUSPECT)

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
