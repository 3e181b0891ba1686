"""A raised exception as plain values: named, described, never rebuilt from its class."""

from __future__ import annotations

import builtins
import traceback
from typing import Any, NamedTuple

from .messages import WireError

__all__ = ["BUILTIN_ERRORS", "Fault", "builtin_base", "fault_of", "plain_args", "read_fault"]

# Only these can be the base of what the host raises. SystemExit, KeyboardInterrupt and their like stay out: code in a
# worker does not end the host. So does ExceptionGroup, which is made from exceptions, and those do not cross.
BUILTIN_ERRORS = {
    name: item
    for name, item in vars(builtins).items()
    if isinstance(item, type)
    and issubclass(item, Exception)
    and item.__name__ == name
    and not name.endswith("Group")
}


class Fault(NamedTuple):
    """What the host is told of an exception.

    Attributes:
        type_name: qualified name of its class.
        base: the name of the nearest built-in exception among its bases, "Exception" at the least.
        message: ``str(exception)``.
        args: its arguments where they are plain values, else None; those of an OSError with the file's name.
        traceback: as Python prints it, with causes.
    """

    type_name: str
    base: str
    message: str
    args: tuple[Any, ...] | None
    traceback: str


def fault_of(error: BaseException) -> Fault:
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else "%s.%s" % (cls.__module__, cls.__qualname__)
    # What follows runs the exception's own code, which may raise whatever it likes.
    try:
        message = str(error)
    except BaseException as broken:
        message = "<its text cannot be made: %s>" % type(broken).__name__
    try:
        text = "".join(traceback.format_exception(cls, error, _own_frames(error)))
    except BaseException as broken:
        text = "<its traceback cannot be made: %s>" % type(broken).__name__
    return Fault(name, builtin_base(cls), message, plain_args(error), text)


def plain_args(error: BaseException) -> tuple[Any, ...] | None:
    """The arguments of `error`, if they are plain values; those of an OSError with the file's name."""
    # Not error.args, which a subclass may have made something else of.
    args: tuple[Any, ...] = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    if isinstance(error, OSError) and len(args) == 2 and error.filename is not None:
        args = (*args, error.filename)
    return args if _are_plain(args) else None


def _are_plain(args: tuple[Any, ...]) -> bool:
    return all(type(arg) in (str, int, float, bool, bytes, type(None)) for arg in args)


def builtin_base(cls: type) -> str:
    """The name of the nearest built-in exception among the bases of `cls`."""
    names = (base.__name__ for base in cls.__mro__ if BUILTIN_ERRORS.get(base.__name__) is base)
    return next(names, "Exception")


def read_fault(fields: object) -> Fault:
    """The fault that the peer sent.

    Raises:
        WireError: it is not one.
    """
    if type(fields) is not list or len(fields) != 5:
        raise WireError("a fault has 5 fields")
    fault = Fault(*fields)
    texts = (fault.type_name, fault.base, fault.message, fault.traceback)
    if any(type(text) is not str for text in texts) or type(fault.args) not in (tuple, type(None)):
        raise WireError("a fault whose fields have the wrong types")
    if fault.args is not None and not _are_plain(fault.args):
        # What makes the exception may look into them, and a remote object may have a mind of its own.
        raise WireError("a fault whose arguments are not plain values")
    return fault


def _own_frames(error: BaseException) -> Any:
    """The traceback without the frames of this package, which say nothing to the person who reads it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__package__") == __package__:
        frames = frames.tb_next
    return frames
