"""The socket on which answers leave: one after the other, or together while calls come faster than a frame costs.

The host sends calls together when the worker has enough to do. Their answers may then wait for each other, but not for a call
that takes long: a thread sees to it that whatever waits leaves after a millisecond or two. It runs as soon as code that holds the
interpreter lets go of it, and only while answers wait at all.
"""

from __future__ import annotations

from functools import partial
from threading import Event, Lock, Thread
from time import sleep
from typing import Any, Sequence

from zmq.backend import Socket

from . import packets

__all__ = ["Outbox"]

# How long an answer may wait for others, in seconds, and how many may wait together.
_LONGEST = 0.001
_MOST = 32


class Outbox:
    """Sends messages, given as their parts, in the order in which it gets them.

    Args:
        socket: connected, and used by nobody else.

    Attributes:
        lock: held by whoever calls the methods.
    """

    def __init__(self, socket: Any) -> None:
        self.lock = Lock()
        self._socket = socket
        # What pyzmq puts around this checks what is known here, and takes as long as it does.
        self._send_frame = partial(Socket.send, socket)
        self._waiting: list[Sequence[Any]] = []
        self._busy = Event()
        self._started = False

    def send(self, *messages: Sequence[Any]) -> None:
        """Send these messages, after those that wait."""
        if self._waiting:
            messages = (*self._waiting, *messages)
            self._waiting.clear()
        frames = packets.pack(*messages)
        if len(frames) == 1:
            self._send_frame(frames[0])
        else:
            self._socket.send_multipart(frames)

    def add(self, *messages: Sequence[Any]) -> None:
        """Send these messages, now or with others a moment later."""
        if len(self._waiting) >= _MOST:
            self.send(*messages)
            return
        if not self._busy.is_set():
            if not self._started:
                Thread(target=self._send_late, name="isohub-outbox", daemon=True).start()
                self._started = True
            self._busy.set()
        self._waiting += messages

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            self.send()

    def _send_late(self) -> None:
        while True:
            self._busy.wait()
            sleep(_LONGEST)
            with self.lock:
                if not self._waiting:
                    self._busy.clear()
                self.flush()
