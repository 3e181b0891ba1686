"""Remote objects: what stands in the host for an object that lives in a worker.

The class of a proxy is made here, from a closed list of special methods that the worker says its object has, so that
``callable``, ``len``, ``for`` and ``with`` answer as they would over there. Nothing of the object's own class is imported.
"""

from __future__ import annotations

import copy
import inspect
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

import msgpack
from msgpack import ExtType

from isohub.errors import ForeignObject, HubClosed, StaleObject, UnsupportedValue, WorkerDied
from isohub.rpc.limited import Limited
from isohub.rpc.releases import Releases
from isohub_worker.faults import builtin_base, plain_args
from isohub_worker.forms import METHOD, NUMBER, OBJECT, REFERENCE
from isohub_worker.messages import WireError
from isohub_worker.specials import CALL, SPECIALS

if TYPE_CHECKING:
    from isohub.rpc.calls import Stream
    from isohub.rpc.channel import Channel

__all__ = ["Proxies", "RemoteMethod", "RemoteObject", "RemoteType", "question", "submit"]

# Looked up by libraries that would like to know how to treat an object. A proxy is none of what they mean, and says so
# without asking the worker.
_PROBES = ("__array", "__cuda_array", "__dlpack", "__torch_function", "__getstate__", "_ipython_", "_repr_")


class RemoteObject:
    """An object of a worker: its attributes, calls, items and operators are the ones over there.

    Values come back as values, everything else as another remote object. Two remote objects that stand for one object are one.
    It may be passed back to its own worker as an argument; it cannot be copied or pickled.
    """

    __slots__ = (
        *(
            "__weakref__",
            "_isohub_channel",
            "_isohub_number",
            "_isohub_reference",
            "_isohub_stream",
            "_isohub_type",
        ),
    )

    _isohub_channel: Channel
    _isohub_number: int
    _isohub_reference: ExtType  # what stands for it on the wire
    _isohub_type: RemoteType
    _isohub_stream: Stream | None

    def __new__(cls, *args: Any, **kwargs: Any) -> RemoteObject:
        raise TypeError("remote objects are made by workers, not by their class")

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_PROBES):
            raise AttributeError(name)
        if name in self._isohub_type.methods:
            return RemoteMethod._make(self, name)
        return self._isohub_channel.call("getattr", self, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._isohub_channel.call("setattr", self, (name, value))
        if name in self._isohub_type.methods:
            # Over there it hides the method now, so here it must be asked for.
            _set(self, "_isohub_type", self._isohub_type.without(name))

    def __delattr__(self, name: str) -> None:
        self._isohub_channel.call("delattr", self, (name,))

    def __dir__(self) -> list[str]:
        return list(self._isohub_channel.call("dir", self))

    def __repr__(self) -> str:
        return self._text("repr")

    def __str__(self) -> str:
        return self._text("str")

    def __format__(self, spec: str) -> str:
        return str(self._isohub_channel.call("format", self, (spec,)))

    def __copy__(self) -> NoReturn:
        raise UnsupportedValue(f"{_label(self)} cannot be copied", hint="make another one in the worker")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UnsupportedValue(
            f"{_label(self)} cannot be pickled", hint="it lives in its worker and dies with it"
        )

    def _text(self, op: str) -> str:
        try:
            return str(self._isohub_channel.call(op, self))
        except (HubClosed, StaleObject, WorkerDied):
            # Asked for by debuggers and error messages, which must not fail on it.
            return f"<stale {_label(self)}>"


class RemoteMethod(RemoteObject):
    # A method of a remote object that has not been asked for: calling it costs one round trip, not two.

    __slots__ = ("_isohub_method", "_isohub_owner")

    _isohub_owner: RemoteObject
    _isohub_method: str

    @classmethod
    def _make(cls, owner: RemoteObject, name: str) -> RemoteMethod:
        self = object.__new__(cls)
        _set(self, "_isohub_type", _METHOD_TYPE)
        _set(self, "_isohub_owner", owner)
        _set(self, "_isohub_method", name)
        return self

    @property
    def _isohub_channel(self) -> Channel:  # type: ignore[override]
        # The owner may come to belong to another worker.
        return self._isohub_owner._isohub_channel

    @property
    def _isohub_reference(self) -> ExtType:
        return ExtType(METHOD, NUMBER.pack(self._isohub_owner._isohub_number) + self._isohub_method.encode())

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return _doc(self)

    @property
    def __signature__(self) -> inspect.Signature | None:
        return _signature(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._isohub_channel.call("method", self._isohub_owner, (self._isohub_method, *args), kwargs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteMethod):
            return NotImplemented
        return self._isohub_owner is other._isohub_owner and self._isohub_method == other._isohub_method

    def __hash__(self) -> int:
        return hash((id(self._isohub_owner), self._isohub_method))


def submit(fn: RemoteObject | Limited, *args: Any, **kwargs: Any) -> Future[Any]:
    """Call the remote callable `fn` without waiting for it.

    Returns:
        A future of the result. Cancelling it stops what the worker does.

    Raises:
        TypeError: `fn` is not a remote callable.
        UnsupportedValue, ForeignObject, StaleObject: as a call would, at once.
    """
    channel, op, target, args, timeout = question(fn, args)
    return channel.submit(op, target, args, kwargs, timeout)


def question(
    fn: RemoteObject | Limited, args: tuple[Any, ...]
) -> tuple[Channel, str, RemoteObject, tuple[Any, ...], float | None]:
    """What a call of the remote callable `fn` asks of its channel: the operation, its target and its arguments, and a timeout.

    Raises:
        TypeError: it is not one.
    """
    if isinstance(fn, Limited):
        channel, op, target, first, timeout = fn.question
        return channel, op, target, first + args, timeout
    if not isinstance(fn, RemoteObject) or not callable(fn):
        raise TypeError(f"this needs a remote callable, not {type(fn).__name__}")
    channel = fn._isohub_channel
    if isinstance(fn, RemoteMethod):
        return channel, "method", fn._isohub_owner, (fn._isohub_method, *args), channel.timeout
    return channel, "call", fn, args, channel.timeout


class RemoteType:
    """What a worker says of the class of its objects.

    Attributes:
        name: its qualified name over there.
        methods: names that are methods of its objects.
        proxy_class: the class of proxies for such objects.
    """

    def __init__(self, description: Any) -> None:
        name, specials, methods = description
        if not isinstance(name, str) or not all(isinstance(item, str) for item in [*specials, *methods]):
            raise WireError("a type is described by texts")
        self.name = name
        self.methods = frozenset(methods)
        self.proxy_class = _proxy_class(name, frozenset(specials))

    def without(self, method: str) -> RemoteType:
        """The same type for an object that hides `method` behind an attribute of its own."""
        other = copy.copy(self)
        other.methods = self.methods - {method}
        return other


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
            _set(proxy, "_isohub_channel", self._channel)
            _set(proxy, "_isohub_number", number)
            _set(proxy, "_isohub_reference", ExtType(OBJECT, NUMBER.pack(number)))
            _set(proxy, "_isohub_stream", None)
            known = self._known[number] = _Reference(proxy, self._note_death)
            known.number, known.count, known.stream = number, 0, None
        assert known is not None
        _set(proxy, "_isohub_type", remote_type)
        known.count += 1
        return proxy

    def replace(self, proxy: RemoteObject, new: RemoteObject) -> None:
        """Have `proxy`, of a worker that is gone, stand for what `new` stands for, which nobody else knows yet."""
        former = self._known[new._isohub_number]
        known = self._known[former.number] = _Reference(proxy, self._note_death)
        known.number, known.count, known.stream = former.number, former.count, former.stream
        _set(proxy, "__class__", type(new))
        # The channel last: whoever sees the new one must see the rest.
        for name in (
            "_isohub_type",
            "_isohub_number",
            "_isohub_reference",
            "_isohub_stream",
            "_isohub_channel",
        ):
            _set(proxy, name, getattr(new, name))

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
                _set(iterator, "_isohub_stream", stream)

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
                f"{_label(value)} was given to the worker of {self._channel.name}",
                hint="an object can only be used in its own worker; pass its values instead",
            )
        return value._isohub_reference


class _Reference(weakref.ref[RemoteObject]):
    """A weak reference that knows which object it was, how often that has arrived, and the stream that reads ahead of it."""

    __slots__ = ("count", "number", "stream")

    count: int
    number: int
    stream: int | None


_set = object.__setattr__


def _label(proxy: RemoteObject) -> str:
    if isinstance(proxy, RemoteMethod):
        return f"the method {proxy._isohub_method!r} of {_label(proxy._isohub_owner)}"
    return f"remote {proxy._isohub_type.name} of {proxy._isohub_channel.name}"


# ---- the classes of proxies


def _proxy_class(name: str, specials: frozenset[str]) -> type[RemoteObject]:
    """A subclass of RemoteObject with just the special methods that the remote class has."""
    namespace: dict[str, Any] = {
        "__slots__": (),
        "__module__": "isohub.remote",
        "__doc__": property(_doc),
        "__hash__": object.__hash__,
    }
    for special in specials - {"!__hash__"}:
        if special not in SPECIALS:
            raise WireError(f"unknown special method {special!r:.40}")
        namespace[special] = _OWN_SPECIALS.get(special) or _special(special)
    if CALL in specials:
        namespace["__signature__"] = property(_signature)
    if "!__hash__" in specials:
        namespace["__hash__"] = None
    return type(name.rpartition(".")[2], (RemoteObject,), namespace)


def _special(name: str) -> Callable[..., Any]:
    def method(self: RemoteObject, *args: Any) -> Any:
        return self._isohub_channel.call("special", self, (name, *args))

    method.__name__ = method.__qualname__ = name
    return method


def _comparison(name: str) -> Callable[[RemoteObject, object], Any]:
    def method(self: RemoteObject, other: object) -> Any:
        try:
            return self._isohub_channel.call("special", self, (name, other))
        except (ForeignObject, UnsupportedValue):
            # Nothing over there can be compared with what cannot get there.
            return NotImplemented

    method.__name__ = method.__qualname__ = name
    return method


def _call(self: RemoteObject, /, *args: Any, **kwargs: Any) -> Any:
    return self._isohub_channel.call("call", self, args, kwargs)


def _iter(self: RemoteObject) -> RemoteObject:
    iterator = self if hasattr(type(self), "__next__") else self._isohub_channel.call("iter", self)
    if isinstance(iterator, RemoteObject):
        # From here on items are fetched ahead. A bare next() fetches just one, so that it mixes with send().
        iterator._isohub_channel.read_ahead(iterator)
    return iterator


def _next(self: RemoteObject) -> Any:
    if self._isohub_stream is None:
        return self._isohub_channel.call("next", self)
    return self._isohub_channel.next_item(self._isohub_stream)


def _exit(
    self: RemoteObject, kind: type[BaseException] | None, error: BaseException | None, traceback: object
) -> Any:
    raised = None if kind is None or error is None else (builtin_base(kind), str(error), plain_args(error))
    return self._isohub_channel.call("special", self, ("__exit__", raised))


_OWN_SPECIALS: dict[str, Callable[..., Any]] = {
    CALL: _call,
    "__iter__": _iter,
    "__next__": _next,
    "__exit__": _exit,
    **{name: _comparison(name) for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")},
}


def _doc(self: RemoteObject) -> str | None:
    doc = self._isohub_channel.call("doc", self)
    return doc if isinstance(doc, str) else None


class _Shown:
    """What a signature shows of a default or an annotation that stays over there."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(self: RemoteObject) -> inspect.Signature | None:
    answer = self._isohub_channel.call("signature", self)
    if answer is None:
        return None
    rows, returned = answer
    empty = inspect.Signature.empty
    parameters = []
    for name, kind, default, annotation in rows:
        shown = empty if not default else default[0] if len(default) == 1 else _Shown(str(default[1]))
        parameters.append(
            inspect.Parameter(
                name,
                inspect._ParameterKind(kind),
                default=shown,
                annotation=empty if annotation is None else _Shown(str(annotation)),
            )
        )
    return inspect.Signature(
        parameters, return_annotation=empty if returned is None else _Shown(str(returned))
    )


_METHOD_TYPE = RemoteType(["method", [], []])
