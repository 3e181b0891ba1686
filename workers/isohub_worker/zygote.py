"""``zygote FD``: a process that imports a hubconf once, before it has a thread, and is then forked for every worker of it.

The file descriptor FD is a stream socket to the host. Both sides write lines of JSON into it. The host first says what is to be
imported, as an object: ``repo_dir``, ``prelude``, ``hub_dir``, and ``alone``, a reason to serve one worker only, or None. Then::

    ["fork", boot]          make a worker with this boot record, see ``loop``, in which ``environ`` has the variables that only
                            this worker has; with the line come file descriptors: the worker's end of its control channel, its
                            log, and its arenas if it has any
    ["reap", pid]           the worker that has ended may be forgotten
    ["awake?"]              say something

and this process::

    ["ready"]               the hubconf is imported, and forks of this process are as good as new ones
    ["forked", pid]         answers "fork"; the worker leads a process group of its own
    ["failed", text]        answers "fork": the system did not let it
    ["exit", pid, status]   a worker has ended, with this exit status, negative for a signal; its number stays taken until "reap"
    ["awake"]               answers "awake?"
    ["alone", reason]       instead of "ready": this process is the worker that was first asked for, and nothing more is said. The
                            reason is None if the import has failed, which the worker's first call then tells.

When the host's end is gone this process goes. On Linux it goes with the host anyway, and its workers with it.
"""

from __future__ import annotations

import array
import faulthandler
import gc
import os
import sys
import traceback
from json import dumps, loads
from select import POLLIN, poll
from signal import SIG_DFL, SIG_SETMASK, SIG_UNBLOCK, SIGCHLD, pthread_sigmask, set_wakeup_fd, signal
from socket import CMSG_LEN, socket
from types import ModuleType
from typing import Any, NoReturn

from .fork_safety import open_files, why_not
from .hubconf import import_hubconf, set_hub_dir
from .limits import hold_to, no_core_dumps
from .loop import Server, introduce, watch_host
from .parent import die_with_parent
from .randomness import begin_anew

__all__ = ["main"]

# With it torch asks the driver's management library whether there are GPUs, and not CUDA, which a fork could not use any more.
_HARMLESS_CUDA_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
# What an import makes stays, as a rule. Looking for garbage in it as often as usual is a tenth of the import of torch.
_NEW_OBJECTS = 500_000
_MOST_FDS = 16


def main(fd: str) -> None:
    faulthandler.enable()
    die_with_parent()
    no_core_dumps()
    for stream in (sys.stdout, sys.stderr):
        # A line must be in the log before the call that printed it kills the process.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    host = _Host(int(fd))
    order = host.read()
    files = open_files()
    hubconf = _imported(order)
    _occupy_standard_files()
    reason = None if isinstance(hubconf, BaseException) else order["alone"] or why_not(files)
    if reason is not None or isinstance(hubconf, BaseException):
        boot, fds = _only_worker(host, reason)
    else:
        boot, fds = _Zygote(host).worker()
    # What this process starts from now on is not its siblings'.
    os.environ.update(boot["environ"])
    control, log, *arenas = fds
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    if boot["arena"] is not None:
        boot["arena"] = (*arenas, boot["arena"])
    try:
        hold_to(boot["limits"])
    except MemoryError as error:
        hubconf = error
    channel = socket(fileno=control)
    boot.update(introduce(channel))
    server = Server(boot, hubconf)
    watch_host(channel, boot["beat"], server.cancel)
    server.serve()


def _imported(order: dict[str, Any]) -> ModuleType | BaseException:
    """The hubconf, or what its import raised."""
    pid = os.getpid()
    threshold = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *threshold[1:])
    asked_for = _HARMLESS_CUDA_CHECK in os.environ
    if not asked_for:
        os.environ[_HARMLESS_CUDA_CHECK] = "1"
    try:
        if order["hub_dir"] is not None:
            set_hub_dir(order["hub_dir"])
        return import_hubconf(order["repo_dir"], order["prelude"])
    except BaseException as error:
        return error
    finally:
        if os.getpid() != pid:
            # The hubconf forked, and this is the other one.
            os._exit(0)
        if not asked_for:
            os.environ.pop(_HARMLESS_CUDA_CHECK, None)
        # A collection would write to every object that is here now, and so make each fork have a copy of its own.
        gc.freeze()
        if gc.get_threshold()[0] == _NEW_OBJECTS:
            gc.set_threshold(*threshold)


def _occupy_standard_files() -> None:
    """Whatever the hubconf has closed: what is received must not come to lie there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _only_worker(host: _Host, reason: str | None) -> tuple[dict[str, Any], list[int]]:
    """This process is the worker that was first asked for."""
    gc.unfreeze()
    if reason is not None:
        text = "isohub: other workers of this repository do not start as forks of this one: %s\n" % reason
        try:
            os.write(2, text.encode("utf-8", "replace"))
        except OSError:
            pass  # the disk is full, or whatever the hubconf made of this file
    host.tell("alone", reason)
    _, boot = host.read()
    fds = host.take_fds(boot)
    host.close()
    return boot, fds


class _Zygote:
    """Forks workers. It has no threads, and never runs any of the repository's code.

    Args:
        host: where it is told to.
    """

    def __init__(self, host: _Host) -> None:
        self._host = host
        self._pid = os.getpid()
        self._workers: set[int] = set()
        self._awake, self._alarm = os.pipe()
        for end in (self._awake, self._alarm):
            os.set_blocking(end, False)

    def worker(self) -> tuple[dict[str, Any], list[int]]:
        """Serve the host until the process ends. It returns in the forks only, each time with a worker's record and files."""
        self._watch_children()
        arrivals = poll()
        arrivals.register(self._host, POLLIN)
        arrivals.register(self._awake, POLLIN)
        self._host.tell("ready")
        while True:
            if self._host.has_line():
                what, *arguments = self._host.read()
                if what == "awake?":
                    self._host.tell("awake")
                elif what == "reap":
                    os.waitpid(arguments[0], 0)
                else:
                    (boot,) = arguments
                    fds = self._host.take_fds(boot)
                    if self._forked(fds):
                        return boot, fds
                continue
            for fd, _ in arrivals.poll():
                if fd == self._awake:
                    os.read(fd, 4096)
                else:
                    self._host.receive()
            self._report_ends()

    def _watch_children(self) -> None:
        """Be woken when a worker ends, whatever the hubconf has made of signals."""
        self._handler = signal(SIGCHLD, lambda number, frame: None)
        self._wakeup = set_wakeup_fd(self._alarm)
        self._mask = pthread_sigmask(SIG_UNBLOCK, [SIGCHLD])

    def _forked(self, fds: list[int]) -> bool:
        """Fork; whether this is the fork."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                continue  # whatever the hubconf made of it
        try:
            pid = os.fork()
        except OSError as error:
            self._host.tell("failed", str(error))
            pid = -1
        if pid == 0:
            self._become_worker()
            return True
        for fd in fds:
            os.close(fd)
        if pid > 0:
            # As it does itself: whichever comes first, there is a group to kill once its number is known.
            os.setpgid(pid, pid)
            self._workers.add(pid)
            self._host.tell("forked", pid)
        return False

    def _become_worker(self) -> None:
        die_with_parent()
        if os.getppid() != self._pid:
            os._exit(0)
        os.setpgid(0, 0)
        set_wakeup_fd(self._wakeup)
        # None is a handler that was not set by Python, and cannot be either.
        signal(SIGCHLD, SIG_DFL if self._handler is None else self._handler)
        pthread_sigmask(SIG_SETMASK, self._mask)
        self._host.close()
        for end in (self._awake, self._alarm):
            os.close(end)
        begin_anew()

    def _report_ends(self) -> None:
        for pid in sorted(self._workers):
            end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None:
                self._workers.discard(pid)
                status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
                self._host.tell("exit", pid, status)


class _Host:
    """The socket to the host. The hubconf may have closed it, or put something else in its place: then this process goes.

    Args:
        fd: its file descriptor.
    """

    def __init__(self, fd: int) -> None:
        self._socket = socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._text = b""
        self._fds: list[int] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def has_line(self) -> bool:
        return b"\n" in self._text

    def read(self) -> Any:
        """The next line."""
        while not self.has_line():
            self.receive()
        line, _, self._text = self._text.partition(b"\n")
        return loads(line.decode())

    def take_fds(self, boot: dict[str, Any]) -> list[int]:
        """The file descriptors that came with a worker's record; they come no later than its first byte."""
        count = 2 if boot["arena"] is None else 4
        fds, self._fds = self._fds[:count], self._fds[count:]
        return fds

    def receive(self) -> None:
        """Take in more of what the host says; end this process if it says no more."""
        space = CMSG_LEN(_MOST_FDS * array.array("i").itemsize)
        try:
            text, ancillary, _, _ = self._socket.recvmsg(65536, space)
        except OSError:
            self._lost()
        for _, _, data in ancillary:
            fds = array.array("i")
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            for fd in fds:
                os.set_inheritable(fd, False)
            self._fds.extend(fds)
        if not text:
            os._exit(0)
        self._text += text

    def tell(self, *message: Any) -> None:
        try:
            self._socket.sendall(dumps(message).encode() + b"\n")
        except BrokenPipeError:
            os._exit(0)
        except OSError:
            self._lost()

    def _lost(self) -> NoReturn:
        traceback.print_exc()
        os.write(
            2, b"isohub: the import of the hubconf has closed the connection to the program that wants it\n"
        )
        os._exit(1)
