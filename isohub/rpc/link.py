"""The two sockets between a host and one worker: whole messages out, whole messages in. What they say is not looked at.

Requests leave by one and answers arrive on the other, so a thread can send while another one waits.
"""

from __future__ import annotations

import math
import os
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq
import zmq.backend
from zmq.backend import zmq_poll

from isohub.rpc.interrupts import Uninterrupted
from isohub_worker.packets import has_more, pack

__all__ = ["Link"]

# How often a sender that finds nobody at the other end asks whether the worker is known to be dead by now.
_RETRY_MS = 50


class _Context(zmq.Context["zmq.Socket[bytes]"]):
    """One context, and so one I/O thread, for all workers of a process; ``instance()`` knows about forks."""

    _instance = None


class Link:
    """Sockets that wait for a worker to connect.

    Any thread may send; one at a time may receive.

    Attributes:
        held: messages that wait for others to go along.
        over: whether nothing is sent any more.
        senders: threads that are in the middle of `send`.
    """

    def __init__(self) -> None:
        context = _Context.instance()
        self._outbox = context.socket(zmq.PUSH)
        self._inbox = context.socket(zmq.PULL)
        for socket in (self._outbox, self._inbox):
            socket.set_hwm(0)
            socket.linger = 0
        self._own_endpoint = f"inproc://isohub-{id(self)}"
        self._inbox.bind(self._own_endpoint)
        self._wake_word = secrets.token_bytes(16)  # which no worker can say
        self._arrivals = [(self._inbox, int(zmq.POLLIN))]
        # What pyzmq puts around these two checks what is known here, and takes as long as they do.
        self._send = partial(zmq.backend.Socket.send, self._outbox)
        self._recv = partial(zmq.backend.Socket.recv, self._inbox)
        self._sending = threading.Lock()
        self.senders: set[int] = set()  # threads that have the lock or are about to take it, as in ``turns``
        self.held: deque[Sequence[Any]] = deque()
        self.over = False

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

    def send(self, *messages: Sequence[Any]) -> None:
        """Send messages, given as their parts, after those that are held; after `end` they go nowhere."""
        me = threading.get_ident()
        self.senders.add(me)
        try:
            with self._sending:
                if self.held or len(messages) != 1:
                    # Who is interrupted here must not take others' messages along.
                    with Uninterrupted():
                        self._transmit(pack(*self._take_held(), *messages))
                else:
                    self._transmit(pack(*messages))
        finally:
            self.senders.discard(me)

    def hold(self, message: Sequence[Any]) -> None:
        """Have a message leave with the next one that is sent, or by `flush`."""
        self.held.append(message)

    def flush(self) -> None:
        """Send what is held."""
        if self.held:
            self.send()

    def _take_held(self) -> list[Sequence[Any]]:
        # One by one, since others add to it meanwhile.
        return [self.held.popleft() for _ in range(len(self.held))]

    def _transmit(self, frames: Sequence[Any]) -> None:
        while not self.over and frames:
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

    # ---- in

    def watch(self) -> int | None:
        """A file descriptor, the caller's to close, that becomes readable when something arrives after `receive` has taken in
        all there was; None after `close`.
        """
        with self._sending:  # or the socket might be closed meanwhile, and its number another file's
            return None if self._inbox.closed else os.dup(int(self._inbox.get(zmq.FD)))

    def receive(self, deadline: float | None, take: Callable[[Sequence[Any]], bool]) -> bool:
        """Wait for a message and have `take` take in its frames; False if the deadline came first.

        At the end there comes one empty frame.

        Args:
            deadline: by the monotonic clock; None for none.
            take: answers whether to go on with what else is there.
        """
        if deadline is not None and not zmq_poll(self._arrivals, _milliseconds_until(deadline)):
            return False
        # Python handles signals between any two steps of the main thread, and pyzmq looks for them when it has received already.
        with Uninterrupted(self._wake):
            try:
                first = self._recv(0 if deadline is None else zmq.NOBLOCK)
                while first != self._wake_word:
                    if not take((first, *self._receive_more()) if has_more(first) else (first,)):
                        break
                    first = self._recv(zmq.NOBLOCK)
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
        self.over = True
        self._send_to_inbox(b"")

    def _wake(self) -> None:
        """Have `receive` wait no longer."""
        self._send_to_inbox(self._wake_word)

    def _send_to_inbox(self, frame: bytes) -> None:
        with _Context.instance().socket(zmq.PUSH) as socket:
            socket.connect(self._own_endpoint)
            socket.send(frame)

    def close(self) -> None:
        """Close the sockets, when nobody receives any more."""
        with self._sending:
            self._outbox.close()
            self._inbox.close()


def _milliseconds_until(deadline: float) -> int:
    return max(0, math.ceil((deadline - time.monotonic()) * 1000))
