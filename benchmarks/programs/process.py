"""What the kernel says of a process's memory. Linux only."""

from __future__ import annotations

from pathlib import Path

__all__ = ["private_bytes", "resident_bytes"]


def private_bytes(pid: int) -> int:
    """What would be free if it ended: the pages that no other process has."""
    sizes = _sizes(pid)
    return sizes["Private_Clean"] + sizes["Private_Dirty"]


def resident_bytes(pid: int) -> int:
    """What it has in memory, shared or not."""
    return _sizes(pid)["Rss"]


def _sizes(pid: int) -> dict[str, int]:
    # Not from statm, whose figures lag behind by some pages for each processor.
    _, *lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    fields = (line.split() for line in lines)
    return {field[0].rstrip(":"): int(field[1]) << 10 for field in fields}
