"""The worker's life, from its first word to the last.

The control channel is a stream socket that the host holds the other end of. The worker says there that it is there, the host
where it is to connect. What the worker then waits for is its end, which means that the host has closed this worker or has died,
and the worker goes, whatever it is doing. Before that come lines that say what is to be stopped, see ``cancels``. While it waits,
the worker puts a byte into it from time to time. Nobody has to take that out; it only says that Python runs in the worker.

Calls arrive on one ZeroMQ socket and answers leave by another, so that neither side ever needs one socket in two threads. With
one thread (the default) the main thread does everything: it reads a call, does it, answers; while nothing is asked it
moves the open streams on, an item each in turn.

Here and in what this stands on, functions of modules are imported by their names before a hubconf is: it may replace them in the
modules (sockets that go by a proxy, a clock that stands still), and the worker goes on as it was.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from json import loads
from socket import MSG_DONTWAIT, socket, timeout
from threading import Thread, Timer
from time import monotonic
from types import ModuleType
from typing import Any, Callable, Sequence

from zmq import NOBLOCK, PULL, PUSH, RCVMORE, Again, Context
from zmq.backend import Socket

from . import messages, packets
from .arena import Inlet, Outlet, Watch
from .cancels import Cancels, MainThread, PoolThreads
from .codec import CannotEncode, Decoder, Encoder
from .dispatch import Dispatcher
from .faults import fault_of
from .messages import Unavailable, WireError
from .objects import Kept, ObjectTable
from .outbox import Outbox
from .streams import Stream, Streams

__all__ = ["Server", "introduce", "watch_host"]

# How long what a repository registered to happen at exit may take.
_GRACE = 1.0


def introduce(control: socket) -> Any:
    """Say on the control channel that this process is there, and hear where it is to connect.

    The kernel tells the host which process that is, and the host lets that one in and no other.
    """
    # Whatever the hubconf made the default.
    control.settimeout(None)
    try:
        control.sendall(b"+")
        line = b""
        while not line.endswith(b"\n"):
            chunk = control.recv(65536)
            if not chunk:
                os._exit(0)
            line += chunk
    except OSError:
        os._exit(0)  # the host has given up already
    return loads(line.decode())


def watch_host(control: socket, beat: float, heed: Callable[[bytes], None]) -> None:
    """Start to wait for the end of the control channel, at which this process goes, and to give signs of life there.

    Args:
        control: the channel.
        beat: how often to give one, in seconds.
        heed: is given the lines that come before its end.
    """
    control.settimeout(beat)
    Thread(target=_go_with_host, args=(control, beat, heed), name="isohub-control", daemon=True).start()


class Server:
    """Answers the host's messages, one after the other.

    Args:
        boot: the boot record; ``requests`` and ``replies`` are endpoints, ``key`` is the word that proves who connects,
            ``threads`` the number of calls done at once, ``arena`` (the file descriptors of the host's arena and of the
            worker's, and their size) or None, and the rest is the dispatcher's.
        hubconf: the hubconf, or what its import raised.
    """

    def __init__(self, boot: dict[str, Any], hubconf: ModuleType | BaseException) -> None:
        context = Context()
        self._inbox = context.socket(PULL)
        outbox = context.socket(PUSH)
        for endpoint, sock in ((boot["requests"], self._inbox), (boot["replies"], outbox)):
            sock.set_hwm(0)
            sock.linger = 0
            sock.connect(endpoint)
        # What pyzmq puts around this checks what is known here, and takes as long as it does.
        self._recv = partial(Socket.recv, self._inbox)
        self._outbox = Outbox(outbox)
        self._together = False  # whether other calls have come with the one that is done now
        self._key = boot["key"]
        self._pid = os.getpid()
        self._objects = ObjectTable()
        self._outlet: Outlet | None = None
        self._inlet: Inlet | None = None
        self._freed: deque[int] = deque()  # blocks of the host's arena whose last view has died
        if boot["arena"] is not None:
            from_host, to_host, size = boot["arena"]
            try:
                self._inlet = Inlet(from_host, size, on_dead=self._freed.append)
                self._outlet = Outlet(to_host, size)
            except MemoryError as error:
                hubconf = error
        self._encoder = Encoder(self._objects.reference, self._outlet, take_back=self._objects.not_sent)
        self._decoder = Decoder(self._objects.resolve, place=True, inlet=self._inlet, outlet=self._outlet)
        self._pool = ThreadPoolExecutor(boot["threads"]) if boot["threads"] > 1 else None
        self._streams = Streams(self._step, self._pool)
        self._running = MainThread() if self._pool is None else PoolThreads()
        self._dispatcher = Dispatcher(hubconf, boot["arrays_as_tensors"], self._running)
        self._cancels = Cancels(self._running, lambda call: self._send([messages.NOT_RUNNING, call]))

    def cancel(self, line: bytes) -> None:
        """Do what the host says on the control channel. One thread calls it."""
        self._cancels.heed(line)

    def serve(self) -> None:
        """Serve until the process ends."""
        self._send([messages.HELLO, messages.PROTOCOL, self._key, self._pid])
        while True:
            try:
                first = self._recv(NOBLOCK if self._streams.ready() else 0)
            except Again:
                self._streams.turn()
                continue
            frames = (first, *self._receive_more()) if packets.has_more(first) else (first,)
            arrived = packets.unpack(frames)
            if len(arrived) == 1:
                self._handle(arrived[0])
            else:
                self._handle_together(arrived)

    def _handle_together(self, arrived: Sequence[Sequence[Any]]) -> None:
        self._together = self._pool is None
        for parts in arrived:
            self._handle(parts)
        self._together = False
        with self._outbox.lock:
            self._outbox.flush()

    def _receive_more(self) -> list[Any]:
        """The other frames of a message; none if the host says that there are more than there are."""
        frames: list[Any] = []
        while self._inbox.getsockopt(RCVMORE):
            frames.append(self._inbox.recv(copy=False))
        return frames

    def _handle(self, parts: Sequence[Any]) -> None:
        try:
            message = messages.check(self._decoder.decode(parts), messages.FROM_HOST)
        except Unavailable as error:
            kind, call, *_ = messages.check(error.message, messages.FROM_HOST)
            if kind != messages.REQUEST:
                raise WireError("a value in a message of kind %d" % kind) from error
            self._decoder.borrowed = []
            self._send([messages.FAULT, call, list(fault_of(error))])
            return
        kind = message[0]
        if kind == messages.REQUEST:
            if message[2] == "stream":
                self._open_stream(*message[1:])
                return
            borrowed: Sequence[Watch] = ()
            if self._decoder.borrowed:
                borrowed, self._decoder.borrowed = self._decoder.borrowed, []
            if self._pool is None:
                self._do(message, borrowed)
            else:
                self._pool.submit(self._do, message, borrowed)
        elif kind == messages.RELEASE:
            self._release(*message[1:])
        else:
            self._streams.more(*message[1:])

    def _release(self, objects: list[Any], streams: list[int], blocks: list[int]) -> None:
        if any(type(number) is not int for number in (*streams, *blocks)):
            raise WireError("the host drops a stream or a block that has no number")
        self._objects.release(objects)
        for call in streams:
            self._streams.close(call)
        for block in blocks:
            if self._outlet is not None:
                self._outlet.free(block)

    def _do(self, message: list[Any], borrowed: Sequence[Watch]) -> None:
        _, call, op, target, args, kwargs, grad = message
        try:
            value = self._dispatcher.do(call, op, target, args, kwargs, grad)
            # What the call does not keep dies here, so that its space in the arena goes back with the answer.
            message.clear()
            del target, args, kwargs
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: code in a worker ends neither the worker nor the host by raising.
            self._send([messages.FAULT, call, list(fault_of(error))], borrowed)
        else:
            message += (messages.VALUE, call, value)
            del value
            self._send_value(message, borrowed)

    def _open_stream(self, call: int, op: str, target: Any, args: Any, kwargs: Any, grad: int) -> None:
        if len(args) != 1 or type(args[0]) is not int:
            raise WireError("a stream is opened without saying how many items it may send")
        try:
            iterator = self._dispatcher.do(call, "iter", target, [], {}, grad)
        except BaseException as error:
            self._send([messages.FAULT, call, list(fault_of(error))])
        else:
            self._streams.open(Stream(call, iterator, grad), args[0])

    def _step(self, stream: Stream) -> bool:
        """Send the next item of `stream`; False once it has no more."""
        try:
            value = self._dispatcher.do(stream.call, "next", stream.iterator, [], {}, stream.grad)
        except StopIteration:
            self._send([messages.END, stream.call])
            return False
        except BaseException as error:
            self._send([messages.FAULT, stream.call, list(fault_of(error))])
            return False
        self._send_value([messages.ITEM, stream.call, value])
        return True

    def _send_value(self, message: list[Any], borrowed: Sequence[Watch] = ()) -> None:
        try:
            self._send(message, borrowed)
        except CannotEncode:
            # Only a container that contains itself, or is nested without end: it stays here and is referred to.
            message[2] = Kept(message[2])
            self._send(message, borrowed)
        except BaseException as error:
            # A value that cannot be looked at: its own code raised while it was being packed.
            self._send([messages.FAULT, message[1], list(fault_of(error))], borrowed)

    def _send(self, message: list[Any], borrowed: Sequence[Watch] = ()) -> None:
        if os.getpid() != self._pid:
            # The repository forked, and its child came back here as if it were the worker.
            os._exit(0)
        # Encoding is inside it too: the description of a type must leave before the first message that relies on it.
        with self._outbox.lock:
            try:
                parts = self._encoder.encode(message)
            except BaseException:
                self._objects.not_sent()
                raise
            self._objects.sent()
            send = self._outbox.add if self._together else self._outbox.send
            if borrowed or self._freed:
                send(*self._news_of_blocks(message, borrowed), parts)
            else:
                send(parts)

    def _news_of_blocks(self, message: list[Any], borrowed: Sequence[Watch]) -> list[list[Any]]:
        """What the host must know before it knows of `message`, which is packed already, as the parts of messages."""
        news = []
        if borrowed:
            # What still looks at it when the value is gone was kept.
            message.clear()
            kept = [watch.offset for watch in borrowed if watch() is not None]
            if kept:
                news.append(self._encoder.encode([messages.KEPT, kept]))
        if self._freed:
            news.append(self._encoder.encode([messages.FREED, self._take_freed()]))
        return news

    def _take_freed(self) -> list[int]:
        freed = []
        try:
            while True:
                freed.append(self._freed.popleft())
        except IndexError:
            return freed


def _go_with_host(control: socket, beat: float, heed: Callable[[bytes], None]) -> None:
    """Wait for the end of the control channel, then end this process in an orderly way if that is quick.

    Whoever held the other end ends what this process has started.
    """
    try:
        begun = b""
        due = monotonic()
        while True:
            if monotonic() >= due:
                _give_sign_of_life(control)
                due = monotonic() + beat
            try:
                text = control.recv(4096)
            except timeout:
                continue
            except OSError:
                break  # a host that dies with signs of life unread resets the connection
            if not text:
                break
            *lines, begun = (begun + text).split(b"\n")
            for line in lines:
                heed(line)
        timer = Timer(_GRACE, os._exit, (0,))
        timer.daemon = True
        timer.start()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        traceback.print_exc()
    finally:
        # Whatever the repository made of these.
        os._exit(0)


def _give_sign_of_life(control: socket) -> None:
    try:
        control.send(b".", MSG_DONTWAIT)
    except OSError:
        pass  # it is full, since the host is stopped, or it is over
