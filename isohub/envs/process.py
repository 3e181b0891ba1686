"""Running one program to its end: in a session of its own, within a time limit, and nothing of it is left afterwards.

Output goes to a file and not through a pipe, since a grandchild that keeps a pipe open would keep us waiting.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from isohub.strays import MARK, kill_strays, new_mark

__all__ = ["TimedOut", "exit_text", "run_program"]


class TimedOut(Exception):
    """The program was ended because its time was up."""


def run_program(
    arguments: Sequence[str | Path],
    *,
    environ: Mapping[str, str],
    folder: Path,
    output: IO[bytes],
    limit: float,
    inherit: Sequence[int] = (),
) -> int:
    """Run a program and wait for its end.

    Args:
        arguments: the program, by its full path, and its arguments.
        environ: its environment.
        folder: its working directory.
        output: a file for its stdout and stderr.
        limit: seconds after which it and its children are killed.
        inherit: file descriptors that it keeps.

    Returns:
        Its exit status; negative for the signal that ended it.

    Raises:
        TimedOut: its time was up.
        OSError: it could not be started.
    """
    mark = new_mark()
    process = subprocess.Popen(
        [os.fspath(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**environ, MARK: mark},
        cwd=folder,
        start_new_session=True,
        pass_fds=inherit,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill_group(process)

    timer = threading.Timer(limit, expire)
    timer.daemon = True
    timer.start()
    try:
        _wait_unreaped(process)
    finally:
        # Also when the wait was interrupted. The leader is not reaped yet, so its group's number is still its own.
        timer.cancel()
        timer.join()
        _kill_group(process)
        kill_strays(mark)
        returncode = process.wait()
    if expired.is_set():
        raise TimedOut
    return returncode


def exit_text(returncode: int) -> str:
    """How a program ended, in words."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def _wait_unreaped(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass  # macOS answers so for a group of which only the unreaped leader is left
