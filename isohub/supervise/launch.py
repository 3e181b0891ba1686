"""Starting a worker process, ending it, and ending what it has started: the one place that knows the operating system.

A worker runs as ``python -I .../isohub_worker/__main__.py serve FD``, leads a process group of its own, and holds one end of a
control channel, on which it says that it is there and gets its boot record. Windows has neither process groups nor inherited
descriptors: a port replaces the functions of this file, with a job object and a named pipe.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import isohub_worker
from isohub.sandbox import end_inside

__all__ = ["PACKAGE", "Process", "anonymous_file", "launch"]

# The kernel's word on who has sent something: process, user and group, by the numbers that they have here.
_CREDENTIALS = struct.Struct("3i") if hasattr(socket, "SCM_CREDENTIALS") else None
#: The worker's side of isohub.
PACKAGE = Path(isohub_worker.__file__).parent
_GUARD = Path(__file__).with_name("guard.py")


class Process:
    """A worker process, from the outside.

    Attributes:
        pid: of the process or, in a sandbox, of what makes that; and number of its group.
    """

    def __init__(self, popen: subprocess.Popen[bytes], control: socket.socket, wrapped: bool) -> None:
        self.pid = popen.pid
        self._wrapped = wrapped
        self._popen = popen
        self._control = control
        _processes.add(self)

    def introduced(self, seconds: float) -> int | None:
        """Wait until the worker says that it is there.

        Returns:
            The number of its process, for which the kernel stands; None if it has ended, or was asked to.

        Raises:
            TimeoutError: it says nothing.
        """
        self._control.settimeout(seconds)
        try:
            if not _CREDENTIALS:
                return self.pid if self._control.recv(1) else None
            word, ancillary, *_ = self._control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise TimeoutError(f"it said nothing within {seconds:g} s") from None
            return None
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and word:
                return int(_CREDENTIALS.unpack(data)[0])
        return None

    def tell(self, boot: Mapping[str, Any]) -> None:
        """Give it its boot record; see ``isohub_worker.loop``."""
        try:
            self._control.sendall(json.dumps(boot).encode() + b"\n")
        except OSError:
            pass  # it has ended, of which its exit status says why; or it is told to go already

    def wait(self) -> int:
        """Wait for the process to end, then end what it has started.

        Returns:
            The exit status; negative for the signal that killed it.
        """
        try:
            # Not reaped yet: until it is, nobody else can be given its number, which is the group's.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # the host reaps every child itself: the status is lost
        self._kill_group()
        status = self._popen.wait()
        self._control.close()
        _guard.forget(self.pid)
        return end_inside(status) if self._wrapped else status

    def ask_to_end(self) -> None:
        """Close the control channel, at which the worker goes."""
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed: the process has ended, or is about to

    def kill(self) -> None:
        """End it now, and all that it has started."""
        if self._popen.returncode is None:
            self._kill_group()

    def after_fork(self) -> None:
        """In a forked child: let go of the control channel, or the host's death would not close it."""
        self._control.close()
        self._popen.returncode = 0  # not this process's child, so not to be waited for

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it, or nobody that is ours to kill


def launch(
    python: Path,
    *,
    environ: Mapping[str, str],
    log: int,
    inherit: Sequence[int] = (),
    before: Sequence[str] = (),
    cwd: Path | None = None,
) -> Process:
    """Start a worker with the interpreter `python`.

    Linux kills the worker when the thread that calls this ends, so that must be a thread that stays.

    Args:
        environ: all of the worker's process environment.
        log: file descriptor that its output goes to.
        inherit: file descriptors that it gets under their own numbers.
        before: what goes before the words of its command, to run it in a sandbox.
        cwd: its working directory; None for the host's.

    Raises:
        OSError: the interpreter cannot be run.
    """
    main = PACKAGE / "__main__.py"
    ours, theirs = socket.socketpair()
    if _CREDENTIALS:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        with theirs:
            popen = subprocess.Popen(
                [*before, str(python), "-I", str(main), "serve", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=dict(environ),
                pass_fds=[theirs.fileno(), *inherit],
                start_new_session=True,
            )
        _guard.remember(python, popen.pid)
    except BaseException:
        ours.close()
        raise
    return Process(popen, ours, wrapped=bool(before))


def anonymous_file(size: int) -> int:
    """A file without a name, to be shared with a worker; it takes memory only where it is written to.

    Returns:
        Its file descriptor, which the caller closes.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("isohub", os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix="isohub-")
        os.unlink(path)  # noqa: PTH108
    os.ftruncate(fd, size)
    return fd


class _Guard:
    """The guard process of this host, started with the first worker; see ``guard``."""

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
                [str(python), "-I", "-S", str(_GUARD)],
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
_processes: weakref.WeakSet[Process] = weakref.WeakSet()
atexit.register(_guard.dismiss)


def _after_fork_in_child() -> None:
    _guard.after_fork()
    for process in list(_processes):
        process.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
