"""A worker as the Hub sees it: a process, the channel to it, and a thread that starts the one and watches over both."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from isohub.errors import HubClosed, IsohubError, StaleObject, WorkerDied
from isohub.sandbox import Sandbox
from isohub.shortening import shorten
from isohub.sizes import size_text
from isohub.supervise import rounds
from isohub.supervise.ends import how_it_ended, what_it_may_mean
from isohub.supervise.idleness import Idleness
from isohub.supervise.launch import PACKAGE, anonymous_file
from isohub.supervise.lifecycle import Event, Lifecycle, State
from isohub.supervise.limits import Limits
from isohub.supervise.logs import last_lines, new_log
from isohub.supervise.memory import excess
from isohub.supervise.process import Process
from isohub.supervise.register import Entry
from isohub.supervise.run_folder import require_private
from isohub.supervise.zygote import Origin
from isohub.supervise.zygotes import Lease

__all__ = ["Worker"]

# What takes longer to import than this has tensors, as a rule.
_LONG_IMPORT_SECONDS = 0.2
# For an interpreter to come up and open two sockets, on a machine that is busy with something else.
_HELLO_SECONDS = 120
# A worker that is asked to go gets this long for what its repository does at exit; then it is killed.
_CLOSE_SECONDS = 3.0
# After so many rounds without a sign of life, of which a worker gives one in each, it is suspect.
_SILENT_ROUNDS = 5


class Worker:
    """Starts a worker process and returns once it answers.

    Args:
        python: the interpreter of its environment.
        name: what it is called in messages, such as ``owner/repo@main``.
        repo_dir: the folder with the hubconf.
        prelude: a Python file that runs before the hubconf.
        environ: all of its process environment.
        logs: the folder for its log.
        hub_dir: where torch keeps weights, if that is not torch's own choice.
        threads: how many calls it does at once.
        arrays_as_tensors: see ``isohub_worker.dispatch``.
        timeout: seconds that a call may take; None for no limit.
        grace: seconds that what was cancelled gets to stop before the process is ended; None for as long as it takes.
        shared_memory: bytes of shared memory for large tensors, each way; 0 sends them through the sockets.
        sandbox: what it runs in; None for nothing of the kind.
        gpus: the GPUs that `environ` pins it to, for those who ask; None if it does not.
        limits: what it may take; `environ` has their variables.
        idle_timeout: seconds after which it refuses to be called if it was not; None to serve for ever.
        on_idle: called with this worker, in a thread of its own, once it refuses; closes it.
        starting: called with this worker before it is waited for, so that somebody else can close it meanwhile.

    Raises:
        WorkerDied: it ended while it started.
        RemoteError: its hubconf does not import.
        ProtocolError: it is not one of ours.
    """

    def __init__(
        self,
        python: Path,
        *,
        name: str,
        repo_dir: Path,
        environ: Mapping[str, str],
        logs: Path,
        prelude: Path | None = None,
        hub_dir: Path | None = None,
        threads: int = 1,
        arrays_as_tensors: bool = False,
        timeout: float | None = None,
        grace: float | None = None,
        shared_memory: int = 0,
        sandbox: Sandbox | None = None,
        gpus: tuple[str, ...] | None = None,
        limits: Limits | None = None,
        idle_timeout: float | None = None,
        on_idle: Callable[[Worker], None] = lambda worker: worker.close(),
        starting: Callable[[Worker], None] = lambda worker: None,
    ) -> None:
        self.name = name
        self.returncode: int | None = None
        self._pid = os.getpid()
        # Only the owner can enter, and the path is short, as the path of a socket must be.
        self._folder = Path(tempfile.mkdtemp(prefix="isohub-", dir=_short_temporary_folder()))
        require_private(self._folder)
        self._lifecycle = Lifecycle()
        self._process = Process()
        self._launched = threading.Event()
        self._introduced_as: int | None = None
        self._noting = threading.Lock()
        self._silent_rounds = 0
        self._oom_killed: bool | None = None
        self._exceeded = False
        self._limits = limits or Limits()
        self._idle_timeout = idle_timeout
        self._retired = False
        self._idleness = None if idle_timeout is None else Idleness(idle_timeout)
        self._on_idle = on_idle
        log, self.log = new_log(logs, name)
        self._gpus = gpus
        self._entry = Entry()
        before: list[str] = []
        if sandbox is not None:
            _note(log, str(sandbox))
            shown = (PACKAGE, repo_dir, prelude, self._folder)
            before = sandbox.words(python, environ, readable=shown, hub_dir=hub_dir)
        origin = Origin.here(python, repo_dir, prelude, hub_dir, environ, before)
        self._lease = Lease(origin, self._process, log, self.log)
        try:
            boot, arenas = self._prepare(threads, arrays_as_tensors, timeout, grace, shared_memory, log)
            self._watcher = threading.Thread(
                target=self._watch, args=(boot, log, arenas), name=f"isohub-watch {name}", daemon=True
            )
            self._watcher.start()
        except BaseException:
            self._process.ask_to_end()
            self._lease.end()
            os.close(log)
            raise
        try:
            starting(self)
            if arrays_as_tensors and not self._launched.wait(_LONG_IMPORT_SECONDS):
                # Its tensors will be arrays here, and now is the time to import what makes them.
                import numpy  # noqa: F401
            self._launched.wait()
            self.channel.wait_for_hello(_HELLO_SECONDS)
            # Both ends are connected, and nothing is left if this process is killed.
            shutil.rmtree(self._folder, ignore_errors=True)
            self._on(Event.READY)
            self.versions: dict[str, str | None] = self.channel.open()
        except BaseException:
            self.close()
            raise

    def _prepare(
        self,
        threads: int,
        arrays_as_tensors: bool,
        timeout: float | None,
        grace: float | None,
        shared_memory: int,
        log: int,
    ) -> tuple[dict[str, Any], list[int]]:
        """The channel; the boot record and the arenas, for the worker's side of it."""
        # It takes time to import, and the hubconf is being imported meanwhile.
        from isohub.rpc.channel import Channel

        key = secrets.token_hex(16)
        make_channel = partial(
            Channel,
            name=self.name,
            key=key,
            log=self.log,
            tail=lambda: last_lines(self.log),
            timeout=timeout,
            threads=threads,
            worker=self._process,
            grace=grace,
            tally=self._entry.tally,
        )
        arenas: list[int] = []
        try:
            if shared_memory:
                arenas.extend(anonymous_file(shared_memory) for _ in range(2))
            self.channel = make_channel(arena=(arenas[0], arenas[1], shared_memory) if arenas else None)
        except (OSError, MemoryError) as error:
            # A limit of this process, or a full disk where there are no files in memory.
            _note(log, f"large tensors go through the sockets: no shared memory: {error}")
            for fd in arenas:
                os.close(fd)
            arenas = []
            self.channel = make_channel(arena=None)
        boot = {
            "key": key,
            "threads": threads,
            "arena": shared_memory if arenas else None,
            "arrays_as_tensors": arrays_as_tensors,
            "limits": self._limits.record(),
        }
        return boot, arenas

    @property
    def pid(self) -> int:
        pid = self._introduced_as or self._process.pid
        assert pid is not None
        return pid

    @property
    def alive(self) -> bool:
        """Whether calls make sense."""
        return self._lifecycle.alive and os.getpid() == self._pid

    @property
    def retired(self) -> bool:
        """Whether it refuses to be called since it was not called for long."""
        return self._retired

    def ask_to_end(self) -> None:
        """The first half of `close`, which does not wait."""
        self._on(Event.CLOSE)
        self._process.ask_to_end()

    def close(self) -> None:
        """End the worker and wait until it is gone; calls that wait for it end with HubClosed."""
        if os.getpid() != self._pid:
            return
        self.ask_to_end()
        self._watcher.join(_CLOSE_SECONDS)
        if self._watcher.is_alive():
            self._process.kill()
        self._watcher.join()
        self._lease.end()

    def _on(self, event: Event) -> None:
        with self._noting:
            self._entry.note(self._lifecycle.on(event))

    # ---- once a round

    def _look(self, now: float) -> None:
        shorten(self.log)
        if self._lifecycle.state not in (State.SERVING, State.SUSPECT):
            return
        if self._process.gave_sign_of_life():
            self._silent_rounds = 0
            self._on(Event.BEAT)
        else:
            # Rounds and not seconds: while this process is stopped nobody listens either.
            self._silent_rounds += 1
            if self._silent_rounds >= _SILENT_ROUNDS:
                self._on(Event.SILENT)
        if self._limits.memory is not None:
            self._look_at_memory(self._limits.memory)
        if self._idleness is not None:
            self._look_at_use(self._idleness, now)

    def _look_at_memory(self, limit: int) -> None:
        held = excess(self.pid, limit)
        if held is not None:
            self._exceeded = True
            self._process.kill(
                f"held {size_text(held)} together with what it has started, exceeded its limit of {size_text(limit)} by that, "
                "and was ended"
            )

    def _look_at_use(self, idleness: Idleness, now: float) -> None:
        busy = not self.channel.is_idle()
        if idleness.look(now, asked=self.channel.asked, busy=busy) and self.channel.refusals.retire(
            self._idle_error
        ):
            self._retired = True
            self._on(Event.CLOSE)
            threading.Thread(
                target=self._on_idle, args=(self,), name=f"isohub-idle {self.name}", daemon=True
            ).start()

    def _idle_error(self) -> StaleObject:
        return StaleObject(
            f"the worker of {self.name} was not called for {self._idle_timeout:g} s and has ended, and this object with it",
            log=self.log,
            hint="load it again; idle_timeout says how long a worker stays",
        )

    # ---- the thread

    def _kill(self) -> None:
        self._process.kill()

    def _watch(self, boot: dict[str, Any], log: int, arenas: list[int]) -> None:
        rounds.start_looking(self._look)
        try:
            try:
                importer = self._lease.importer()
                if importer is not None:
                    # Who asks meanwhile which workers there are is told of this one, too.
                    self._entry.start(self.name, importer, self._gpus, self.log)
                self._lease.launch(boot, arenas)
                self._meet()
            finally:
                for fd in (log, *arenas):
                    os.close(fd)
                self._launched.set()
            self.returncode = self._process.wait()
            self._oom_killed = rounds.oom_killed_lately()
        finally:
            rounds.stop_looking(self._look)
        shorten(self.log)
        self._entry.remove()
        self._lifecycle.on(Event.EXIT)
        self.channel.die(self._obituary)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _meet(self) -> None:
        """Let the worker connect, and nobody else."""
        try:
            pid = self._introduced_as = self._process.introduced(_HELLO_SECONDS)
            if pid is not None:
                requests, replies = self.channel.admit(self._folder, pid)
                self._entry.start(self.name, pid, self._gpus, self.log)
                self._process.tell({"requests": requests, "replies": replies, "beat": rounds.SECONDS})
        except OSError as error:
            self._process.error = error
            self._process.kill()

    def _obituary(self) -> IsohubError:
        """The error for whoever waited for this worker when it ended."""
        if self._lifecycle.state is State.CLOSED:
            return HubClosed(f"the Hub of {self.name} was closed")
        if self._process.error is not None:
            return WorkerDied(f"the worker of {self.name} could not be started: {self._process.error}")
        because = self._process.because
        how = because or how_it_ended(self.returncode, oom_killed=bool(self._oom_killed))
        meaning = what_it_may_mean(
            self.returncode, oom_killed=self._oom_killed, max_memory=self._limits.memory
        )
        if self._exceeded:
            meaning = "give the Hub a larger max_memory, or have the worker do less at once"
        hint = "" if because and not self._exceeded else f"{meaning}; "
        return WorkerDied(
            f"the worker of {self.name} (pid {self.pid}) {how}",
            returncode=self.returncode,
            tail=last_lines(self.log),
            log=self.log,
            hint=f"{hint}the next load starts a new worker",
        )


def _note(log: int, text: str) -> None:
    with suppress(OSError):  # the disk is full
        os.write(log, f"isohub: {text}\n".encode())


def _short_temporary_folder() -> str | None:
    """Where sockets can lie: a socket's path has 107 bytes at most, so a deep TMPDIR will not do."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) < 80 else "/tmp"
