"""What a worker may take of its machine, set in the worker itself, after the import and before it serves.

Memory is limited by ``RLIMIT_DATA``: Linux counts what a process has asked for and can write to alone, and refuses what goes
beyond. So what asks for too much gets a ``MemoryError``, or what its library makes of that, and the worker lives on. Address
space is not limited, of which CUDA and shared memory reserve far more than they use. What a worker starts has the same limit,
each process for itself; all together are watched by the host.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["hold_to", "no_core_dumps"]

# The worker's own threads and sockets take some after this. Without it a worker could not even say what is wrong.
_ROOM = 64 * 1024 * 1024
# Of 1000. When the machine is out of memory the kernel ends a worker before the program that started it.
_EXPENDABLE = 500
_LEAST_PRIORITY = 19


def no_core_dumps() -> None:
    """A crash leaves no copy of the memory on the disk, where it would take gigabytes and show what was in it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hold_to(limits: dict[str, Any]) -> None:
    """Set limits that this process cannot lift.

    Args:
        limits: ``memory`` in bytes, ``cpu_threads`` and ``nice``; None for those that there are not.

    Raises:
        MemoryError: more memory is taken already, and the limit is not set.
    """
    _be_expendable()
    if limits["nice"]:
        _give_way(limits["nice"])
    if limits["cpu_threads"] is not None:
        _use_threads(limits["cpu_threads"])
    if limits["memory"] is not None:
        _limit_memory(limits["memory"])


def _be_expendable() -> None:
    path = "/proc/self/oom_score_adj"
    try:
        with open(path) as file:
            score = int(file.read())
        with open(path, "w") as file:
            file.write(str(min(score + _EXPENDABLE, 1000)))
    except OSError:
        pass  # no Linux, or a container that does not allow it


def _give_way(by: int) -> None:
    """Each thread has a priority of its own, and those that the import has started are threads of the worker."""
    tasks = "/proc/self/task"
    threads = [int(name) for name in os.listdir(tasks)] if os.path.isdir(tasks) else [0]
    priority = min(os.getpriority(os.PRIO_PROCESS, 0) + by, _LEAST_PRIORITY)
    for thread in threads:
        try:
            os.setpriority(os.PRIO_PROCESS, thread, priority)
        except OSError:
            pass  # it has ended, or had less than that before


def _use_threads(count: int) -> None:
    """The variables that say so were there before the import; this is for a repository that has said otherwise since."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads") and torch.get_num_threads() > count:
        torch.set_num_threads(count)


def _limit_memory(limit: int) -> None:
    import resource

    taken = _taken()
    if taken + _ROOM > limit:
        raise MemoryError(
            "the import has taken %d MiB and a worker needs %d more, which is beyond its limit of %d MiB"
            % (taken >> 20, _ROOM >> 20, limit >> 20)
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _taken() -> int:
    """What counts against the limit by now."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0
