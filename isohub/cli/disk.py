"""What folders take on disk, as ``du`` counts it: blocks, and a file with several names once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DiskUse", "disk_use"]

_BLOCK = 512


@dataclass(frozen=True)
class DiskUse:
    """What some folders take.

    Attributes:
        size: bytes of the files and folders in them.
        freed: the part of it that would be free without them. The rest has other names elsewhere, as in uv's cache.
    """

    size: int
    freed: int


def disk_use(*folders: Path) -> DiskUse:
    """Look at every file in the folders. What goes away meanwhile does not count, nor does what cannot be looked at."""
    size = freed = 0
    names: dict[tuple[int, int], int] = {}
    waiting = [str(folder) for folder in folders]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = [*listing]
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                seen, links = 1, 1
            else:
                inode, links = (status.st_dev, status.st_ino), status.st_nlink
                seen = names[inode] = names.get(inode, 0) + 1
            taken = getattr(status, "st_blocks", -(-status.st_size // _BLOCK)) * _BLOCK
            size += taken if seen == 1 else 0
            freed += taken if seen == links else 0
    return DiskUse(size, freed)
