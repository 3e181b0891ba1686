"""What takes mutated frames in. Each target is fed one input at a time and says what became of it."""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from isohub_worker import messages
from isohub_worker.arena import SMALLEST, Inlet, Outlet
from isohub_worker.codec import Decoder
from isohub_worker.faults import read_fault
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.objects import ObjectTable
from isohub_worker.packets import unpack
from isohub_worker.tensors import is_array, is_tensor
from tests.fuzz import corpus
from tests.fuzz.guard import Finding, Guard
from tests.fuzz.mutator import Mutator

__all__ = ["TARGETS", "Target"]

_ARENA = len(corpus.BLOCKS) * SMALLEST
#: Arrays that are shorter are read from end to end: each item of one lies in memory that came with it.
_READ = 1 << 20


class Target:
    """The base of all.

    Args:
        guard: watches while an input is taken in.
    """

    samples: Callable[[], list[corpus.Sample]]

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def step(self, mutator: Mutator) -> str:
        """Make an input and feed it."""
        return self.feed(mutator.frames())

    def feed(self, frames: Sequence[Any]) -> str:
        """Take an input in; what became of it."""
        raise NotImplementedError

    def renew(self) -> None:
        """Begin anew."""


def _arena() -> tuple[Outlet, Inlet]:
    """An arena of which the sender has given out every block."""
    fd = corpus.arena(_ARENA)
    outlet, inlet = Outlet(os.dup(fd), _ARENA), Inlet(fd, _ARENA, lambda offset: None)
    _give_out(outlet)
    return outlet, inlet


def _give_out(outlet: Outlet) -> None:
    data = ctypes.create_string_buffer(SMALLEST)
    for _ in corpus.BLOCKS:
        outlet.put(ctypes.addressof(data), SMALLEST)


def _read(value: Any) -> None:
    """Look at all of an array's memory."""
    if is_array(value) and value.nbytes <= _READ:
        value.tobytes()
    elif is_tensor(value) and value.nbytes <= _READ:
        value.clone()


class _Decode(Target):
    """A decoder alone."""

    table = messages.FROM_WORKER
    decoder: Decoder

    def feed(self, frames: Sequence[Any]) -> str:
        outcome = "taken"
        with self.guard.input():
            try:
                for parts in unpack(frames):
                    try:
                        self._take(messages.check(self.decoder.decode(parts), self.table))
                    except Unavailable as error:
                        outcome = "unavailable"
                        messages.check(error.message, self.table)
            except WireError as error:
                str(error)
                outcome = "refused"
        self.decoder.borrowed.clear()
        return outcome

    def _take(self, message: list[Any]) -> None:
        if message[0] in (messages.VALUE, messages.ITEM):
            _read(message[2])
        elif message[0] == messages.REQUEST and message[4]:
            _read(message[4][0])


class WorkerDecoder(_Decode):
    """What a worker makes of frames before it does anything."""

    samples = staticmethod(corpus.from_host)
    table = messages.FROM_HOST

    def renew(self) -> None:
        outlet, inlet = _arena()
        objects = ObjectTable()
        for _ in range(3):
            objects.reference(corpus.Thing())
        objects.sent()
        self.decoder = Decoder(objects.resolve, place=True, inlet=inlet, outlet=outlet)


class HostDecoder(_Decode):
    """What a host makes of frames before they have an effect, and of a fault whatever it has."""

    samples = staticmethod(corpus.from_worker)
    name = "fuzz"  # as a channel has one

    def renew(self) -> None:
        from isohub.rpc.proxies import Proxies

        releases = _silent_releases()
        self.decoder = Decoder(Proxies(self, releases).resolve, place=False, inlet=_arena()[1])  # type: ignore[arg-type]

    def call(self, *args: Any) -> Any:
        from isohub.errors import IsohubError

        # A proxy asks its worker something, in the middle of a message of that worker's: the channel refuses that.
        raise IsohubError("busy")

    def _take(self, message: list[Any]) -> None:
        super()._take(message)
        if message[0] == messages.FAULT:
            read_fault(message[2])


def _silent_releases() -> Any:
    """Notes of what was dropped that no thread ever sends."""
    from isohub.rpc.releases import Releases

    return _silenced(Releases(lambda: None))


def _silenced(releases: Any) -> Any:
    # The notes of thousands of connections a second are not for the one thread that sends what is late.
    releases._requested = True
    return releases


class _Loop:
    """Stands for a link whose worker has sent what is in `arriving`, and sends no more."""

    over = False

    def __init__(self) -> None:
        self.arriving: deque[Sequence[Any]] = deque()
        self.held: list[Sequence[Any]] = []
        self.senders: set[int] = set()

    def send(self, *messages: Sequence[Any]) -> None: ...

    def hold(self, message: Sequence[Any]) -> None: ...

    def flush(self) -> None: ...

    def receive(self, deadline: float | None, take: Callable[[Sequence[Any]], Any]) -> bool:
        if not self.arriving:
            return False
        take(self.arriving.popleft())
        return True

    def end(self) -> None: ...

    def close(self) -> None: ...


class HostChannel(Target):
    """All of a host's side but the sockets: what each answer makes of calls, streams, proxies and shared memory."""

    samples = staticmethod(corpus.from_worker)

    def __init__(self, guard: Guard) -> None:
        import isohub.rpc.channel

        super().__init__(guard)
        isohub.rpc.channel.Link = _Loop  # type: ignore[assignment, attr-defined]
        self._make = isohub.rpc.channel.Channel
        self._arena = corpus.arena(_ARENA), corpus.arena(_ARENA), _ARENA
        self._killed = 0

    def kill(self, because: str | None = None) -> None:
        """Of the worker that there is none of."""
        self._killed += 1

    def tell_soon(self, text: bytes) -> bytes:
        """Of that, too: it takes all that it is told."""
        return b""

    def renew(self) -> None:
        self._channel: Any = self._make(
            name="fuzz",
            key="key",
            log=Path("/log"),
            tail=lambda: "",
            timeout=1.0,
            threads=1,
            arena=self._arena,
            worker=self,
            grace=None,
        )
        _silenced(self._channel._releases)
        self._number = 0
        self._killed = 0
        # What the host holds of the worker, which a later message may speak of.
        self._held: deque[Any] = deque(maxlen=4)

    def step(self, mutator: Mutator) -> str:
        channel = self._channel
        self._number += 1
        channel._link.arriving.extend(mutator.frames(self._number) for _ in range(1 + mutator.below(2)))
        outcome = self._ask(list(self._held)[:2] if mutator.below(3) == 0 else [])
        if self._killed:
            self._end()
            self.renew()
            return "ended"
        channel._link.arriving.clear()
        return outcome

    def feed(self, frames: Sequence[Any]) -> str:
        self.renew()
        self._channel._link.arriving.append(frames)
        outcome = self._ask([])
        self._end()
        return outcome

    def _ask(self, args: list[Any]) -> str:
        from isohub.errors import CallTimeout, RemoteError, UnsupportedValue
        from isohub.rpc.proxy import RemoteObject

        error: Exception
        with self.guard.input():
            try:
                value = self._channel.call("load", None, ("anything", *args))
                # Not every array: a byte that is shown a trillion times cannot be sent back.
                if isinstance(value, RemoteObject) or (is_array(value) and value.nbytes <= _READ):
                    self._held.append(value)
                return "value"
            except RemoteError as raised:
                error, outcome = raised, "fault"
            except UnsupportedValue:
                return "unavailable"
            except CallTimeout:
                return "waiting"
        # Whoever shows it must be able to.
        traceback.format_exception(error)
        return outcome

    def _end(self) -> None:
        """The worker is gone: every wait ends, and nothing can be asked any more."""
        from isohub.errors import ProtocolError, StaleObject, WorkerDied

        channel = self._channel
        channel._link.arriving.clear()
        pending = channel._calls.open_call()
        channel.die(lambda: WorkerDied("ended"))
        if not isinstance(pending.fault, ProtocolError if self._killed else WorkerDied):
            raise Finding(f"a call that waits ended with {pending.fault!r:.200}")
        if self._killed > 1:
            raise Finding("the worker was killed twice")
        try:
            channel.call("load", None, ())
        except StaleObject:
            return
        raise Finding("a channel that is over takes calls")


class WorkerServer(Target):
    """A worker's handler, objects and streams included, in this process. It does what it is told, so that is not watched."""

    samples = staticmethod(corpus.from_host)

    def __init__(self, guard: Guard) -> None:
        import zmq

        super().__init__(guard)
        self._folder = tempfile.TemporaryDirectory(prefix="isohub-fuzz-")
        context: Any = zmq.Context()
        self._again = zmq.Again
        self._events = zmq.EVENTS
        self._noblock = zmq.NOBLOCK
        self._hosts: list[Any] = [context.socket(kind) for kind in (zmq.PUSH, zmq.PULL)]
        self._endpoints = [f"ipc://{self._folder.name}/{name}" for name in "qa"]
        for host, endpoint in zip(self._hosts, self._endpoints, strict=True):
            host.linger = 0
            host.set_hwm(0)
            host.bind(endpoint)
        self._server: Any = None

    def renew(self) -> None:
        from isohub_worker.loop import Server

        if self._server is not None:
            self._server._inbox.close()
            self._server._outbox._socket.close()
        arena = [corpus.arena(_ARENA) for _ in range(2)]
        hubconf = ModuleType("hubconf")
        hubconf.make = corpus.Thing  # type: ignore[attr-defined]
        boot = {"requests": self._endpoints[0], "replies": self._endpoints[1], "key": "key", "threads": 1}
        boot |= {"arena": (*arena, _ARENA), "arrays_as_tensors": False}
        self._server = Server(boot, hubconf)
        for _ in range(3):
            self._server._objects.reference(corpus.Thing())
        self._server._objects.sent()
        _give_out(self._server._outlet)
        gc.collect()
        # A socket lets go of the one that was at its other end when it is next looked at.
        self._hosts[0].getsockopt(self._events)

    def feed(self, frames: Sequence[Any]) -> str:
        server = self._server
        outcome = "done"
        try:
            for parts in unpack(frames):
                server._handle(parts)
            for _ in range(4):
                if server._streams.ready():
                    server._streams.turn()
        except WireError:
            outcome = "ended"
        self._drain()
        if outcome == "ended":
            # A real one has ended, and begins anew; here it goes on with what it has, as most of what was wrong changed nothing.
            server._decoder.borrowed = []
        return outcome

    def _drain(self) -> None:
        try:
            while True:
                self._hosts[1].recv_multipart(self._noblock)
        except self._again:
            pass


TARGETS: dict[str, type[Target]] = {
    "host-decoder": HostDecoder,
    "worker-decoder": WorkerDecoder,
    "host-channel": HostChannel,
    "worker-server": WorkerServer,
}
