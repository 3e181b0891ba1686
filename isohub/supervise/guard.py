"""A small process beside the host that outlives it for an instant, to end what the host can no longer end.

A worker goes with its host by itself, but what it has started (data loaders, servers, compilers) may not. So every worker leads a
process group; the host tells the guard which groups there are, and when the host is gone, however it went, the guard kills them.

Run as ``python -I -S guard.py``; standard input is a pipe from the host, with lines ``+GROUP`` and ``-GROUP``.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


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


if __name__ == "__main__":
    main()
