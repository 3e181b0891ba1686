"""How a process ended, in words."""

from __future__ import annotations

import signal

from isohub.sizes import size_text

__all__ = ["how_it_ended", "what_it_may_mean"]

# By whether the kernel has killed somebody for want of memory.
_KILLED = {
    None: "somebody killed it, perhaps the kernel for want of memory",
    False: "somebody killed it, and not the kernel for want of memory",
    True: "have it do less at once, or make more memory free",
}


def how_it_ended(status: int | None, *, oom_killed: bool = False) -> str:
    """What follows "the process" in a sentence; `status` is its exit status, negative for a signal, None if nobody knows."""
    if status is None:
        return "ended, nobody knows how"
    if status >= 0:
        return f"exited with status {status}"
    name = _signal_name(status)
    if name == "SIGKILL" and oom_killed:
        return f"was ended by {name}, probably by the kernel's OOM killer, for want of memory"
    return f"was ended by {name}"


def what_it_may_mean(status: int | None, *, oom_killed: bool | None, max_memory: int | None) -> str:
    """Where to look for the cause.

    Args:
        status: as in `how_it_ended`.
        oom_killed: whether the kernel has killed somebody for want of memory meanwhile; None if nobody knows.
        max_memory: bytes that the process was allowed; None for no limit.
    """
    if status is None or status >= 0:
        return "the log says what ended it"
    name = _signal_name(status)
    if max_memory is not None and name in ("SIGSEGV", "SIGABRT"):
        return f"its native code was perhaps refused memory beyond max_memory, which is {size_text(max_memory)}; see the log"
    return {
        "SIGKILL": _KILLED[oom_killed],
        "SIGSEGV": "its native code crashed; the log shows where",
        "SIGABRT": "its native code gave up; the log shows why",
    }.get(name, "the log may say why")


def _signal_name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
