"""Starting a process for workers, and ending what it and they have started: the one place that knows the operating system.

Such a process runs as ``python -I .../isohub_worker/__main__.py zygote FD``, leads a process group of its own, and holds one end
of the socket on which it is told what to do. Windows has neither process groups nor inherited descriptors: a port replaces the
functions of this file, with a job object and a named pipe.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import isohub_worker
from isohub import strays

if os.name == "posix":
    import fcntl

__all__ = ["PACKAGE", "anonymous_file", "forget_group", "kill_group", "remember_group", "spawn"]

#: The worker's side of isohub.
PACKAGE = Path(isohub_worker.__file__).parent


def spawn(
    python: Path,
    channel: int,
    *,
    environ: Mapping[str, str],
    mark: str,
    log: int,
    cwd: str | None,
    before: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a process for workers with the interpreter `python`.

    Linux kills it when the thread that calls this ends, so that must be a thread that stays.

    Args:
        channel: file descriptor of its end of the socket.
        environ: its process environment.
        mark: what is in that besides, see ``strays``.
        log: file descriptor that its output goes to.
        cwd: its working directory; None for the host's.
        before: what goes before the words of its command, to run it in a sandbox.

    Raises:
        OSError: the interpreter cannot be run.
    """
    main = PACKAGE / "__main__.py"
    popen = subprocess.Popen(
        [*before, str(python), "-I", str(main), "zygote", str(channel)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env={**environ, strays.MARK: mark},
        pass_fds=[channel],
        start_new_session=True,
    )
    remember_group(python, popen.pid)
    return popen


def remember_group(python: Path, group: int) -> None:
    """Should this process end, in whatever way, the guard kills the process group; it runs with the interpreter `python`."""
    _guard.remember(python, group)


def forget_group(group: int) -> None:
    """The process group is no longer ours to kill."""
    _guard.forget(group)


def kill_group(group: int) -> None:
    """End all processes of the group, of which the leader may be dead but must not have been reaped."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left in it, or nobody that is ours to kill


def anonymous_file(size: int) -> int:
    """A file without a name, to be shared with a worker; it takes memory only where it is written to.

    Returns:
        Its file descriptor, which the caller closes.

    Raises:
        OSError: it cannot be made, or not as long.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("isohub", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        fd, path = tempfile.mkstemp(prefix="isohub-")
        os.unlink(path)  # noqa: PTH108
    try:
        os.ftruncate(fd, size)
        if hasattr(os, "memfd_create"):
            # Who looks beyond the end of a file that was made shorter is killed, and the worker has it too.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


class _Guard:
    """The guard process of this host, started with the first worker; see ``strays``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def remember(self, python: Path, group: int) -> None:
        with self._lock:
            self._groups.add(group)
            if self._popen is not None and self._tell(self._popen, f"+{group}\n"):
                return
            # A worker's interpreter, since the host's may be embedded in something that is no Python at all.
            self._popen = subprocess.Popen(
                [str(python), "-I", "-S", strays.__file__, strays.host_mark()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._tell(self._popen, "".join(f"+{known}\n" for known in self._groups))

    def forget(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)
            if self._popen is not None:
                self._tell(self._popen, f"-{group}\n")

    def _tell(self, popen: subprocess.Popen[bytes], lines: str) -> bool:
        assert popen.stdin is not None
        try:
            popen.stdin.write(lines.encode())
            popen.stdin.flush()
        except BrokenPipeError:
            # Somebody killed it; the next worker brings another one.
            self._dismiss()
            return False
        return True

    def dismiss(self) -> None:
        """The host ends in good order: so does the guard."""
        with self._lock:
            self._dismiss()

    def _dismiss(self) -> None:
        popen, self._popen = self._popen, None
        if popen is not None and popen.stdin is not None:
            try:
                popen.stdin.close()
            except BrokenPipeError:
                pass  # it had gone before
            popen.wait()

    def after_fork(self) -> None:
        """In a forked child: let go of the pipe, or the host's death would not close it."""
        popen, self._popen = self._popen, None
        self._lock = threading.Lock()
        self._groups = set()
        if popen is not None and popen.stdin is not None:
            os.close(popen.stdin.fileno())
            popen.returncode = 0  # not this process's child, so not to be waited for


_guard = _Guard()
atexit.register(_guard.dismiss)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_guard.after_fork)
