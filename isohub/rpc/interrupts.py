"""Moments that Ctrl-C does not tear.

Python handles signals between any two steps of the main thread. There a KeyboardInterrupt would leave half a message in a socket,
or lose one that another thread waits for. So the interrupt waits for the end of the moment, which is short: either nothing blocks
in it, or an interrupt wakes what does.
"""

from __future__ import annotations

import os
import threading
from _signal import getsignal, signal  # type: ignore[import-not-found]  # what is public takes ten times as long
from collections.abc import Callable
from signal import SIGINT
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Uninterrupted"]


class Uninterrupted:
    """A context manager for one moment; in other threads than the main one it does nothing.

    Args:
        wake: called when there was an interrupt, in the main thread: it ends what blocks there.
    """

    __slots__ = ("_handler", "_held", "_wake")

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._wake = wake

    def __enter__(self) -> None:
        self._handler: Any = None
        self._held: tuple[int, FrameType | None] | None = None
        if threading.get_ident() == _main_thread:
            handler = getsignal(SIGINT)
            if callable(handler):
                self._handler = handler
                signal(SIGINT, self._hold)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal(SIGINT, self._handler)
            if self._held is not None:
                self._handler(*self._held)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._held = (number, frame)
        if self._wake is not None:
            self._wake()


_main_thread = threading.main_thread().ident


def _after_fork_in_child() -> None:
    global _main_thread
    _main_thread = threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
