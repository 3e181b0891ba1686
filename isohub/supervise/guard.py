"""A small process beside the host that outlives it for an instant, to end what the host can no longer end.

A worker goes with its host by itself, but what it has started (data loaders, servers, compilers) may not. So every worker leads a
process group; the host tells the guard which groups there are, and when the host is gone, however it went, the guard kills them.
What has left its group, as a daemon does, has a mark in the environment that it was started with, unless it was given another.

Run as ``python -I -S guard.py MARK``; standard input is a pipe from the host, with lines ``+GROUP`` and ``-GROUP``.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["MARK", "kill_marked", "main"]

#: The variable with the mark.
MARK = "ISOHUB_WORKER"
# What is marked may start others while it is looked for.
_MOST_LOOKS = 10


def main() -> None:
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
    kill_marked(sys.argv[1])


def kill_marked(mark: str) -> None:
    """End all processes whose mark, at the beginning of their program, began with `mark`. Only Linux tells."""
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


if __name__ == "__main__":
    main()
