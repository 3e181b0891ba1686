"""Where the output of workers goes: a file for each, of which the last lines are shown with every failure.

Workers write into the file themselves, at its end. So nobody has to read what they say, and their last words are there
whatever becomes of them. A file that somebody may still write to is locked, and is not removed.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

if os.name == "posix":
    import fcntl

__all__ = ["last_lines", "new_log"]

_KEEP_SECONDS = 7 * 24 * 3600
_TAIL_LINES = 20
_TAIL_BYTES = 16 * 1024


def new_log(folder: Path, name: str) -> tuple[int, Path]:
    """A file of its own for a worker called `name`, open for appending; logs of past weeks make room for it.

    Where the folder cannot be written it is among the temporary files, so that what is there can be used all the same.

    Returns:
        The file descriptor, which the caller closes, and the path.

    Raises:
        OSError: it can be written nowhere.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[-60:]
    prefix = f"{time.strftime('%Y%m%d-%H%M%S')}-{stem}-"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_old(folder)
        fd, path = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=folder)
    except OSError:
        fd, path = tempfile.mkstemp(prefix=f"isohub-{prefix}", suffix=".log")
    # Several processes write to the end of it: the worker and whatever it starts.
    os.close(fd)
    log = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
    if os.name == "posix":
        # The lock is everybody's to whom this file descriptor is passed on, and ends with the last of them.
        fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return log, Path(path)


def last_lines(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last `lines` of the log, of which each is cut at a bearable length; "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    found = text.splitlines()
    if size > _TAIL_BYTES:
        found = found[1:] or found
    # A progress bar is one line that was written many times.
    return "\n".join(line.rpartition("\r")[2][:500] for line in found[-lines:])


def _remove_old(folder: Path) -> None:
    limit = time.time() - _KEEP_SECONDS
    for path in folder.glob("*.log"):
        try:
            if path.stat().st_mtime < limit and not _is_in_use(path):
                path.unlink()
        except FileNotFoundError:
            continue  # another process was tidying up as well


def _is_in_use(path: Path) -> bool:
    """Whether somebody may still write to it: a worker that says nothing for a week, or after the clock was set."""
    if os.name != "posix":
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
