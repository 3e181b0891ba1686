"""The blocking connection to one worker.

Requests leave by one ZeroMQ socket and answers arrive on another, so a thread can send while another one waits. Of the
threads that wait, one reads the socket for all: its own answer reaches it without waking anybody, the answers of the others
wake them, and when it leaves it hands the reading over. The worker's death arrives on the same socket, so there is nothing
else to watch.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import zmq

from isohub.errors import CallTimeout, IsohubError, ProtocolError, StaleObject, UnsupportedValue
from isohub.rpc.calls import Call, Calls, Stream
from isohub.rpc.proxy import Proxies, RemoteObject
from isohub.rpc.raised import remote_error
from isohub.rpc.releases import Releases
from isohub_worker import messages
from isohub_worker.codec import CannotEncode, Decoder, Encoder, Unavailable
from isohub_worker.faults import Fault, read_fault
from isohub_worker.messages import WireError

__all__ = ["Channel"]

# What a worker had sent when it died is in the kernel by then; it takes no longer than this to arrive here.
_DRAIN_MS = 50
# How often a sender that finds nobody at the other end asks whether the worker is known to be dead by now.
_RETRY_MS = 50


class _Context(zmq.Context["zmq.Socket[bytes]"]):
    """One context, and so one I/O thread, for all channels of a process; ``instance()`` knows about forks."""

    _instance = None


class Channel:
    """Calls to one worker.

    Args:
        folder: where the two endpoints are; nobody else can look into it.
        name: what the worker is called in messages.
        key: the word by which the worker proves that it is the one that was started.
        log: where the worker's output goes.
        tail: answers the last lines of that.
        timeout: seconds that a call may take; None for no limit.
        kill: ends the worker process; called when it breaks the protocol.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        key: str,
        log: Path,
        tail: Callable[[], str],
        timeout: float | None,
        kill: Callable[[], None],
    ) -> None:
        self.name = name
        self.requests = f"ipc://{folder / 'q'}"
        self.replies = f"ipc://{folder / 'a'}"
        self._key = key
        self._log = log
        self._tail = tail
        self._timeout = timeout
        self._kill = kill
        self._pid = os.getpid()
        context = _Context.instance()
        self._outbox = context.socket(zmq.PUSH)
        self._inbox = context.socket(zmq.PULL)
        for socket, endpoint in ((self._outbox, self.requests), (self._inbox, self.replies)):
            socket.set_hwm(0)
            socket.linger = 0
            socket.bind(endpoint)
        self._wake_endpoint = f"inproc://isohub-{id(self)}"
        self._inbox.bind(self._wake_endpoint)
        self._sending = threading.Lock()
        self._reading = threading.Lock()
        self._parked: dict[threading.Lock, Call | Stream] = {}
        self._calls = Calls()
        self._releases = Releases(self._flush_releases)
        self._proxies = Proxies(self, self._releases)
        self._encoder = Encoder(self._proxies.reference)
        self._decoder = Decoder(self._proxies.resolve, place=False)
        self._futures: queue.SimpleQueue[tuple[Call, Future[Any], float | None] | None] = queue.SimpleQueue()
        self._answered: deque[tuple[Call, Future[Any]]] = deque()
        self._pump: threading.Thread | None = None
        # The word on why nothing works any more; set once, by the first that knows.
        self._violation: WireError | None = None
        self._death: Callable[[], IsohubError] | None = None
        self._buried = False

    # ---- calls

    def open(self) -> Any:
        """Have the worker import its hubconf, however long that takes; what it answers.

        Raises:
            RemoteError: the hubconf does not import.
            WorkerDied: the worker ended over it.
        """
        return self._ask("open", None, (), {}, deadline=None)

    def call(
        self, op: str, target: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do `op` on `target` over there and wait for what it answers.

        Raises:
            RemoteError: the code over there raised.
            CallTimeout: there was no answer in time.
            WorkerDied: the worker ended before it answered.
            StaleObject: it had ended before the call.
            UnsupportedValue: an argument has no form that can cross.
            ForeignObject: an argument belongs to another worker.
            ProtocolError: the worker answered nonsense, and was ended.
        """
        return self._ask(op, target, args, kwargs or {}, self._deadline())

    def _ask(
        self, op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], deadline: float | None
    ) -> Any:
        call = self._calls.open_call()
        self._request(call.number, op, target, args, kwargs)
        self._wait(call, deadline, op)
        if call.fault is not None:
            raise self._error(call.fault)
        return call.value

    def submit(
        self, op: str, target: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Future[Any]:
        """Like `call`, but answers at once, with a future; what cannot be sent still raises here."""
        future: Future[Any] = Future()
        call = self._calls.open_call(on_done=lambda done: self._answered.append((done, future)))
        self._request(call.number, op, target, args, kwargs or {})
        self._futures.put((call, future, self._deadline()))
        self._start_pump()
        return future

    def open_stream(self, target: RemoteObject) -> Stream:
        """Ask for the items of the iterator `target`; `next_item` reads them, and the stream ends with the proxy."""
        stream = self._calls.open_stream()
        self._request(stream.number, "stream", target, (stream.first_credit,), {})
        self._proxies.read_ahead(target, stream.number)
        return stream

    def next_item(self, stream: Stream) -> Any:
        """The next item of `stream`.

        Raises:
            StopIteration: there is none.
            RemoteError: the iterator over there raised. Otherwise as `call`.
        """
        self._wait(stream, self._deadline(), "next")
        if stream.items:
            item = stream.items.popleft()
            more = stream.more()
            if more and self._death is None:
                self._send([messages.MORE, stream.number, more])
            return item
        if stream.fault is not None:
            fault, stream.fault = stream.fault, None
            raise self._error(fault)
        raise StopIteration

    def _request(
        self, number: int, op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        try:
            self.require_alive()
            # Packed here, a target skips the codec's search for what it might be.
            reference = None if target is None else self._proxies.reference(target)
            message = [messages.REQUEST, number, op, reference, args, kwargs, _grad_mode()]
            try:
                self._send(message)
            except CannotEncode as error:
                raise self._unsupported(error, op, args, kwargs) from None
        except BaseException:
            self._calls.withdraw(number)
            raise

    def require_alive(self) -> None:
        """Raise StaleObject if no call can succeed any more."""
        if self._death is not None:
            raise StaleObject(
                f"the worker of {self.name} has ended, and this object with it: {self._death().message}",
                log=self._log,
                hint="load it again",
            )
        if os.getpid() != self._pid:
            raise StaleObject(
                f"this process is a fork of the one that loaded {self.name}; the worker serves only that one",
                hint="load it in this process",
            )

    def _unsupported(
        self, error: CannotEncode, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> UnsupportedValue:
        """Say which argument it was."""
        where = ""
        first = 1 if op == "call" else 0  # the others have a name before the caller's arguments
        for label, value in [*((f"argument {i}", arg) for i, arg in enumerate(args, first)), *kwargs.items()]:
            try:
                self._encoder.encode(value)
            except CannotEncode:
                where = f" ({label})"
                break
        return UnsupportedValue(
            f"cannot send this to {self.name}: {error}{where}",
            hint="pass plain values, arrays, tensors or objects of the same worker; functions stay where they are",
        )

    def _error(self, fault: Any) -> BaseException:
        if isinstance(fault, Fault):
            return remote_error(fault, self._log, self._tail)
        return fault  # type: ignore[no-any-return]

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    # ---- sending

    def _send(self, message: list[Any]) -> None:
        frames = self._encoder.encode(message)
        with self._sending:
            if self._releases:
                self._transmit(self._release_message())
            self._transmit(frames)

    def _flush_releases(self) -> None:
        with self._sending:
            if self._releases and self._death is None and os.getpid() == self._pid:
                self._transmit(self._release_message())

    def _release_message(self) -> list[Any]:
        objects, streams = self._releases.take()
        for stream in streams:
            self._calls.close_stream(stream)
        return self._encoder.encode([messages.RELEASE, objects, streams])

    def _transmit(self, frames: list[Any]) -> None:
        while self._death is None and not self._outbox.closed:
            try:
                self._outbox.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                # Nobody is connected: not yet, in the worker's first instants, or not any more.
                self._outbox.poll(_RETRY_MS, zmq.POLLOUT)
            else:
                return

    # ---- waiting

    def _wait(self, pending: Call | Stream, deadline: float | None, what: str) -> None:
        """Until `pending` is ready, reading for everybody while nobody else does."""
        try:
            while not pending.ready:
                if self._reading.acquire(blocking=False):
                    try:
                        in_time = self._read_until(pending, deadline)
                    finally:
                        self._reading.release()
                        self._settle_futures()
                else:
                    in_time = self._park(pending, deadline)
                if not in_time and not pending.ready:
                    raise CallTimeout(
                        f"{self.name} did not answer within {self._timeout:g} s ({what})",
                        log=self._log,
                        hint="give the Hub a longer timeout, or look into the log for what the worker does",
                    )
        except BaseException:
            if isinstance(pending, Call):
                self._calls.abandon(pending)
            raise
        finally:
            self._hand_over()

    def _read_until(self, pending: Call | Stream, deadline: float | None) -> bool:
        """Read the socket until `pending` is ready or a future is answered; False when the deadline came first.

        Called by whoever holds the reading lock.
        """
        while not pending.ready and not self._answered:
            if self._death is not None:
                self._bury()
                break
            frames = self._receive(deadline)
            if frames is None:
                return False
            arrived = self._apply(frames)
            if arrived is not None and arrived is not pending:
                self._unpark(arrived)
        return True

    def _receive(self, deadline: float | None) -> list[Any] | None:
        if deadline is not None:
            remaining = max(0, deadline - time.monotonic())
            if not self._inbox.poll(int(remaining * 1000) + 1):
                return None
        frame = self._inbox.recv(copy=False)
        frames = [frame.buffer]
        while frame.more:
            frame = self._inbox.recv(copy=False)
            frames.append(frame.buffer)
        return frames

    def _apply(self, frames: list[Any]) -> Call | Stream | None:
        """Let a message take effect; what is ready by it."""
        if frames == [b""] or self._violation is not None:
            return None  # somebody's wake-up call; or what a worker says that is being ended
        try:
            try:
                message = messages.check(self._decoder.decode(frames), messages.FROM_WORKER)
                if message[0] == messages.FAULT:
                    message[2] = read_fault(message[2])
            except Unavailable as error:
                unsupported = UnsupportedValue(f"the answer of {self.name} cannot be held here: {error}")
                message = [messages.FAULT, error.message[1], unsupported]
            return self._calls.receive(message)
        except WireError as error:
            self._violation = error
            self._kill()
            return None

    def _park(self, pending: Call | Stream, deadline: float | None) -> bool:
        """Sleep until somebody wakes this thread; False when the deadline came first."""
        alarm = threading.Lock()
        alarm.acquire()
        self._parked[alarm] = pending
        # Only now can the reader that leaves see this thread; if it left before, there is nobody to wait for.
        if pending.ready or not self._reading.locked():
            self._parked.pop(alarm, None)
            return True
        try:
            return alarm.acquire(timeout=-1 if deadline is None else max(0, deadline - time.monotonic()))
        finally:
            self._parked.pop(alarm, None)

    def _unpark(self, arrived: Call | Stream) -> None:
        for alarm, pending in list(self._parked.items()):
            if pending is arrived and self._parked.pop(alarm, None) is not None:
                alarm.release()

    def _hand_over(self) -> None:
        """If nobody reads, wake one of the threads that wait, for it to read from now on."""
        if self._parked and not self._reading.locked():
            self._wake_one()

    def _wake_one(self) -> None:
        try:
            alarm, _ = self._parked.popitem()
        except KeyError:
            return
        alarm.release()

    # ---- futures

    def _settle_futures(self) -> None:
        """Give answers to their futures. Never under a lock: what people hang on a future may call the worker again."""
        while self._answered:
            self._hand_over()
            try:
                call, future = self._answered.popleft()
            except IndexError:
                return
            if not future.set_running_or_notify_cancel():
                continue
            if call.fault is not None:
                future.set_exception(self._error(call.fault))
            else:
                future.set_result(call.value)

    def _start_pump(self) -> None:
        with self._sending:
            if self._pump is None and not self._buried:
                self._pump = threading.Thread(
                    target=self._wait_for_futures, name="isohub-futures", daemon=True
                )
                self._pump.start()

    def _wait_for_futures(self) -> None:
        """Be the one that waits for answers which no thread waits for."""
        while (entry := self._futures.get()) is not None:
            call, future, deadline = entry
            try:
                self._wait(call, deadline, "submit")
            except CallTimeout as error:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)

    # ---- beginning and end

    def wait_for_hello(self, seconds: float) -> None:
        """Wait until the worker has introduced itself and is connected both ways.

        Raises:
            ProtocolError: what came was something else.
            CallTimeout: nothing came.
            IsohubError: the worker ended first; the error that `die` was given.
        """
        with self._reading:
            frames: list[Any] | None = [b""]
            while frames == [b""] and self._death is None:
                frames = self._receive(time.monotonic() + seconds)
            if self._death is not None:
                self._bury()
                raise self._death()
            if frames is None:
                raise CallTimeout(
                    f"the worker of {self.name} did not start within {seconds:g} s", log=self._log
                )
            try:
                hello = messages.check(self._decoder.decode(frames), messages.FROM_WORKER)
            except WireError as error:
                raise ProtocolError(
                    f"the worker of {self.name} started with nonsense: {error}", log=self._log
                ) from None
        if hello[:3] != [messages.HELLO, messages.PROTOCOL, self._key]:
            raise ProtocolError(
                f"the worker of {self.name} speaks protocol {hello[1]!r}, not {messages.PROTOCOL}",
                log=self._log,
            )

    def die(self, error: Callable[[], IsohubError]) -> None:
        """The worker has ended: end every wait with `error`, and this channel for good. Called by the watcher, once."""
        if self._violation is not None:
            violation = self._violation

            def error() -> IsohubError:
                return ProtocolError(
                    f"the worker of {self.name} broke the protocol and was ended: {violation}", log=self._log
                )

        self._death = error
        with _Context.instance().socket(zmq.PUSH) as waker:
            waker.connect(self._wake_endpoint)
            waker.send(b"")
        with self._reading:
            self._bury()
        with self._sending, self._reading:
            self._futures.put(None)
            self._outbox.close()
            self._inbox.close()
        self._settle_futures()

    def _bury(self) -> None:
        """Take in what the worker still said, then fail the rest. Called by whoever holds the reading lock."""
        if self._buried:
            return
        assert self._death is not None
        while self._inbox.poll(_DRAIN_MS):
            frames = self._receive(None)
            if frames is not None and (arrived := self._apply(frames)) is not None:
                self._unpark(arrived)
        self._buried = True
        self._calls.fail(self._death)
        while self._parked:
            self._wake_one()


def _grad_mode() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_grad_enabled") or torch.is_grad_enabled():
        return messages.GRAD
    if torch.is_inference_mode_enabled():
        return messages.INFERENCE
    return messages.NO_GRAD
