"""What changes when a file does."""

from __future__ import annotations

from pathlib import Path

__all__ = ["stamp"]


def stamp(path: Path) -> list[int] | None:
    """Its time and size, links followed; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]
