"""What is left over when everything has ended."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["open_files", "resident", "what_is_left"]

_SECONDS = 10.0


def what_is_left(home: Path) -> list[str]:
    """Processes of this home, and folders of sockets, that are still there after some seconds, and shared memory."""
    left: list[str] = []
    for look in (lambda: _processes(home), _folders, _memory):
        left += _still(look)
    return left


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def resident() -> float:
    """The memory of this process, in MiB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _still(look: Callable[[], list[str]]) -> list[str]:
    limit = time.monotonic() + _SECONDS
    while (left := look()) and time.monotonic() < limit:
        time.sleep(0.05)
    return left


def _processes(home: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        # The guard of this process ends with it, and only then.
        if str(home) in command and "strays.py" not in command and int(folder.name) != os.getpid():
            found.append(f"process {folder.name}: {command}")
    return found


def _folders() -> list[str]:
    return [f"folder {path}" for path in Path(tempfile.gettempdir()).glob("isohub-*")]


def _memory() -> list[str]:
    gc.collect()
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [f"mapping {line}" for line in lines if "memfd:isohub" in line]
