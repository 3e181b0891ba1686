"""The two sockets between a host and one worker: whole messages out, whole messages in. What they say is not looked at.

Requests leave by one and answers arrive on the other, so a thread can send while another one waits. A message that has arrived
is kept here until it is taken, so an interrupt in the middle of receiving loses nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import zmq
import zmq.backend

from isohub.rpc.interrupts import Uninterrupted
from isohub_worker.packets import has_more, pack

__all__ = ["Link"]

# How often a sender that finds nobody at the other end asks whether the worker is known to be dead by now.
_RETRY_MS = 50
_BLOCKING = (0,)


class _Context(zmq.Context["zmq.Socket[bytes]"]):
    """One context, and so one I/O thread, for all workers of a process; ``instance()`` knows about forks."""

    _instance = None


class Link:
    """Sockets that wait for a worker to connect.

    Any thread may send; one at a time may receive.
    """

    def __init__(self) -> None:
        context = _Context.instance()
        self._outbox = context.socket(zmq.PUSH)
        self._inbox = context.socket(zmq.PULL)
        for socket in (self._outbox, self._inbox):
            socket.set_hwm(0)
            socket.linger = 0
        self._wake_endpoint = f"inproc://isohub-{id(self)}"
        self._inbox.bind(self._wake_endpoint)
        self._arrivals = zmq.Poller()
        self._arrivals.register(self._inbox, zmq.POLLIN)
        # What pyzmq puts around these two checks what is known here, and takes as long as they do.
        self._send = partial(zmq.backend.Socket.send, self._outbox)
        self._recv = partial(zmq.backend.Socket.recv, self._inbox)
        self._recv_more = partial(zmq.backend.Socket.recv, self._inbox, copy=False)
        self._sending = threading.Lock()
        self._senders: set[int] = set()  # threads that have the lock or are about to take it, as in ``turns``
        self._arrived: deque[Any] = deque()
        self._over = False

    def admit(self, folder: Path, pid: int) -> tuple[str, str]:
        """Let the process `pid` connect, before anything is sent or received.

        On Linux the kernel says who connects, and nobody else can: of requests, each peer would get its share. Elsewhere it is
        the folder that keeps others out.

        Args:
            folder: where the two endpoints are; nobody else can look into it.

        Returns:
            The endpoint of requests, and that of replies.

        Raises:
            OSError: they cannot be made there.
        """
        endpoints = f"ipc://{folder / 'q'}", f"ipc://{folder / 'a'}"
        for socket, endpoint in zip((self._outbox, self._inbox), endpoints, strict=True):
            try:
                if sys.platform.startswith("linux"):
                    socket.setsockopt(zmq.IPC_FILTER_PID, pid)
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                raise OSError(error.errno, f"cannot listen at {endpoint}: {error.strerror}") from error
        return endpoints

    # ---- out

    @property
    def sending(self) -> bool:
        """Whether this thread is in the middle of `send`."""
        return threading.get_ident() in self._senders

    def send(self, parts: list[Any]) -> None:
        """Send a message; after `end` it goes nowhere."""
        frames = pack(parts)
        me = threading.get_ident()
        self._senders.add(me)
        try:
            with self._sending:
                while not self._over:
                    try:
                        if len(frames) == 1:
                            self._send(frames[0], zmq.NOBLOCK)
                        else:
                            with Uninterrupted():
                                self._outbox.send_multipart(frames, zmq.NOBLOCK)
                    except zmq.Again:
                        # Nobody is connected: not yet, in the worker's first instants, or not any more.
                        self._outbox.poll(_RETRY_MS, zmq.POLLOUT)
                    else:
                        return
        finally:
            self._senders.discard(me)

    # ---- in

    def arrives(self, deadline: float | None) -> bool:
        """Wait until there is a message to `take`; False if the deadline came first."""
        arrived = self._arrived
        while not arrived or (has_more(arrived[0]) and (len(arrived) == 1 or arrived[-1].more)):
            if deadline is not None and not self._arrivals.poll(_milliseconds_until(deadline)):
                return False
            # In one go, since Python handles signals between any two steps of the main thread.
            arrived.extend(map(self._recv_more if arrived else self._recv, _BLOCKING))
        return True

    def take(self) -> list[Any]:
        """The frames of the message that has arrived; one empty frame if it was the end."""
        frames = [*self._arrived]
        self._arrived.clear()
        return frames

    # ---- the end

    def end(self) -> None:
        """The worker is gone: nothing is sent any more, and whoever waits for a message gets an empty one."""
        self._over = True
        with _Context.instance().socket(zmq.PUSH) as waker:
            waker.connect(self._wake_endpoint)
            waker.send(b"")

    def close(self) -> None:
        """Close the sockets, when nobody receives any more."""
        with self._sending:
            self._outbox.close()
            self._inbox.close()


def _milliseconds_until(deadline: float) -> int:
    return int(max(0, deadline - time.monotonic()) * 1000) + 1
