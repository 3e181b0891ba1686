"""What the kernel says of a process's memory. Linux only."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["private_bytes", "resident_bytes"]


def private_bytes(pid: int) -> int:
    """What would be free if it ended: the pages that no other process has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = (line.split() for line in text.splitlines())
    return sum(int(field[1]) << 10 for field in fields if field[0] in ("Private_Clean:", "Private_Dirty:"))


def resident_bytes(pid: int) -> int:
    """What it has in memory, shared or not."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
