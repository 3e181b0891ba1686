"""The blocking connection to one worker.

Any thread may ask; which of those that wait for answers reads them is the matter of ``turns``. The worker's death arrives where
its answers do, so there is nothing else to watch.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import get_ident
from types import EllipsisType
from typing import Any, NoReturn

from isohub.errors import CallTimeout, IsohubError, ProtocolError, UnsupportedValue
from isohub.rpc.arrivals import Arrivals
from isohub.rpc.calls import Call, Calls, Stream
from isohub.rpc.cancels import Cancels, WorkerProcess
from isohub.rpc.futures import Futures, RemoteFuture
from isohub.rpc.link import Link
from isohub.rpc.proxies import Proxies
from isohub.rpc.proxy import RemoteObject
from isohub.rpc.raised import remote_error
from isohub.rpc.refusals import Refusals
from isohub.rpc.releases import Releases
from isohub.rpc.requests import Requests
from isohub.rpc.turns import Turns
from isohub_worker import messages
from isohub_worker.arena import Inlet, Outlet
from isohub_worker.codec import CannotEncode, Decoder
from isohub_worker.faults import Fault
from isohub_worker.messages import Unavailable, WireError

__all__ = ["Channel"]

# What a worker raises for an argument that it cannot hold.
_UNAVAILABLE = f"{Unavailable.__module__}.{Unavailable.__qualname__}"
# What a worker had sent when it died is in the kernel by then; it takes no longer than this to arrive here.
_DRAIN = 0.05
# Whoever sends calls and never waits looks for their answers as often as this, so that they do not pile up.
_LOOK_EVERY = 64


class Channel:
    """Calls to one worker.

    Args:
        name: what the worker is called in messages.
        key: the word by which the worker proves that it is the one that was started.
        log: where the worker's output goes.
        tail: answers the last lines of that.
        timeout: seconds that a call may take; None for no limit.
        threads: how many calls the worker does at once.
        arena: file descriptors of this side's arena and of the worker's, and their size; None to send all in frames.
        worker: the process, which is ended when it breaks the protocol or does not stop what was cancelled.
        grace: seconds that what was cancelled gets to stop; None for as long as it takes.
        tally: where it is kept how many calls and how many streams were asked for.

    Raises:
        MemoryError: the system does not let the arenas be mapped.
    """

    def __init__(
        self,
        *,
        name: str,
        key: str,
        log: Path,
        tail: Callable[[], str],
        timeout: float | None,
        threads: int,
        arena: tuple[int, int, int] | None,
        worker: WorkerProcess,
        grace: float | None,
        tally: MutableSequence[int] | memoryview | None = None,
    ) -> None:
        self.name = name
        self._releases = Releases(lambda: self._requests.flush())
        self._arena: tuple[Outlet, Inlet] | None = None
        if arena is not None:
            to_worker, from_worker, size = arena
            self._arena = (
                Outlet(os.dup(to_worker), size),
                Inlet(os.dup(from_worker), size, on_dead=self._releases.add_block),
            )
        self._link = Link()
        self._key = key
        self._log = log
        self._tail = tail
        self.timeout = timeout
        self._worker = worker
        self._tally = [0, 0] if tally is None else tally
        self._turns = Turns(self._read, none_follow=lambda: self._requests.flush_if_due())
        self._calls = Calls()
        self.refusals = Refusals(name, log, none_open=lambda: self._calls.none_open)
        self._cancels = Cancels(worker, grace, oldest=self._calls.oldest, is_open=self._is_open)
        self._proxies = Proxies(self, self._releases)
        self._requests = Requests(
            name,
            self._link,
            self._proxies.reference,
            self._arena,
            self._calls,
            self._turns,
            self._cancels,
            self._releases,
            threads,
        )
        self._arrivals = Arrivals(
            name,
            Decoder(self._proxies.resolve, place=False, inlet=self._arena and self._arena[1]),
            self._calls,
            self._cancels,
            self._arena,
            kill=worker.kill,
        )
        self._futures = Futures(self)
        self._buried = False
        # Makes an object anew in another worker when this one has died, if it can; False if a deadline came first.
        self.revive: Callable[[Any, float | None], bool] | None = None
        _channels.add(self)

    def admit(self, folder: Path, pid: int) -> tuple[str, str]:
        """Let the worker, which is the process `pid`, connect.

        Args:
            folder: where the two endpoints are; nobody else can look into it.

        Returns:
            Where it gets its requests, and where it sends its replies.

        Raises:
            OSError: the endpoints cannot be made there.
        """
        return self._link.admit(folder, pid)

    # ---- calls

    def open(self) -> Any:
        """Have the worker import its hubconf, however long that takes; what it answers.

        Raises:
            RemoteError: the hubconf does not import.
            WorkerDied: the worker ended over it.
        """
        return self.call("open", None, timeout=None)

    def call(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Any:
        """Do `op` on `target` over there and wait for what it answers.

        Args:
            op: an operation of ``isohub_worker.dispatch``.
            target: what it is done on.
            args: its arguments.
            kwargs: those with names.
            timeout: seconds that it may take; None for no limit, ``...`` for the channel's own.

        Raises:
            RemoteError: the code over there raised.
            CallTimeout: there was no answer in time.
            WorkerDied: the worker ended before it answered.
            StaleObject: it had ended before the call.
            UnsupportedValue: an argument has no form that can cross.
            ForeignObject: an argument belongs to another worker.
            ProtocolError: the worker answered nonsense, and was ended.
        """
        if timeout is ...:
            timeout = self.timeout
        if self.refusals.death is not None and (heir := self.heir(target, timeout)) is not None:
            channel, left = heir
            return channel.call(op, target, args, kwargs, left)
        deadline = None if timeout is None else time.monotonic() + timeout
        call = self._calls.open_call(timeout)
        lent: list[int] = []
        try:
            self._request(call.number, op, target, args, kwargs, lent)
            if not self._turns.wait(call, deadline):
                self._give_up(call, op)
        except BaseException:
            if self._calls.abandon(call):
                self._cancels.stop(call.number)
            # Nobody waits any more, but the worker may still be at it.
            for block in lent:
                self._arrivals.keep_apart(block)
            raise
        if call.fault is not None:
            raise self.error(call.fault)
        return call.value

    def submit(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Future[Any]:
        """Like `call`, but answers at once, with a future; what cannot be sent still raises here."""
        if timeout is ...:
            timeout = self.timeout
        if self.refusals.death is not None and (heir := self.heir(target, timeout)) is not None:
            channel, left = heir
            return channel.submit(op, target, args, kwargs, left)
        call = self.send_call(op, target, args, kwargs, timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        return RemoteFuture(call, deadline, self, self._futures)

    def send_call(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        timeout: float | None,
    ) -> Call:
        """Send a call that somebody waits for later."""
        call = self._calls.open_call(timeout)
        self._request(call.number, op, target, args, kwargs)
        if call.number % _LOOK_EVERY == 0:
            # Perhaps nobody ever waits.
            self.look()
        return call

    def wait_for(self, call: Call, deadline: float | None) -> bool:
        """Until `call` is answered; False if the deadline came first."""
        if self._busy():
            self._refuse()
        return self._turns.wait(call, deadline)

    def watch(self) -> int:
        """A file descriptor, the caller's to close, that becomes readable when there is something to `look` for.

        Raises:
            StaleObject: the worker has ended, and nothing comes any more.
        """
        fd = None if self.refusals.decided else self._link.watch()
        if fd is None:
            self._refuse()
        return fd

    def look(self) -> None:
        """Take in what has arrived, without waiting, unless another thread does."""
        if not self._busy():
            self._turns.wait(_End(self), 0.0)

    def give_up(self, call: Call) -> None:
        """The call's time is over: it ends with CallTimeout, unless its answer came at the last moment."""
        if not call.ready and self._calls.abandon(call):
            call.finish(fault=self._timed_out("submit", call.timeout))
            self._cancels.stop(call.number)

    def cancel(self, call: Call) -> None:
        """Nobody wants to know what the call answers: have the worker stop it, which it then answers."""
        if not call.ready:
            self._cancels.stop(call.number)

    def _is_open(self, number: int) -> bool:
        # Perhaps nobody has looked since.
        self.look()
        return number < 0 or self._calls.is_open(number)

    def read_ahead(self, target: RemoteObject) -> None:
        """From now on `next_item` reads the items of the iterator `target` from a stream, which ends with the proxy."""
        if self.refusals.death is not None and (heir := self.heir(target, self.timeout)) is not None:
            heir[0].read_ahead(target)
            return
        self.refusals.require_alive()
        self._proxies.open_stream(target, self._open_stream)

    def _open_stream(self, target: RemoteObject) -> Stream:
        stream = self._calls.open_stream()
        self._request(stream.number, "stream", target, (stream.first_credit,), {})
        return stream

    def next_item(self, stream: Stream) -> Any:
        """The next item of `stream`.

        Raises:
            StopIteration: there is none.
            RemoteError: the iterator over there raised. Otherwise as `call`.
        """
        if self.refusals.forked or self._busy():
            self._refuse()
        while True:
            deadline = None if self.timeout is None else time.monotonic() + self.timeout
            if not self._turns.wait(stream, deadline):
                raise self._timed_out("next", self.timeout)
            try:
                item = stream.items.popleft()
            except IndexError:
                if stream.ended and not stream.items:
                    break
                continue  # another thread took the item that this one was woken for
            more = stream.more()
            if more and self.refusals.death is None:
                self._requests.tell([messages.MORE, stream.number, more])
            return item
        if stream.fault is not None:
            fault, stream.fault = stream.fault, None
            raise self.error(fault)
        raise StopIteration

    def _request(
        self,
        number: int,
        op: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        lent: list[int] | None = None,
    ) -> None:
        try:
            if self._busy() or self.refusals.decided:
                self._refuse()
            # Packed here, a target skips the codec's search for what it might be.
            reference = None if target is None else self._proxies.own_reference(target)
            message = [messages.REQUEST, number, op, reference, [*args], kwargs or {}, _grad_mode()]
            try:
                self._requests.tell(message, lent)
            except CannotEncode as error:
                raise self._requests.unsupported(error, op, args, kwargs or {}) from None
            # Numbers count up for calls and down for streams. Threads may come here in another order.
            if number > self._tally[0]:
                self._tally[0] = number
            elif number < 0:
                self._tally[1] = max(self._tally[1], -number)
        except Exception:
            self._calls.withdraw(number)
            raise
        except BaseException:
            # Interrupted: it may have left, or not.
            self._calls.disown(number)
            raise

    @property
    def ended(self) -> bool:
        """Whether no call can succeed any more."""
        return self.refusals.death is not None

    def heir(self, target: RemoteObject | None, timeout: float | None) -> tuple[Channel, float | None] | None:
        """The channel of the worker that has `target` now that this one's has ended, and what is left of `timeout` seconds.

        It may take a start. None if no worker has it.

        Raises:
            CallTimeout: it took too long; the start goes on.
            WorkerDied: the other worker ended while it started. Otherwise as its start.
        """
        if target is None or self.refusals.forked:
            return None
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.revive is not None and target._isohub_channel is self and not self.revive(target, deadline):
            raise CallTimeout(
                f"{self.name} was not started again within {timeout:g} s",
                log=self._log,
                hint="give it a longer timeout, or call again later: the start goes on",
            )
        if target._isohub_channel is self:
            return None
        return target._isohub_channel, None if deadline is None else max(0.0, deadline - time.monotonic())

    def replace(self, proxy: RemoteObject, new: RemoteObject) -> None:
        """Have `proxy`, of a worker that has ended, stand for the object `new` of this one."""
        self._proxies.replace(proxy, new)

    def _busy(self) -> bool:
        """Whether this thread is in the middle of taking in an answer, or of sending."""
        me = get_ident()
        return self._turns.reading.get("by") == me or me in self._link.senders

    def _refuse(self) -> NoReturn:
        """Raise, since nothing can be asked: not any more, or not by this thread.

        A finalizer may run in the middle of taking in an answer, or of sending, and then it cannot wait for another answer. And
        what a worker sends may be made so that handling it asks the worker something.
        """
        self.refusals.require_alive()
        raise IsohubError(
            f"a finalizer used an object of {self.name} while this thread was busy with its worker",
            hint="let another thread do it, or do it before the last reference is gone",
        )

    def error(self, fault: Any) -> BaseException:
        """What to raise for the fault of a call."""
        if isinstance(fault, Fault):
            if fault.type_name == _UNAVAILABLE:
                return UnsupportedValue(f"the worker of {self.name} cannot take this: {fault.message}")
            return remote_error(fault, self._log, self._tail)
        return fault  # type: ignore[no-any-return]

    # ---- waiting

    def _give_up(self, call: Call, op: str) -> None:
        """The deadline has come; raise, unless the answer came at the last moment."""
        if self._calls.abandon(call):
            raise self._timed_out(op, call.timeout)
        self._turns.wait(call, None)

    def _timed_out(self, what: str, timeout: float | None) -> CallTimeout:
        return CallTimeout(
            f"{self.name} did not answer within {timeout:g} s ({what})",
            log=self._log,
            hint="give it a longer timeout, or look into the log for what the worker does",
        )

    def _read(self, deadline: float | None) -> bool:
        """Take in one message, or the death of the worker; False if the deadline came first."""
        if self.refusals.death is not None:
            self._bury()
            return True
        if self._link.held:
            self._requests.flush_if_due()
        return self._link.receive(deadline, self._arrivals.take)

    # ---- beginning and end

    @property
    def asked(self) -> tuple[int, ...]:
        """The numbers of the last call and the last stream that were asked for."""
        return (*self._tally,)

    def is_idle(self) -> bool:
        """Whether nothing is asked for that the worker may still be at, and no stream is open."""
        if not self._calls.none_open:
            # Answers to calls that were given up are read by nobody, as long as nobody calls.
            self._turns.wait(_End(self), time.monotonic())
        return self._calls.none_open

    def wait_for_hello(self, seconds: float) -> None:
        """Wait until the worker has introduced itself and is connected both ways.

        Raises:
            ProtocolError: what came was something else.
            CallTimeout: nothing came.
            IsohubError: the worker ended first; the error that `die` was given.
        """
        try:
            self._take_hello(seconds)
        except ProtocolError:
            self._worker.kill()
            raise

    def _take_hello(self, seconds: float) -> None:
        arrived: list[Any] = []

        def take(frames: Sequence[Any]) -> bool:
            arrived.extend(frames)
            return False

        with self._turns:
            if self.refusals.death is None and not self._link.receive(time.monotonic() + seconds, take):
                raise CallTimeout(
                    f"the worker of {self.name} did not start within {seconds:g} s", log=self._log
                )
            if self.refusals.death is not None:
                self._bury()
                raise self.refusals.death()
            try:
                protocol, key = self._arrivals.take_hello(arrived)
            except WireError as error:
                raise ProtocolError(
                    f"the worker of {self.name} started with nonsense: {error}", log=self._log
                ) from None
        if key != self._key:
            raise ProtocolError(f"what started as the worker of {self.name} is something else", log=self._log)
        if protocol != messages.PROTOCOL:
            raise ProtocolError(
                f"the worker of {self.name} speaks protocol {protocol}, not {messages.PROTOCOL}",
                log=self._log,
            )

    def die(self, error: Callable[[], IsohubError]) -> None:
        """The worker has ended: end every wait with `error`, and this channel for good. Called by the watcher, once."""
        violation = self._arrivals.violation
        if violation is not None:

            def error() -> IsohubError:
                return ProtocolError(
                    f"the worker of {self.name} broke the protocol and was ended: {violation}", log=self._log
                )

        self.refusals.die(error)
        self._arrivals.over = True
        self._link.end()
        with self._turns:
            self._bury()
        self._futures.close()
        self._cancels.close()
        with self._turns:
            self._link.close()
        # Objects of the worker may be kept for long. The shared memory goes, but for what is still looked at.
        self._arena = None
        self._requests.close()
        self._arrivals.close()

    def _bury(self) -> None:
        """Take in what the worker still said, then fail the rest. Called by whoever reads."""
        if self._buried:
            return
        assert self.refusals.death is not None
        while self._link.receive(time.monotonic() + _DRAIN, self._arrivals.take):
            pass
        self._buried = True
        self._calls.fail(self.refusals.death)


class _End:
    """What everybody can wait for: that nothing comes any more."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def ready(self) -> bool:
        return self._channel._buried


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channel in _channels:
        channel.refusals.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _grad_mode() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_grad_enabled") or torch.is_grad_enabled():
        return messages.GRAD
    if torch.is_inference_mode_enabled():
        return messages.INFERENCE
    return messages.NO_GRAD
