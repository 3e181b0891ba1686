"""Which workers there are, and what each of them takes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from isohub.supervise import nvml, register

__all__ = ["WorkerInfo", "workers"]


@dataclass(frozen=True)
class WorkerInfo:
    """A worker at one moment.

    Attributes:
        name: what it runs, such as ``owner/repo@main``.
        pid: its process; while it starts, the one that imports the hubconf for it.
        host: the process that started it, and that it ends with.
        state: "starting", "serving", "suspect" (it has given no sign of life for seconds) or "closing".
        gpus: the GPUs that it is pinned to, () for none; None if the Hub was not told.
        gpu_memory: bytes of NVIDIA's devices that it and what it has started hold; None if that is not known.
        rss: bytes of memory that its process holds, shared ones included; None if that is not known.
        uptime: seconds since it was started.
        calls: what it was asked for so far, attributes and streams included.
        log: the file with its output.
    """

    name: str
    pid: int
    host: int
    state: str
    gpus: tuple[str, ...] | None
    gpu_memory: int | None
    rss: int | None
    uptime: float
    calls: int
    log: Path


def workers(*, all: bool = False) -> list[WorkerInfo]:
    """The workers of this process, the oldest first.

    Args:
        all: those of all processes of this user on this machine.
    """
    found = register.on_this_machine() if all else register.here()
    memory = _memory_by_group() if found else {}
    now = time.monotonic()
    return [
        WorkerInfo(
            name=worker.name,
            pid=worker.pid,
            host=worker.host,
            state=state.value,
            gpus=worker.gpus,
            gpu_memory=None if memory is None else memory.get(_group(worker.pid), 0),
            rss=_rss(worker.pid),
            uptime=max(0.0, now - worker.since),
            calls=calls,
            log=Path(worker.log),
        )
        for worker, state, calls in sorted(found, key=lambda item: item[0].since)
    ]


def _memory_by_group() -> dict[int | None, int | None] | None:
    """The device memory of each process group, which is that of a worker and what it has started; None if nobody knows.

    A group's is None if the driver knows of its processes and not of their memory.
    """
    try:
        processes = nvml.memory_of_processes()
    except nvml.NvmlMissing:
        return None
    groups: dict[int | None, int | None] = {}
    for pid, used in processes.items():
        group = _group(pid)
        if group is None:
            continue
        before = groups.get(group, 0)
        groups[group] = None if used is None or before is None else before + used
    # In a container the driver may name processes by numbers that mean nothing here.
    return groups if groups or not processes else None


def _group(pid: int) -> int | None:
    """The process group that it is in, whose leader may be what makes its sandbox."""
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _rss(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
