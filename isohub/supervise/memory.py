"""The memory that a worker and what it has started hold together, and whether the kernel has killed for want of it.

Each process is held to the limit by the kernel, see ``isohub_worker.limits``; together they may still take more. Processes that
are forks of one another share most of their memory, so adding up what each holds says too much, and it takes a while to find out
who shares what. That is only done where the sum is beyond the limit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["excess", "oom_kills"]

_PROCESSES = Path("/proc")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_MACHINE = Path("/proc/vmstat")
_OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
# Each process has its share of what several hold.
_SHARE = re.compile(r"^Pss_Anon: +(\d+) kB$", re.MULTILINE)


def excess(group: int, limit: int) -> int | None:
    """The bytes that the processes of the group hold, if those are more than `limit`; files and shared memory do not count."""
    pids = [int(path.name) for path in _PROCESSES.iterdir() if path.name.isdecimal()]
    members = [pid for pid in pids if _is_in(group, pid)]
    if _together(members, _at_most) <= limit:
        return None
    held = _together(members, _share)
    return held if held > limit else None


def oom_kills() -> int | None:
    """How many processes of this control group the kernel has killed for want of memory; None where it does not tell.

    Where there are no control groups, it is those of the machine.
    """
    for path in _counters():
        try:
            found = _OOM_KILL.search(path.read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def _counters() -> Iterator[Path]:
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        lines = []
    for number, controllers, name in (line.split(":", 2) for line in lines):
        group = name.lstrip("/")
        if "memory" in controllers.split(","):
            yield _GROUPS / "memory" / group / "memory.oom_control"
        elif number == "0":
            yield _GROUPS / group / "memory.events"
    yield _MACHINE


def _is_in(group: int, pid: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except (ProcessLookupError, PermissionError):
        return False


def _together(members: list[int], measure: Callable[[int], int]) -> int:
    total = 0
    for pid in members:
        try:
            total += measure(pid)
        except (OSError, LookupError):
            continue  # it has ended
    return total


def _at_most(pid: int) -> int:
    """What is neither a file nor shared memory, whoever else holds it."""
    _, resident, shared, *_ = (_PROCESSES / str(pid) / "statm").read_text().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _share(pid: int) -> int:
    text = (_PROCESSES / str(pid) / "smaps_rollup").read_text()
    found = _SHARE.search(text)
    return int(found[1]) * 1024 if found else 0
