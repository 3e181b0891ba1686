"""Remote objects: what stands in the host for an object that lives in a worker.

The class of a proxy is made here, from a closed list of special methods that the worker says its object has, so that
``callable``, ``len``, ``for`` and ``with`` answer as they would over there. Nothing of the object's own class is imported.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from msgpack import ExtType

from isohub.errors import ForeignObject, HubClosed, StaleObject, UnsupportedValue, WorkerDied
from isohub.rpc.limited import Limited
from isohub.rpc.shown import read_doc, read_signature
from isohub_worker.faults import builtin_base, plain_args
from isohub_worker.forms import METHOD, NUMBER
from isohub_worker.messages import WireError
from isohub_worker.specials import CALL, SPECIALS

if TYPE_CHECKING:
    from isohub.rpc.calls import Stream
    from isohub.rpc.channel import Channel

__all__ = ["RemoteMethod", "RemoteObject", "RemoteType", "label_of", "question", "set_slot", "submit"]

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
            set_slot(self, "_isohub_type", self._isohub_type.without(name))

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
        raise UnsupportedValue(f"{label_of(self)} cannot be copied", hint="make another one in the worker")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UnsupportedValue(
            f"{label_of(self)} cannot be pickled", hint="it lives in its worker and dies with it"
        )

    def _text(self, op: str) -> str:
        try:
            return str(self._isohub_channel.call(op, self))
        except (HubClosed, StaleObject, WorkerDied):
            # Asked for by debuggers and error messages, which must not fail on it.
            return f"<stale {label_of(self)}>"


class RemoteMethod(RemoteObject):
    # A method of a remote object that has not been asked for: calling it costs one round trip, not two.

    __slots__ = ("_isohub_method", "_isohub_owner")

    _isohub_owner: RemoteObject
    _isohub_method: str

    @classmethod
    def _make(cls, owner: RemoteObject, name: str) -> RemoteMethod:
        self = object.__new__(cls)
        set_slot(self, "_isohub_type", _METHOD_TYPE)
        set_slot(self, "_isohub_owner", owner)
        set_slot(self, "_isohub_method", name)
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
        return read_doc(self)

    @property
    def __signature__(self) -> inspect.Signature | None:
        return read_signature(self)

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


set_slot = object.__setattr__
"""Sets what isohub keeps of a remote object here, where an assignment is one over there."""


def label_of(proxy: RemoteObject) -> str:
    """What a remote object is called in messages."""
    if isinstance(proxy, RemoteMethod):
        return f"the method {proxy._isohub_method!r} of {label_of(proxy._isohub_owner)}"
    return f"remote {proxy._isohub_type.name} of {proxy._isohub_channel.name}"


# ---- the classes of proxies


def _proxy_class(name: str, specials: frozenset[str]) -> type[RemoteObject]:
    """A subclass of RemoteObject with just the special methods that the remote class has."""
    namespace: dict[str, Any] = {
        "__slots__": (),
        "__module__": "isohub.remote",
        "__doc__": property(read_doc),
        "__hash__": object.__hash__,
    }
    for special in specials - {"!__hash__"}:
        if special not in SPECIALS:
            raise WireError(f"unknown special method {special!r:.40}")
        namespace[special] = _OWN_SPECIALS.get(special) or _special(special)
    if CALL in specials:
        namespace["__signature__"] = property(read_signature)
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


_METHOD_TYPE = RemoteType(["method", [], []])
