"""What the worker raised, as an exception of this side: a RemoteError that is also the built-in base of the original."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from isohub.errors import RemoteError
from isohub.masking import masked
from isohub_worker.faults import BUILTIN_ERRORS, Fault

__all__ = ["RemoteTraceback", "remote_error"]


class RemoteTraceback(Exception):
    """The cause of each RemoteError: it prints as the traceback over there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


def remote_error(fault: Fault, log: Path | None, tail: Callable[[], str]) -> RemoteError:
    """The error to raise for `fault`. Its text is the original's; the remote traceback and the log are its cause."""
    # Only these names are remembered, and not whatever a worker says.
    base = fault.base if fault.base in BUILTIN_ERRORS else "Exception"
    error = _error_class(base)(
        fault.message, type_name=fault.type_name, traceback_text=fault.traceback, log=log, tail=tail()
    )
    if fault.args is not None:
        error.args = tuple(masked(item) if isinstance(item, str) else item for item in fault.args)
    if isinstance(error, SyntaxError):
        # Its other arguments would be a place in a file, which is no plain value, and is believed by what shows it.
        error.msg = error.message
    elif fault.args is not None:
        try:
            # What the built-in error makes of its arguments: errno, filename, value, start ...
            BUILTIN_ERRORS[base].__init__(error, *error.args)
        except (TypeError, OverflowError):
            pass  # a subclass over there was made from other arguments than its base
    error.__cause__ = RemoteTraceback(_cause(fault.type_name, error.traceback_text, log, error.tail))
    return error


@functools.cache
def _error_class(base: str) -> type[RemoteError]:
    """RemoteError combined with the built-in exception called `base`."""
    builtin = BUILTIN_ERRORS[base]
    if builtin is Exception:
        return RemoteError
    return type(f"Remote{base}", (RemoteError, builtin), {"__module__": RemoteError.__module__})


def _cause(type_name: str, traceback: str, log: Path | None, tail: str | None) -> str:
    parts = ["", '"""', f"In the worker, {type_name} was raised:", "", traceback.rstrip()]
    if log is not None:
        parts += ["", f"Its log is {log}"]
        if tail:
            parts += ["and ends with", *(f"  | {line}" for line in tail.splitlines())]
    return "\n".join([*parts, '"""'])
