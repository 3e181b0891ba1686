"""Logs that have become too long lose what is in their middle.

Programs write into them by themselves, at the end, so that nobody has to keep up with what they say, and their last words are
there whatever becomes of them. Hence somebody looks at how long a log is once a second, and it may be longer by what is written
in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["kept_short", "shorten"]

_SECONDS = 1.0
_MOST = 64 << 20
# What is left of a longer one.
_BEGINNING = 1 << 20
_END = 4 << 20
_PIECE = 1 << 20


def shorten(path: Path) -> None:
    """Look at a log, and shorten it if need be; who writes very much at that moment may lose some of it."""
    try:
        if path.stat().st_size <= _MOST:
            return
        file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return  # it was removed, or cannot be written any more
    try:
        _take_out_the_middle(file)
    except OSError:
        return  # the next look may have more luck
    finally:
        os.close(file)


@contextmanager
def kept_short(path: Path) -> Iterator[None]:
    """Look at a log once a second, and at the end."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SECONDS):
            shorten(path)

    thread = threading.Thread(target=look, name="isohub-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        shorten(path)


def _take_out_the_middle(file: int) -> None:
    size = os.fstat(file).st_size
    note = b"\n\nisohub: %d bytes were here, and were too many\n\n" % (size - _BEGINNING - _END)
    # In place of what was there: that takes no room on the disk, and those who write go on behind it.
    place = _BEGINNING + os.pwrite(file, note, _BEGINNING)
    # What has come since is taken along, and a program that is faster than this is not waited for.
    for at in range(size - _END, size + _END, _PIECE):
        place += os.pwrite(file, os.pread(file, _PIECE, at), place)
    os.ftruncate(file, place)
