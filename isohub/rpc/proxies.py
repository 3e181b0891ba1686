"""Which remote objects of a worker are known here: each is there once, and its death is noted."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgpack
from msgpack import ExtType

from isohub.errors import ForeignObject
from isohub.rpc.proxy import RemoteObject, RemoteType, label_of, set_slot
from isohub.rpc.releases import Releases
from isohub_worker.forms import NUMBER, OBJECT, REFERENCE
from isohub_worker.messages import WireError

if TYPE_CHECKING:
    from isohub.rpc.calls import Stream
    from isohub.rpc.channel import Channel

__all__ = ["Proxies"]


class Proxies:
    """The remote objects of one channel, each there once.

    Args:
        channel: whose objects they are.
        releases: where the death of a proxy is noted.
    """

    def __init__(self, channel: Channel, releases: Releases) -> None:
        self._channel = channel
        self._releases = releases
        self._types: dict[int, RemoteType] = {}
        self._known: dict[int, _Reference] = {}  # changed by `resolve` alone, which one thread at a time runs
        self._dead: deque[_Reference] = deque()
        self._opening = threading.RLock()

    def resolve(self, code: int, payload: bytes) -> RemoteObject:
        """The proxy that the worker's reference stands for.

        Raises:
            WireError: it is not a reference.
        """
        if code != OBJECT:
            raise WireError(f"a worker does not send extension {code}")
        self._forget_dead()
        number, type_number = REFERENCE.unpack_from(payload)
        if len(payload) > REFERENCE.size:
            self._types[type_number] = RemoteType(msgpack.unpackb(payload[REFERENCE.size :]))
        remote_type = self._types.get(type_number)
        if remote_type is None:
            raise WireError(f"type {type_number} was never described")
        known = self._known.get(number)
        proxy = None if known is None else known()
        if proxy is None:
            proxy = object.__new__(remote_type.proxy_class)
            set_slot(proxy, "_isohub_channel", self._channel)
            set_slot(proxy, "_isohub_number", number)
            set_slot(proxy, "_isohub_reference", ExtType(OBJECT, NUMBER.pack(number)))
            set_slot(proxy, "_isohub_stream", None)
            known = self._known[number] = _Reference(proxy, self._note_death)
            known.number, known.count, known.stream = number, 0, None
        assert known is not None
        set_slot(proxy, "_isohub_type", remote_type)
        known.count += 1
        return proxy

    def replace(self, proxy: RemoteObject, new: RemoteObject) -> None:
        """Have `proxy`, of a worker that is gone, stand for what `new` stands for, which nobody else knows yet."""
        former = self._known[new._isohub_number]
        known = self._known[former.number] = _Reference(proxy, self._note_death)
        known.number, known.count, known.stream = former.number, former.count, former.stream
        set_slot(proxy, "__class__", type(new))
        # The channel last: whoever sees the new one must see the rest.
        for name in (
            "_isohub_type",
            "_isohub_number",
            "_isohub_reference",
            "_isohub_stream",
            "_isohub_channel",
        ):
            set_slot(proxy, name, getattr(new, name))

    def _note_death(self, reference: _Reference) -> None:
        # Runs wherever the garbage collector is.
        self._dead.append(reference)
        self._releases.add_object(reference.number, reference.count, reference.stream)

    def _forget_dead(self) -> None:
        while self._dead:
            reference = self._dead.popleft()
            # A new proxy for the same object may have taken its place already.
            if self._known.get(reference.number) is reference:
                del self._known[reference.number]

    def open_stream(self, iterator: RemoteObject, open: Callable[[RemoteObject], Stream]) -> None:
        """Have a stream read ahead of `iterator`, if there is none yet; it ends with the proxy."""
        with self._opening:
            if iterator._isohub_stream is None:
                stream = open(iterator)
                self._known[iterator._isohub_number].stream = stream.number
                set_slot(iterator, "_isohub_stream", stream)

    def reference(self, value: object) -> ExtType | None:
        """The extension that stands for `value`, if it is a remote object; None if it is not.

        Raises:
            ForeignObject: it belongs to another worker.
            StaleObject: it belongs to a worker that has ended.
        """
        return self.own_reference(value) if isinstance(value, RemoteObject) else None

    def own_reference(self, value: RemoteObject) -> ExtType:
        """Like `reference`, for what is known to be a remote object."""
        if value._isohub_channel is not self._channel:
            value._isohub_channel.refusals.require_alive()
            raise ForeignObject(
                f"{label_of(value)} was given to the worker of {self._channel.name}",
                hint="an object can only be used in its own worker; pass its values instead",
            )
        return value._isohub_reference


class _Reference(weakref.ref[RemoteObject]):
    """A weak reference that knows which object it was, how often that has arrived, and the stream that reads ahead of it."""

    __slots__ = ("count", "number", "stream")

    count: int
    number: int
    stream: int | None
