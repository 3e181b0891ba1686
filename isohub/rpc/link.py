"""The two sockets between a host and one worker: whole messages out, whole messages in. What they say is not looked at.

Requests leave by one and answers arrive on the other, so a thread can send while another one waits.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq
import zmq.backend
from zmq.backend import zmq_poll

from isohub.rpc.interrupts import Uninterrupted
from isohub_worker.packets import has_more

__all__ = ["Link"]

# How often a sender that finds nobody at the other end asks whether the worker is known to be dead by now.
_RETRY_MS = 50


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
        self._arrivals = [(self._inbox, int(zmq.POLLIN))]
        # What pyzmq puts around these two checks what is known here, and takes as long as they do.
        self._send = partial(zmq.backend.Socket.send, self._outbox)
        self._recv = partial(zmq.backend.Socket.recv, self._inbox)
        self._sending = threading.Lock()
        self._senders: set[int] = set()  # threads that have the lock or are about to take it, as in ``turns``
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

    def send(self, frames: Sequence[Any]) -> None:
        """Send what these frames hold; after `end` it goes nowhere."""
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

    @property
    def fd(self) -> int:
        """What becomes readable when something arrives after `receive` has taken in all there was."""
        return int(self._inbox.get(zmq.FD))

    def receive(self, deadline: float | None, take: Callable[[Sequence[Any]], bool]) -> bool:
        """Wait for a message and have `take` take in its frames; False if the deadline came first.

        At the end there comes one empty frame.

        Args:
            deadline: by the monotonic clock; None for none.
            take: answers whether to go on with what else is there.
        """
        # What this waits for may be interrupted, and what follows may not: pyzmq looks for signals when it has received already.
        if not zmq_poll(self._arrivals, -1 if deadline is None else _milliseconds_until(deadline)):
            return False
        with Uninterrupted():
            try:
                while True:
                    first = self._recv(zmq.NOBLOCK)
                    if not take((first, *self._receive_more()) if has_more(first) else (first,)):
                        break
            except zmq.Again:
                pass  # that was all
        return True

    def _receive_more(self) -> list[Any]:
        """The other frames of a message, which arrive together with the first."""
        frames: list[Any] = []
        try:
            while not frames or frames[-1].more:
                frames.append(self._inbox.recv(zmq.NOBLOCK, copy=False))
        except zmq.Again:
            pass  # the worker says that there are more than there are, and is told so by whoever unpacks them
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
    return max(0, math.ceil((deadline - time.monotonic()) * 1000))
