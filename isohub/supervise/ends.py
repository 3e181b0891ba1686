"""How a process ended, in words."""

from __future__ import annotations

import signal

__all__ = ["how_it_ended", "what_it_may_mean"]


def how_it_ended(status: int | None) -> str:
    """What follows "the process" in a sentence; `status` is its exit status, negative for a signal, None if nobody knows."""
    if status is None:
        return "ended, nobody knows how"
    return f"exited with status {status}" if status >= 0 else f"was ended by {_signal_name(status)}"


def what_it_may_mean(status: int | None) -> str:
    """Where to look for the cause."""
    if status is None or status >= 0:
        return "the log says what ended it"
    return {
        "SIGKILL": "somebody killed it, perhaps the kernel for want of memory",
        "SIGSEGV": "its native code crashed; the log shows where",
        "SIGABRT": "its native code gave up; the log shows why",
    }.get(_signal_name(status), "the log may say why")


def _signal_name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
