"""Variables that keep the value they had when this process started, whatever the repository does to them.

CUDA reads ``CUDA_VISIBLE_DEVICES`` when it is first used, not when the process starts. A repository that sets it at import, as
many do, would take the worker off the GPUs that its user chose. So the ways by which Python changes the process environment
leave the named variables alone, with a line in the log, and programs that are started from here get them too. Nothing is
raised: code that sets such a variable has no plan for the case that it cannot.

This holds against code that does not know of it. Native code can still call ``setenv``; what it did while the hubconf was
imported is undone after it.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Callable

from . import PINNED

__all__ = ["hold"]

_held: dict[str, str] = {}
_told: set[tuple[str, ...]] = set()
_putenv = os.putenv


def hold() -> None:
    """Hold the variables that ``ISOHUB_PINNED`` names; called again, give them their values back."""
    if not _held and os.environ.get(PINNED):
        for name in (*os.environ[PINNED].split(), PINNED):
            _held[name] = os.environ.get(name, "")
        _guard()
    for name, value in _held.items():
        _putenv(name, value)


def _guard() -> None:
    # Not before they are needed, so that a worker without pins starts without them.
    import inspect
    import subprocess

    # The class of the mapping and not the mapping, which others have imported by name. Both share their data.
    for mapping in (os.environ, getattr(os, "environb", os.environ)):
        mapping.__class__ = _Environ
    for module in (os, sys.modules[os.name]):
        for name in ("putenv", "unsetenv"):
            setattr(module, name, _guarded(getattr(module, name)))
        # All that take an environment of their own end in one of these.
        for name in ("execve", "posix_spawn", "posix_spawnp"):
            if hasattr(module, name):
                setattr(module, name, _with_pins(getattr(module, name), 2))
    original = subprocess.Popen.__init__
    place = [*inspect.signature(original).parameters].index("env")
    subprocess.Popen.__init__ = _with_pins(original, place)  # type: ignore[method-assign]


class _Environ(os._Environ):  # type: ignore[type-arg]
    """``os.environ``, in which some things stay."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not _stays(key, value):
            super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        if not _stays(key, None):
            super().__delitem__(key)

    def popitem(self) -> Any:
        for key in self:
            if _text(key) not in _held:
                return key, self.pop(key)
        raise KeyError("popitem(): only variables are left that this worker keeps")

    def clear(self) -> None:
        # What is inherited takes items until there are none, which would be never.
        for key in list(self):
            del self[key]


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def change(key: Any, *value: Any) -> None:
        if not _stays(key, value[0] if value else None):
            function(key, *value)

    return change


def _with_pins(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """`function`, whose parameter ``env`` is number `place`, with the variables in every environment that it is given."""

    @functools.wraps(function)
    def start(*args: Any, **kwargs: Any) -> Any:
        if len(args) > place and args[place] is not None:
            args = (*args[:place], _pinned(args[place]), *args[place + 1 :])
        elif kwargs.get("env") is not None:
            kwargs["env"] = _pinned(kwargs["env"])
        return function(*args, **kwargs)

    return start


def _pinned(environ: Any) -> dict[Any, Any]:
    others = {key: value for key, value in environ.items() if not _stays(key, value)}
    return {**others, **_held}


def _stays(key: Any, value: Any) -> bool:
    """Whether the variable is held; says so if it was to become another."""
    name = _text(key)
    if name is None or name not in _held:
        return False
    text = _text(value)
    if text != _held[name] and name != PINNED:
        _tell(name, "deleted" if text is None else "set to %r" % text)
    return True


def _text(value: Any) -> str | None:
    return os.fsdecode(value) if isinstance(value, (str, bytes)) else None


def _tell(name: str, what: str) -> None:
    frame = sys._getframe(1)
    inside = {__file__, os.__file__, sys.modules["subprocess"].__file__}
    while frame.f_back is not None and (
        frame.f_code.co_filename in inside or frame.f_globals.get("__name__") == "collections.abc"
    ):
        frame = frame.f_back
    place = "%s:%d" % (frame.f_code.co_filename, frame.f_lineno)
    if (name, what, place) in _told:
        return
    _told.add((name, what, place))
    line = "isohub: %s: %s stays %r, as this worker was told, and is not %s\n" % (
        place,
        name,
        _held[name],
        what,
    )
    try:
        # Not print: the repository may have put something else in the place of sys.stderr.
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        pass
