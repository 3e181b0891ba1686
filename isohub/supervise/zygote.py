"""A zygote: a process that imports a hubconf once and is forked for each worker of it; see ``isohub_worker.zygote``."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from isohub.sandbox import end_inside
from isohub.strays import MARK, kill_strays, new_mark
from isohub.supervise import rounds
from isohub.supervise.ends import how_it_ended
from isohub.supervise.launch import forget_group, kill_group, remember_group, spawn
from isohub.supervise.process import Process

__all__ = ["Origin", "Zygote"]

# More than any message has; a process that says more at a time is none of ours.
_LONGEST_LINE = 64 * 1024
# One that says nothing for so many rounds, although it is asked, is ended. Its workers go with it, so that is no short time.
_SILENT_ROUNDS = 30


@dataclass(frozen=True)
class Origin:
    """What a process is started with, up to the end of its import: workers that agree in this may be forks of one process."""

    python: Path
    repo_dir: Path
    prelude: Path | None
    hub_dir: Path | None
    environ: frozenset[tuple[str, str]] = field(repr=False)
    cwd: str | None
    before: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def here(
        cls,
        python: Path,
        repo_dir: Path,
        prelude: Path | None,
        hub_dir: Path | None,
        environ: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> Origin:
        """That of a worker that starts in the host's working directory."""
        try:
            cwd = str(Path.cwd())
        except FileNotFoundError:
            cwd = None  # it was removed, and whoever starts here is in it all the same
        return cls(python, repo_dir, prelude, hub_dir, frozenset(environ.items()), cwd, tuple(before))


class _State(Enum):
    IMPORTING = "importing"
    READY = "ready"
    ALONE = "alone"
    ENDED = "ended"


_SAYS = {_State.IMPORTING: ("ready", "alone"), _State.READY: ("forked", "failed", "exit", "awake")}


class Zygote:
    """One such process, and the thread that starts it, listens to it and sees it end.

    Args:
        origin: what it imports, and how.
        first: the worker that it becomes itself, if it must not be forked.
        log: file descriptor of the log of that one.
        log_path: where that is.
        alone: why it must not be forked, if that is known before.
        forks_no_more: called with this one when it does not, whatever has come of it.

    Attributes:
        state: how far it is.
        was_ready: whether it has been forked, or could have been.
        alone: why it must not be forked, if that is so.
        leases: the workers that have a share in it; theirs who keep them.
    """

    def __init__(
        self,
        origin: Origin,
        first: Process,
        log: int,
        log_path: Path,
        alone: str | None,
        forks_no_more: Callable[[Zygote], None],
    ) -> None:
        self.origin = origin
        self.alone = alone
        self.state = _State.IMPORTING
        self.was_ready = False
        self.leases = {first}
        self._first = first
        self._forks_no_more = forks_no_more
        self._log_path = log_path
        self._lock = threading.Lock()
        self._waiting: list[tuple[Process, Mapping[str, Any], int, Sequence[int]]] = []
        self._asked: deque[Process] = deque()
        self._workers: dict[int, Process] = {}
        self._imported_at = ""
        self._mark = new_mark()
        self._popen: subprocess.Popen[bytes] | None = None
        self._launched = threading.Event()
        self._closing = False
        self._silent_rounds = 0
        self._why: str | None = None
        self._socket, theirs = socket.socketpair()
        order = {
            "repo_dir": str(origin.repo_dir),
            "prelude": None if origin.prelude is None else str(origin.prelude),
            "hub_dir": None if origin.hub_dir is None else str(origin.hub_dir),
            "alone": alone,
        }
        self._tell(order)
        # A thread that stays for as long as the process, or Linux would end that.
        self._thread = threading.Thread(
            target=self._live, args=(theirs, os.dup(log)), name="isohub-zygote", daemon=True
        )
        _all_zygotes.add(self)
        self._thread.start()

    # ---- for workers

    def fork(self, process: Process, boot: Mapping[str, Any], log: int, arenas: Sequence[int]) -> bool:
        """Make it a fork of this zygote, as soon as that can be; False if it cannot."""
        with self._lock:
            if self.state is _State.READY or (process is self._first and self.state is not _State.ENDED):
                self._ask(process, boot, log, arenas)
            elif self.state is _State.IMPORTING:
                self._waiting.append((process, boot, log, arenas))
            elif process is not self._first:
                return False
        try:
            return process.settled()
        finally:
            with self._lock:
                # It may have given up.
                self._waiting = [item for item in self._waiting if item[0] is not process]

    def _ask(self, process: Process, boot: Mapping[str, Any], log: int, arenas: Sequence[int]) -> None:
        if process is not self._first and self._popen is not None:
            text = (
                f"isohub: this worker is a fork of process {self._popen.pid}, which imported the hubconf at "
                f"{self._imported_at}; what that printed is in {self._log_path}\n"
            )
            with suppress(OSError):
                os.write(log, text.encode())
        try:
            self._tell(["fork", {**boot, "environ": {MARK: process.mark}}], [process.their_end, log, *arenas])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, of which the thread hears as well
        except OSError as error:
            process.failed(error)
            return
        self._asked.append(process)

    def close(self) -> None:
        """End the process, and wait until it is gone. It has no workers any more."""
        with self._lock:
            self._closing = True
            if self._popen is not None and self._popen.returncode is None:
                kill_group(self._popen.pid)
        self._thread.join()

    # ---- the thread

    def _live(self, theirs: socket.socket, log: int) -> None:
        try:
            popen = spawn(
                self.origin.python,
                theirs.fileno(),
                environ=dict(self.origin.environ),
                mark=self._mark,
                log=log,
                cwd=self.origin.cwd,
                before=self.origin.before,
            )
        except OSError as error:
            self._launched.set()
            self._first.failed(error)
            self._fork_no_more(_State.ENDED)
            self._socket.close()
            return
        finally:
            theirs.close()
            os.close(log)
        with self._lock:
            self._popen = popen
            self._launched.set()
            if self._closing:
                kill_group(popen.pid)
        rounds.start_looking(self._look)
        why = self._listen(popen.pid) or self._why
        rounds.stop_looking(self._look)
        if why is not None:
            kill_group(popen.pid)
        status = _end_of(popen.pid)
        self._bury(
            popen.pid, end_inside(status) if self.origin.before and status is not None else status, why
        )
        with self._lock:
            popen.wait()
            self._socket.close()

    def pid(self) -> int | None:
        """Its process, once it is launched; None if that fails."""
        self._launched.wait()
        return None if self._popen is None else self._popen.pid

    def _listen(self, pid: int) -> str | None:
        """Do what it says until it says no more; what is wrong with it, if it talks nonsense."""
        with self._socket.makefile("rb") as lines:
            try:
                # What is alone says no more, and what its import has forked may hold the socket for as long as it likes.
                while self.state is not _State.ALONE and (line := lines.readline(_LONGEST_LINE)):
                    self._hear(json.loads(line), pid)
            except ConnectionResetError:
                return None  # it ended with something unread
            except OSError as error:
                return f"could not be looked after ({error}) and was ended"
            except (ValueError, TypeError, LookupError, RecursionError):
                return "broke the protocol and was ended"
        return None

    def _look(self, now: float) -> None:
        """Once a round: what has ended or stands still must not be waited for for ever."""
        with self._lock:
            if self._popen is None or self.state not in _SAYS:
                return
            if _has_ended(self._popen.pid):
                self._listen_no_more()
            elif self._owes():
                self._ask_whether_awake(self._popen.pid)

    def _owes(self) -> bool:
        """Whether it should say something soon: that it has forked, or that a worker has ended."""
        waited_for = self._asked or any(worker.ending for worker in self._workers.values())
        return self.state is _State.READY and bool(waited_for)

    def _ask_whether_awake(self, pid: int) -> None:
        if self._silent_rounds == 0:
            with suppress(OSError):  # it has not read for long
                self._tell(["awake?"])
        self._silent_rounds += 1
        if self._silent_rounds > _SILENT_ROUNDS:
            self._why = (
                f"was silent for {_SILENT_ROUNDS * rounds.SECONDS:g} s when it was needed, and was ended"
            )
            kill_group(pid)
            self._listen_no_more()

    def _listen_no_more(self) -> None:
        """End `_listen`, after what has arrived: whoever has got hold of the other end may keep it for as long as he likes."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _hear(self, message: list[Any], pid: int) -> None:
        self._silent_rounds = 0
        what, *arguments = message
        if what not in _SAYS.get(self.state, ()) or (what == "ready" and self.alone is not None):
            raise ValueError(what)
        if what == "ready":
            with self._lock:
                self.state, self.was_ready = _State.READY, True
                self._imported_at = time.strftime("%H:%M:%S")
                for item in self._waiting:
                    self._ask(*item)
                self._waiting.clear()
        elif what == "forked":
            self._forked(int(arguments[0]))
        elif what == "awake":
            return
        elif what == "failed":
            self._next_asked().failed(OSError(str(arguments[0])))
        elif what == "exit":
            worker, status = int(arguments[0]), int(arguments[1])
            with self._lock:
                process = self._workers.pop(worker)
            process.ended(status)
            with self._lock, suppress(OSError):
                self._tell(["reap", worker])
        else:
            if arguments[0] is not None:
                self.alone = str(arguments[0])
            self._first.born(pid)
            self._fork_no_more(_State.ALONE)

    def _next_asked(self) -> Process:
        with self._lock:
            return self._asked.popleft()

    def _forked(self, pid: int) -> None:
        if pid <= 1:
            raise ValueError(pid)
        process = self._next_asked()
        with self._lock:
            self._workers[pid] = process
        remember_group(self.origin.python, pid)
        process.born(pid)

    def _fork_no_more(self, state: _State) -> None:
        """It forks no more."""
        self._forks_no_more(self)
        with self._lock:
            self.state = state
            waiting, self._waiting = self._waiting, []
        for process, *_ in waiting:
            process.refused()

    def _bury(self, pid: int, status: int | None, why: str | None) -> None:
        """It has ended, and its number is not free yet: end what is left of it, and let everybody know."""
        self._fork_no_more(_State.ENDED)
        kill_group(pid)
        kill_strays(self._mark)
        forget_group(pid)
        if self._first.pid is None:
            # Until it is a fork, the first worker is this process. It is not refused, or what always ends is always replaced.
            self._first.born(pid)
        if self._first.pid == pid:
            self._first.ended(status, why)
        how = why or how_it_ended(status)
        for process in self._workers.values():
            process.ended(-signal.SIGKILL, f"was a fork of process {pid} and ended with that, which {how}")
        for process in self._asked:
            process.refused()

    def _tell(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send it in one go, or not at all: whoever has stopped the process would stop this one too."""
        data = json.dumps(message).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data], rights, socket.MSG_DONTWAIT)

    def after_fork(self) -> None:
        """In a forked child: let go of the socket, or the host's death would not close it."""
        self._socket.close()
        if self._popen is not None:
            self._popen.returncode = 0  # not this process's child, so not to be waited for


def _end_of(pid: int) -> int | None:
    """The exit status of a child, which is waited for and not reaped; None if nobody knows."""
    try:
        # Until it is reaped nobody else can be given its number, which is the group's.
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return None  # the host reaps every child itself
    assert end is not None
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


_all_zygotes: weakref.WeakSet[Zygote] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for zygote in list(_all_zygotes):
        zygote.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
