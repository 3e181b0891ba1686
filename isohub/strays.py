"""Processes that outlive whoever started them, and how they are ended all the same.

What isohub starts may start others (data loaders, servers, compilers). So it leads a process group, which is killed when it ends.
What has left the group, as a daemon does, is found by a mark in the environment that it was started with, unless it was given
another one. On Linux; elsewhere nobody tells.

As a program, ``python -I -S strays.py MARK``, this is the guard: a small process beside the host that outlives it for an instant,
to end what the host can no longer end. Standard input is a pipe from the host, with lines ``+GROUP`` and ``-GROUP`` for the
groups that there are. A worker's interpreter may run it, so it is Python 3.7 and imports nothing of isohub's.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys

__all__ = ["MARK", "host_mark", "kill_strays", "new_mark"]

#: The variable with the mark.
MARK = "ISOHUB_WORKER"
# What is marked may start others while it is looked for.
_MOST_LOOKS = 10


def host_mark() -> str:
    """What the marks of all that this process starts begin with."""
    return _host_mark


def new_mark() -> str:
    """A word for the environment of what one process starts, by which `kill_strays` finds it."""
    return f"{_host_mark}{next(_numbers)}."


def kill_strays(mark: str) -> None:
    """End all processes whose mark, when their program began, began with `mark`."""
    word = f"\0{MARK}={mark}".encode()
    for _ in range(_MOST_LOOKS):
        if not [pid for pid in _processes() if word in _environ(pid) and _kill(pid)]:
            return


def _processes() -> list[int]:
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib takes longer to import than all of this
    except OSError:
        return []
    return [int(name) for name in names if name.isdigit() and int(name) != os.getpid()]


def _environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return b"\0" + file.read()
    except OSError:
        return b""  # somebody else's, or it has ended


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def _random_mark() -> str:
    return f"{os.urandom(8).hex()}."


def _after_fork_in_child() -> None:
    # What this process starts is not the parent's to end.
    global _host_mark
    _host_mark = _random_mark()


_host_mark = _random_mark()
_numbers = itertools.count(1)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _guard(mark: str) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue
    kill_strays(mark)


if __name__ == "__main__":
    _guard(sys.argv[1])
