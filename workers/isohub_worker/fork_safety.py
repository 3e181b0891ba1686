"""Whether a fork of this process is as good as a process that did the same from the start.

What a fork does not take along are threads and child processes; what it shares and should not are the position in an open file, a
connection, and a folder that is removed when the first of them ends. Whoever has one of these after an import is not forked.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import weakref

__all__ = ["is_alone", "open_files", "why_not"]

_FILES = "/proc/self/fd"
_THREADS = "/proc/self/task"
# Devices without a state of their own; and those of NVIDIA that are there to be asked which GPUs there are. CUDA opens others.
_STATELESS = re.compile(r"/dev/(null|zero|full|random|urandom|nvidiactl|nvidia\d+)")
# Threads that end because of a fork need this long at most until the kernel counts them no more.
_THREAD_END = 0.2


def open_files() -> dict[str, str]:
    """What is open in this process: the files by their numbers; nothing where the system does not tell."""
    files = {}
    for number in os.listdir(_FILES) if os.path.isdir(_FILES) else ():
        try:
            files[number] = os.readlink(os.path.join(_FILES, number))
        except OSError:
            continue  # the one by which the folder was read
    return files


def why_not(files_before: dict[str, str]) -> str | None:
    """Why this process is not to be forked; None if nothing speaks against it.

    Args:
        files_before: what `open_files` answered before whatever may speak against it was done.
    """
    if not sys.platform.startswith("linux"):
        return "forks are safe on Linux only"
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        return "it has initialized CUDA"
    if len(threading.enumerate()) > 1:
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        return "it has started threads (%s)" % ", ".join(names)
    if not _is_childless():
        return "it has child processes"
    opened = [
        name
        for number, name in open_files().items()
        if files_before.get(number) != name and not _STATELESS.fullmatch(name)
    ]
    if opened:
        return "it has opened files (%s)" % ", ".join(opened)
    folders = _temporary_folders()
    if folders:
        return "it has temporary folders (%s)" % ", ".join(folders)
    if not is_alone():
        # Some libraries, OpenBLAS among them, end their threads at a fork and start others when they need them.
        _fork_once()
        until = time.monotonic() + _THREAD_END
        while not is_alone() and time.monotonic() < until:
            time.sleep(0.005)
    if not is_alone():
        return "native code in it has started threads"
    return None


def is_alone() -> bool:
    """Whether this process has one thread."""
    return len(os.listdir(_THREADS)) == 1


def _is_childless() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def _temporary_folders() -> list[str]:
    """Folders that the first of several forks to end would remove, and the others might use."""
    registry = getattr(weakref.finalize, "_registry", {})
    cleanup = "TemporaryDirectory._cleanup"
    return sorted(
        str(item.args[0]) for item in registry.values() if getattr(item.func, "__qualname__", "") == cleanup
    )


def _fork_once() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
