"""What the host can ask for: each operation of the wire, done on real objects.

The table at the end is the whole of it; an operation that is not in it is refused.
"""

from __future__ import annotations

import inspect
import operator
import sys
from contextlib import AbstractContextManager, nullcontext
from types import MethodType, ModuleType
from typing import Any, Callable

from . import hubconf
from .cancels import Cancelled, MainThread, PoolThreads
from .faults import BUILTIN_ERRORS
from .messages import GRAD, INFERENCE, WireError
from .specials import SPECIALS

__all__ = ["Dispatcher"]


class Dispatcher:
    """Does operations for one hubconf.

    Args:
        hubconf: the hubconf, or what its import raised.
        arrays_as_tensors: whether arrays among the arguments of a ``torch.nn.Module`` become tensors, because the host
            has no torch to make tensors with.
        running: is told what runs, so that it can be interrupted.
    """

    def __init__(
        self,
        hubconf: ModuleType | BaseException,
        arrays_as_tensors: bool,
        running: MainThread | PoolThreads,
    ) -> None:
        self._hubconf: Any = hubconf
        self._arrays_as_tensors = arrays_as_tensors
        self._running = running

    def do(self, call: int, op: str, target: Any, args: list[Any], kwargs: dict[str, Any], grad: int) -> Any:
        """The result of operation `op` for a call or a stream, which can be interrupted until this returns, and no longer.

        Raises:
            WireError: there is no such operation.
            BaseException: whatever the code behind it raises.
        """
        operation = _OPERATIONS.get(op)
        if operation is None:
            raise WireError("unknown operation %.40r" % op)
        try:
            try:
                self._running.begin(call)
                if self._arrays_as_tensors and (args or kwargs) and _is_module(target):
                    args, kwargs = _with_tensors(args), _with_tensors(kwargs)
                if grad == GRAD:
                    return operation(self, target, args, kwargs)
                with _grad_mode(grad):
                    return operation(self, target, args, kwargs)
            finally:
                self._running.end()
        except Cancelled:
            # It may have been `end` that was interrupted.
            self._running.end()
            raise

    def open(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[str, str | None]:
        """The versions of what the hubconf brought in; or what its import raised."""
        if isinstance(self._hubconf, BaseException):
            raise self._hubconf
        return hubconf.versions()

    def load(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return hubconf.entry_point(self._hubconf, args[0])(*args[1:], **kwargs)


def _call(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return target(*args, **kwargs)


def _method(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return getattr(target, args[0])(*args[1:], **kwargs)


def _special(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A special method, looked up on the type as Python does."""
    name = args[0]
    if name not in SPECIALS:
        raise WireError("unknown special method %.40r" % (name,))
    if name == "__exit__" and args[1] is not None:
        return target.__exit__(*_raised_here(*args[1]))
    if name == "__exit__":
        return target.__exit__(None, None, None)
    return getattr(type(target), name)(target, *args[1:])


def _raised_here(base: str, message: str, args: tuple[Any, ...] | None) -> tuple[Any, BaseException, None]:
    """The exception that ended the host's ``with`` block, as the nearest thing there is here."""
    cls = BUILTIN_ERRORS.get(base, Exception)
    try:
        error = cls(message) if args is None else cls(*args)
    except TypeError:
        # It is made from other arguments, as the Unicode errors are.
        error = ValueError(message) if issubclass(cls, ValueError) else Exception(message)
    return type(error), error, None


def _getattr(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return getattr(target, args[0])


def _setattr(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    setattr(target, args[0], args[1])


def _delattr(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    delattr(target, args[0])


def _text(make: Callable[..., str]) -> Callable[..., str]:
    return lambda worker, target, args, kwargs: make(target, *args)


def _doc(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> str | None:
    return inspect.getdoc(target)


def _dir(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> list[str]:
    return [name for name in dir(target) if isinstance(name, str)]


def _signature(worker: Dispatcher, target: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any] | None:
    """Rows of ``[name, kind, default, annotation]``, then the return annotation; None if it has no signature.

    A default is ``[]``, ``[value]`` where it is plain, or ``[None, its repr]``.
    """
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return None
    rows = []
    for parameter in signature.parameters.values():
        default: list[Any] = []
        if parameter.default is not parameter.empty:
            plain = type(parameter.default) in (type(None), bool, int, float, str, bytes)
            default = [parameter.default] if plain else [None, repr(parameter.default)]
        rows.append([parameter.name, int(parameter.kind), default, _annotation(parameter.annotation)])
    return [rows, _annotation(signature.return_annotation)]


def _annotation(annotation: Any) -> str | None:
    if annotation is inspect.Signature.empty:
        return None
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _is_module(target: Any) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return False
    owner = target.__self__ if isinstance(target, MethodType) else target
    return isinstance(owner, torch.nn.Module)


def _with_tensors(value: Any) -> Any:
    """`value` with the arrays in it made tensors."""
    if type(value) in (tuple, list):
        return type(value)(_with_tensors(item) for item in value)
    if type(value) is dict:
        return {key: _with_tensors(item) for key, item in value.items()}
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return value
    try:
        return sys.modules["torch"].from_numpy(value)
    except TypeError:
        # Texts, dates and records: no tensor holds them.
        return value


def _grad_mode(grad: int) -> AbstractContextManager[Any]:
    try:
        # Not only if it is loaded: the call itself may be what first imports it.
        import torch
    except ImportError:
        return nullcontext()
    inference = getattr(torch, "inference_mode", torch.no_grad)
    return inference() if grad == INFERENCE else torch.no_grad()  # type: ignore[no-any-return]


_Operation = Callable[[Dispatcher, Any, "list[Any]", "dict[str, Any]"], Any]
_OPERATIONS: dict[str, _Operation] = {
    "open": Dispatcher.open,
    "load": Dispatcher.load,
    "call": _call,
    "method": _method,
    "special": _special,
    "getattr": _getattr,
    "setattr": _setattr,
    "delattr": _delattr,
    "iter": lambda worker, target, args, kwargs: iter(target),
    "next": lambda worker, target, args, kwargs: next(target),
    "length_hint": lambda worker, target, args, kwargs: operator.length_hint(target),
    "repr": _text(repr),
    "str": _text(str),
    "format": _text(format),
    "doc": _doc,
    "dir": _dir,
    "signature": _signature,
}
