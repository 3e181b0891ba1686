"""The workers of a Hub: one for each environment, started when it is first needed, all ended together."""

from __future__ import annotations

import atexit
import importlib.util
import mmap
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from isohub import masking, weights
from isohub.config import Settings
from isohub.environ import scrubbed_environ
from isohub.errands import Errands
from isohub.errors import ConfigError, HubClosed, HubconfError, IsohubError, RemoteError, WorkerDied
from isohub.restarts import Restarts, require_restart
from isohub.sandbox import sandbox_of

if TYPE_CHECKING:
    from isohub.envs.folderlocks import Use
    from isohub.envs.store import Environment
    from isohub.supervise.gpus import Pin
    from isohub.supervise.limits import Limits
    from isohub.supervise.worker import Worker

__all__ = ["WorkerPool"]


class WorkerPool:
    """Starts workers and keeps them, until it is closed or the interpreter exits.

    Args:
        settings: where logs go, how long a call may take, and what workers may take.
        env: added to the process environment of workers.
        pass_env: names of variables of this process that are passed on.
        gpus: which GPUs workers see; None for what the process environment says.
        threads: how many calls a worker does at once.
        grace: seconds that what was cancelled gets to stop before its worker is ended; None for as long as it takes.
        restart: "on-failure" starts workers that died again, when something that was loaded from them is used; None does not.
        max_restarts: how often, for each environment.
        shared_memory: bytes of memory shared with each worker, each way.

    Raises:
        ConfigError: one of these is wrong.
        GpuNotFound: one of `gpus` is not there.
        SandboxError: this machine cannot make the sandbox that the settings ask for.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        env: Mapping[str, str],
        pass_env: Iterable[str],
        gpus: Iterable[int | str] | str | None,
        threads: int,
        grace: float | None,
        restart: str | None,
        max_restarts: int,
        shared_memory: int,
    ) -> None:
        if not isinstance(threads, int) or threads < 1:
            raise ConfigError(f"threads is {threads!r}; a worker does at least 1 call at once")
        require_restart(restart, max_restarts)
        if grace is not None and not grace >= 0:
            raise ConfigError(f"grace is {grace!r}, not a number of seconds")
        if not isinstance(shared_memory, int) or shared_memory < 0:
            raise ConfigError(f"shared_memory is {shared_memory!r}, not a number of bytes")
        self._settings = settings
        self._limits = _limits(settings)
        self._env = dict(env)
        self._pass_env = tuple(pass_env)
        masking.keep_secrets(self._env)
        self._pin = None if gpus is None else _pin(gpus, {*self._env, *self._pass_env})
        self._sandbox = sandbox_of(settings)
        self._threads = threads
        self._grace = grace
        self._max_restarts = max_restarts if restart is not None else 0
        self._shared_memory = -(-shared_memory // mmap.PAGESIZE) * mmap.PAGESIZE
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        self._closed = False
        self._closing = threading.Event()
        _open_pools.add(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def require_open(self) -> None:
        """Raise HubClosed if no worker is started any more."""
        if self._closed:
            raise HubClosed("this Hub was closed", hint="make another one")

    def worker(self, environment: Environment) -> Worker:
        """The worker of an environment; a new one if there is none or it has died.

        Raises:
            HubClosed: the pool is closed.
            HubconfError: the hubconf does not import any more.
            WorkerDied: the worker ended while it started.
            BuildError: the environment was removed.
        """
        with self._lock:
            self.require_open()
            slot = self._slots.setdefault(environment.manifest.key, _Slot(Restarts(self._max_restarts)))
        with slot.lock:
            if not slot.started or (slot.restarts.exhausted and not slot.alive):
                # What was loaded before stays with the worker that has died.
                slot.restarts = Restarts(self._max_restarts)
                self._start(slot, environment)
                slot.started = True
            elif not slot.alive:
                self._start_again(slot, environment)
            worker = slot.worker
            if worker is None or self.closed:
                # close() ran while the worker was starting, and did not see it.
                slot.close()
                raise HubClosed("this Hub was closed", hint="make another one")
            return worker

    def loaded(
        self, environment: Environment, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any
    ) -> None:
        """The worker of an environment has answered the operation "load" with `value`, whose objects are to outlive it."""
        slot = self._slots.get(environment.manifest.key)
        if slot is not None and self._max_restarts:
            slot.restarts.loads.note(args, kwargs, value)

    def _revive(self, slot: _Slot, environment: Environment, thing: object, deadline: float | None) -> bool:
        """Have `thing`, whose worker has died, be another worker's, if it was loaded and there is one or may be.

        Returns:
            False if the deadline came before that was done or was found to be impossible; it goes on meanwhile.
        """
        if self._closed or not slot.restarts.loads.made(thing):
            return True
        return slot.restarting.run(partial(self._bring_back, slot, environment), deadline)

    def _bring_back(self, slot: _Slot, environment: Environment) -> None:
        """Have what was loaded be there again, in another worker if this one has died and may be restarted."""
        with slot.lock:
            if self._closed:
                return
            worker = slot.worker
            if worker is not None and worker.alive:
                slot.restarts.loads.repeat(worker.channel)
            elif not slot.restarts.exhausted:
                self._start_again(slot, environment)

    def _start_again(self, slot: _Slot, environment: Environment) -> None:
        """Start a worker in place of one that has died, and have it load what that had."""
        slot.restarts.wait(self._closing)
        self.require_open()
        self._start(slot, environment)
        worker = slot.worker
        if worker is not None:
            slot.restarts.loads.repeat(worker.channel)

    def _start(self, slot: _Slot, environment: Environment) -> None:
        from isohub.supervise.worker import Worker

        manifest = environment.manifest
        ref = manifest.ref or manifest.commit[:12]
        name = f"{manifest.repo}@{ref.removeprefix('refs/heads/').removeprefix('refs/tags/')}"
        passed = {key: os.environ[key] for key in self._pass_env if key in os.environ}
        masking.keep_secrets(passed)
        pinned = {} if self._pin is None else self._pin.variables()
        # Closed last: what was imported for it is there for its successor.
        former = slot.worker
        if slot.use is None:
            slot.use = environment.hold()

        def starting(worker: Worker) -> None:
            slot.worker = worker
            if self._closed:
                worker.ask_to_end()

        try:
            slot.worker = worker = Worker(
                environment.python,
                name=name,
                repo_dir=environment.repo_dir,
                prelude=environment.prelude,
                environ=scrubbed_environ(
                    {**environment.env, **self._limits.variables(), **passed, **self._env, **pinned}
                ),
                sandbox=self._sandbox,
                gpus=None if self._pin is None else self._pin.ids(),
                logs=self._settings.home / "logs",
                hub_dir=weights.chosen_dir(),
                threads=self._threads,
                grace=self._grace,
                shared_memory=self._shared_memory,
                arrays_as_tensors=importlib.util.find_spec("torch") is None,
                timeout=self._settings.timeout,
                limits=self._limits,
                idle_timeout=self._settings.idle_timeout,
                on_idle=lambda worker: self._end_idle(slot, worker),
                starting=starting,
            )
        except RemoteError as error:
            slot.close()
            hint = "it did when the environment was built: isohub cache verify finds and mends damage"
            if self._limits.memory is not None and isinstance(error, MemoryError):
                hint = "give the Hub a larger max_memory"
            raise HubconfError(
                f"the hubconf of {name} does not import: {error.type_name}: {error.message}",
                tail=error.traceback_text,
                log=error.log,
                hint=hint,
            ) from error
        except OSError as error:
            slot.close()
            if isinstance(error, IsohubError):
                raise  # a timeout is both
            raise WorkerDied(
                f"the worker of {name} could not be started: {error}",
                hint="make room for its log and its sockets in the folder for temporary files, or name another by TMPDIR",
            ) from error
        except BaseException:
            slot.close()
            raise
        finally:
            if former is not None:
                former.close()
        if self._max_restarts:
            worker.channel.revive = partial(self._revive, slot, environment)

    def _end_idle(self, slot: _Slot, worker: Worker) -> None:
        """The worker of this place serves no more, because it was not called for long."""
        with slot.lock:
            if slot.worker is worker:
                # Closed before it is taken out, so that whoever closes the pool meanwhile waits for it, too.
                worker.close()
                slot.close()

    def close(self) -> None:
        """End the workers and wait until they are gone."""
        slots = self.ask_to_end()
        _open_pools.discard(self)
        for slot in slots:
            slot.close()
            slot.restarting.wait()
            slot.close()  # what may have been started since
        if self._pin is not None:
            self._pin.release()

    def ask_to_end(self) -> list[_Slot]:
        """The first half of `close`: let the workers know, all at once."""
        with self._lock:
            self._closed = True
            self._closing.set()
            slots = [*self._slots.values()]
        for slot in slots:
            if slot.worker is not None:
                slot.worker.ask_to_end()
        return slots

    def disown(self) -> None:
        """In a forked child: there are no workers here, and none can be started."""
        self._closed = True
        self._lock = threading.Lock()
        self._slots = {}


def _limits(settings: Settings) -> Limits:
    from isohub.supervise.limits import Limits

    return Limits(settings.max_memory, settings.cpu_threads, settings.nice)


def _pin(gpus: Iterable[int | str] | str, named: set[str]) -> Pin:
    from isohub.supervise.gpus import MASKS, Pin

    for name in sorted(named & MASKS):
        raise ConfigError(f"gpus and {name} are both given", hint="leave out one of them; gpus sets it")
    return Pin(gpus)


@dataclass
class _Slot:
    """The place of one environment's worker; the lock is held while a worker starts in it."""

    restarts: Restarts
    started: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    restarting: Errands = field(default_factory=Errands)
    worker: Worker | None = None
    use: Use | None = None

    @property
    def alive(self) -> bool:
        return self.worker is not None and self.worker.alive

    def close(self) -> None:
        worker, use = self.worker, self.use
        self.worker = self.use = None
        if worker is not None:
            worker.close()
        if use is not None:
            use.close()


# Not weakly: objects of a worker may be in use when its Hub is not referred to any more.
_open_pools: set[WorkerPool] = set()


def _close_all() -> None:
    pools = [*_open_pools]
    for pool in pools:
        pool.ask_to_end()
    for pool in pools:
        pool.close()


def _disown_all() -> None:
    """In a forked child: the workers are the parent's, and so is everything that ends them."""
    for pool in _open_pools:
        pool.disown()
    _open_pools.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
