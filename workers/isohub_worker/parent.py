"""The tie to the process that started this one."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["die_with_parent", "introduce"]


def introduce(control: int) -> None:
    """Say on the control channel that this process is there.

    The kernel tells the host which process that is, and the host then lets that one in and no other. Said before all that takes
    time, so that nobody waits for it.
    """
    try:
        os.write(control, b"+")
    except OSError:
        os._exit(0)  # the host has given up already


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends; elsewhere nothing does."""
    if sys.platform.startswith("linux"):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
