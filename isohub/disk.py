"""What folders take on disk, as ``du`` counts it: blocks, and a file with several names once. And when they were last used.

A use is remembered as the time of a small file that is there anyway, so that it costs no file and no format of its own.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "DiskUse",
    "Footprint",
    "disk_use",
    "footprint",
    "is_of_the_disk",
    "mark_used",
    "together",
    "used_at",
    "what_to_do",
]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 512
_HOUR = 3600.0
_Inode = tuple[int, int]


@dataclass(frozen=True)
class DiskUse:
    """What some folders take.

    Attributes:
        size: bytes of the files and folders in them.
        freed: the part of it that would be free without them.
    """

    size: int
    freed: int

    @property
    def shared(self) -> int:
        """The part that has other names elsewhere, as in uv's cache or in another environment, and would stay."""
        return self.size - self.freed


@dataclass(frozen=True)
class Footprint:
    """What one folder takes, in a form that can be added up.

    Attributes:
        alone: bytes of what has no other name.
        linked: what has several: its bytes, how many names it has, and how many of them are in this folder.
    """

    alone: int = 0
    linked: Mapping[_Inode, tuple[int, int, int]] = field(default_factory=dict, repr=False)


def footprint(path: Path) -> Footprint:
    """Look at a file, or at all in a folder. What goes away meanwhile does not count, nor does what cannot be looked at."""
    alone = 0
    linked: dict[_Inode, tuple[int, int, int]] = {}
    waiting = [str(path)]
    while waiting:
        name = waiting.pop()
        try:
            status = os.lstat(name)
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(name) as listing:
                    waiting.extend(entry.path for entry in listing)
        except OSError:
            continue
        if name == str(path) and stat.S_ISDIR(status.st_mode):
            continue
        taken = getattr(status, "st_blocks", -(-status.st_size // _BLOCK)) * _BLOCK
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            alone += taken
        else:
            inode = (status.st_dev, status.st_ino)
            here = linked[inode][2] if inode in linked else 0
            linked[inode] = (taken, status.st_nlink, here + 1)
    return Footprint(alone, linked)


def together(footprints: Iterable[Footprint]) -> DiskUse:
    """What several folders take, of which none lies in another."""
    size = freed = 0
    names: dict[_Inode, int] = {}
    for each in footprints:
        size += each.alone
        freed += each.alone
        for inode, (taken, links, here) in each.linked.items():
            before = names.get(inode, 0)
            names[inode] = before + here
            size += 0 if before else taken
            freed += taken if before + here == links else 0
    return DiskUse(size, freed)


def disk_use(*paths: Path) -> DiskUse:
    """What the folders take together."""
    return together(map(footprint, paths))


def is_of_the_disk(error: OSError) -> bool:
    """Whether it is about the disk and not about a single file: it is full, or a quota is used up, or it cannot be written."""
    return error.errno in (*_FULL, errno.EROFS)


def what_to_do(error: BaseException) -> str:
    """A hint for an error that came up while something was written to isohub's folder."""
    cause = error if isinstance(error, OSError) else error.__cause__
    full = isinstance(cause, OSError) and cause.errno in _FULL
    first = "make room there" if full else "make it a folder that you can write to"
    return f"{first}, or name another one by ISOHUB_HOME{' (isohub env prune removes what is not used)' if full else ''}"


def mark_used(path: Path) -> None:
    """Remember that what the file stands for is used now. More than once an hour says no more, so nothing is written then."""
    try:
        if abs(time.time() - path.stat().st_mtime) > _HOUR:
            os.utime(path)
    except OSError:
        pass  # a cache that cannot be written is used as well, and there is nothing to be removed from it


def used_at(path: Path) -> float:
    """When it was last marked, in seconds since the epoch; 0 if there is no such file.

    What was marked in the future, since the clock was wrong then, is taken for used now.
    """
    try:
        return min(path.stat().st_mtime, time.time())
    except OSError:
        return 0.0
