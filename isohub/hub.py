"""The Hub: a name becomes a pin, the pin a tree, the tree an environment, the environment a worker, and a call in it an object.

Everything that isohub itself can be told is told to a Hub. The arguments of `load` after the entry point's name belong to the
entry point, and the methods have the names, parameters and defaults of ``torch.hub``.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from isohub.config import load_settings
from isohub.entry_points import entry_point_not_found, require_entry_point
from isohub.envs.request import EnvironmentRequest
from isohub.envs.store import BrokenEnvironment, Environment, EnvironmentStore, Removed
from isohub.errors import ConfigError, RemoteError, StaleObject
from isohub.pool import WorkerPool
from isohub.progress import Progress
from isohub.sources import catalog, trust
from isohub.sources.tree import Tree

if TYPE_CHECKING:
    from isohub.cache import Bucket
    from isohub.envs.builder import Resolved
    from isohub.envs.lockfile import LockedRepository, Lockfile
    from isohub.pruning import PrunePlan
    from isohub.upkeep import Damage, Repair

__all__ = ["Hub"]

_MOST_BUILDS = 5


class Hub:
    """Loads entry points of repositories, each repository in an environment and a worker process of its own.

    Entry points of one repository at one commit share a worker. A Hub is a context manager; at the end of the block, at
    `close`, and when the interpreter exits, its workers end.

    Args:
        python: the interpreter of environments: a version ("3.10"), a range (">=3.8,<3.11") or a path; None for what fits.
        install_python: let uv install an interpreter that is needed and not on this machine.
        requirements: installed as well, as one writes them for pip.
        constraints: bounds on whatever is installed, in the same form.
        torch_backend: which build of torch to install, in uv's words: "auto", "cpu", "cu126" ...; None leaves it to the index.
        recipe: a recipe of your own for what is loaded; it goes before those in the configuration folder and the built-in ones.
        lock: a lock file, as ``isohub lock`` writes it. Each repository is then exactly what was locked, and those that are not
            in it are refused. Of what goes into environments only `python` can be said as well, to name an interpreter.
        env: added to the process environment of workers, which has nothing of the host's but an allow-list.
        pass_env: names of the host's variables that are passed on, such as "HF_TOKEN".
        gpus: which GPUs workers see: numbers as nvidia-smi shows them, UUIDs, "amd:0" or "intel:0"; "auto" for the one
            that is least used; [] for none; None for what the process environment says.
        timeout: seconds that a call may take; None for no limit.
        idle_timeout: seconds after which a worker ends that is not called and has no open stream; the next load starts another.
            None keeps workers as long as the Hub.
        max_memory: memory that a worker may take, in bytes or as in "8GB"; what asks for more gets a MemoryError.
        cpu_threads: threads for the arithmetic of one call, for OpenMP, BLAS and torch; None for what they choose.
        nice: how much workers give way to other programs, from 0 to 19.
        grace: seconds that a call which was cancelled, or had no answer in time, gets to stop, before its worker is ended; None
            for as long as it takes.
        restart: "on-failure" starts a worker that died again when one of the objects is used that `load` made in it: all of
            these are then made again by the same calls. None leaves them stale, and the next `load` starts another worker.
        max_restarts: how often that is done for each environment.
        threads: how many calls a worker does at once.
        shared_memory: bytes of memory shared with each worker for large tensors, each way, of which only what is needed is used.
            What does not fit goes through the sockets, which takes longer.
        sandbox: "bwrap" runs the repositories' code in a sandbox, and refuses to run it where bubblewrap cannot make one; "auto"
            goes without there; None leaves it to the settings, whose default is none. See docs/security.md.
        network: let what runs in the sandbox reach the network.
        readable: files and folders that it can read besides.
        writable: files and folders that it can write besides its scratch folders and the caches of weights.
        offline: ask nobody over the network.
        trust: "repo" remembers trust by repository, "content" asks again when its content has changed.
        home: the folder for all that isohub keeps; ``ISOHUB_HOME`` or the user's cache folder by default.

    Raises:
        ConfigError: one of these, or a setting from a file or the environment, is wrong.
        GpuNotFound: one of `gpus` is not there.
        SandboxError: this machine cannot make the sandbox.
    """

    def __init__(
        self,
        *,
        python: str | os.PathLike[str] | None = None,
        install_python: bool | None = None,
        requirements: Iterable[str] = (),
        constraints: Iterable[str] = (),
        torch_backend: str | None = None,
        recipe: str | os.PathLike[str] | None = None,
        lock: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        pass_env: Iterable[str] = (),
        gpus: Iterable[int | str] | str | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        max_memory: int | str | None = None,
        cpu_threads: int | None = None,
        nice: int | None = None,
        grace: float | None = 5.0,
        restart: str | None = None,
        max_restarts: int = 3,
        threads: int = 1,
        shared_memory: int = 1 << 30,
        sandbox: str | None = None,
        network: bool | None = None,
        readable: Iterable[str | os.PathLike[str]] = (),
        writable: Iterable[str | os.PathLike[str]] = (),
        offline: bool | None = None,
        trust: str | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, texts in (
            ("requirements", requirements),
            ("constraints", constraints),
            ("pass_env", pass_env),
            ("readable", readable),
            ("writable", writable),
        ):
            if isinstance(texts, str):
                raise ConfigError(f"{name} is one text, not several", hint=f"{name}=[{texts!r}]")
        self.settings = load_settings(
            python=None if python is None else os.fspath(python),
            install_python=install_python,
            timeout=timeout,
            sandbox=sandbox,
            network=network,
            readable=[*readable] or None,
            writable=[*writable] or None,
            idle_timeout=idle_timeout,
            max_memory=max_memory,
            cpu_threads=cpu_threads,
            nice=nice,
            offline=offline,
            trust=trust,
            home=None if home is None else os.fspath(home),
        )
        self._request = EnvironmentRequest(
            python=self.settings.python,
            requirements=tuple(requirements),
            constraints=tuple(constraints),
            torch_backend=torch_backend,
            recipe=None if recipe is None else Path(recipe).expanduser().absolute(),
        )
        self._lockfile: Lockfile | None = None
        if lock is not None:
            self._lockfile = _open_lock(Path(lock).expanduser(), self._request)
            # A default in the settings does not go against the lock.
            self._request = EnvironmentRequest(python=None if python is None else os.fspath(python))
        self._store = EnvironmentStore(self.settings)
        self._pool = WorkerPool(
            self.settings,
            env=env or {},
            pass_env=pass_env,
            gpus=gpus,
            threads=threads,
            grace=grace,
            restart=restart,
            max_restarts=max_restarts,
            shared_memory=shared_memory,
        )

    # ---- torch.hub's functions

    def load(
        self,
        repo_or_dir: str | os.PathLike[str],
        model: str,
        *args: Any,
        source: str = "github",
        trust_repo: bool | str | None = "check",
        force_reload: bool = False,
        verbose: bool = True,
        skip_validation: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call the entry point `model` of a repository, in the repository's own environment.

        Args:
            repo_or_dir: ``owner/name[:ref]``, a folder, ``URL[@ref]`` or a built-in hub, as `source` says.
            model: the entry point's name.
            *args: for the entry point.
            source: "github", "local", "git" or "builtin".
            trust_repo: True trusts the repository from now on, False asks, "check" asks if it is not trusted yet.
            force_reload: ask for the ref and fetch it anew; weights and workers of other commits stay.
            verbose: False shows no progress.
            skip_validation: take a full commit id without proof that it belongs to the repository.
            **kwargs: for the entry point.

        Returns:
            What the entry point answers: values as values, everything else as remote objects.

        Raises:
            EntryPointNotFound: the hubconf has no such entry point.
            RemoteError: the entry point raised; it is also the built-in base of what was raised.
            IsohubError: something on the way there failed; see ``isohub.errors``.
        """
        if not isinstance(model, str):
            raise ConfigError("Invalid input: model should be a string of function name")
        progress = Progress(None if verbose else False)
        for attempt in range(1, _MOST_BUILDS + 1):
            environment = self._environment(
                repo_or_dir, source, trust_repo, force_reload, skip_validation, progress
            )
            require_entry_point(environment, model)
            last = attempt == _MOST_BUILDS
            try:
                worker = self._pool.worker(environment)
            except Removed:  # by somebody who prunes, between here and there
                if last:
                    raise
                continue
            try:
                value = worker.channel.call("load", None, (model, *args), kwargs)
            except StaleObject:
                if last or not worker.retired:
                    raise  # and otherwise it was idle for too long, until just now
            except RemoteError as error:
                if error.type_name == "isohub_worker.hubconf.EntryPointMissing":
                    raise entry_point_not_found(environment, model) from None
                if asked := environment.asked_of_pip:
                    error.hint = (
                        f"it asked pip to install {', '.join(asked)}: isohub.Hub(requirements={[*asked]})"
                    )
                raise
            self._pool.loaded(environment, (model, *args), kwargs, value)
            return value
        raise AssertionError("unreachable")

    def list(
        self,
        github: str | os.PathLike[str],
        force_reload: bool = False,
        skip_validation: bool = False,
        trust_repo: bool | str | None = "check",
        verbose: bool = True,
        *,
        source: str = "github",
    ) -> builtins.list[str]:
        """The names of the entry points of a repository; the parameters are those of `load`."""
        progress = Progress(None if verbose else False)
        environment = self._environment(github, source, trust_repo, force_reload, skip_validation, progress)
        return [entry.name for entry in environment.entry_points]

    def help(
        self,
        github: str | os.PathLike[str],
        model: str,
        force_reload: bool = False,
        skip_validation: bool = False,
        trust_repo: bool | str | None = "check",
        *,
        source: str = "github",
    ) -> str | None:
        """The docstring of the entry point `model`; the parameters are those of `load`."""
        environment = self._environment(github, source, trust_repo, force_reload, skip_validation, Progress())
        require_entry_point(environment, model)
        return next((entry.doc for entry in environment.entry_points if entry.name == model), None)

    # ---- environments

    def tree(
        self,
        repo_or_dir: str | os.PathLike[str],
        *,
        source: str = "github",
        trust_repo: bool | str | None = "check",
        verbose: bool = True,
    ) -> Tree:
        """The content of a repository, fetched if need be; the parameters are those of `load`."""
        return self._tree(repo_or_dir, source, trust_repo, False, False, Progress(None if verbose else False))

    def environment(
        self,
        repo_or_dir: str | os.PathLike[str],
        *,
        source: str = "github",
        trust_repo: bool | str | None = "check",
        force_reload: bool = False,
        verbose: bool = True,
        skip_validation: bool = False,
    ) -> Environment:
        """The environment of a repository, built if need be, without a worker; the parameters are those of `load`."""
        progress = Progress(None if verbose else False)
        return self._environment(repo_or_dir, source, trust_repo, force_reload, skip_validation, progress)

    def explain(
        self,
        repo_or_dir: str | os.PathLike[str],
        *,
        source: str = "github",
        trust_repo: bool | str | None = "check",
        verbose: bool = True,
    ) -> Resolved:
        """What the environment of a repository holds, or would hold, and who asked for it. Builds nothing."""
        progress = Progress(None if verbose else False)
        if self._lockfile is not None:
            return self._rebuildable(self._locked(repo_or_dir, source), progress)
        tree = self._tree(repo_or_dir, source, trust_repo, False, False, progress)
        return self._store.explain(tree, self._request, progress)

    def environments(self) -> builtins.list[Environment | BrokenEnvironment]:
        """All environments that are kept, and what lies among them without being one."""
        return self._store.list()

    def remove_environment(self, environment: Environment | BrokenEnvironment) -> None:
        """Remove an environment that no worker uses.

        Raises:
            BuildError: one does, in this process or another.
        """
        self._store.remove(environment)

    # ---- the disk

    def plan_prune(
        self, *, older_than: timedelta | float | None = None, max_size: int | None = None
    ) -> PrunePlan:
        """Which environments `prune` would remove, and why each goes or stays. Without a limit all go that no worker uses.

        Args:
            older_than: seconds, or a timedelta; those that were last used longer ago go.
            max_size: bytes that all may take together, each file counted once; the least recently used go until they fit.
        """
        from isohub import upkeep

        return upkeep.plan_environments(self.settings, older_than, max_size)

    def plan_cache_prune(self, *, older_than: timedelta | float | None = None) -> PrunePlan:
        """The same for what is no environment: fetched trees and resolutions that no environment needs, and uv's cache."""
        from isohub import upkeep

        return upkeep.plan_cache(self.settings, older_than)

    def prune(self, plan: PrunePlan) -> PrunePlan:
        """Remove what the plan says; what came to be used since stays.

        Returns:
            The plan with what became of each.
        """
        from isohub import upkeep

        return upkeep.prune(plan, self.settings)

    def cache(self) -> tuple[Bucket, ...]:
        """The folders in which things are kept, with what they take."""
        from isohub.cache import buckets

        return buckets(self.settings)

    def verify(
        self, environments: Iterable[Environment | BrokenEnvironment] | None = None, *, verbose: bool = True
    ) -> Iterator[Damage]:
        """Compare files with what was recorded of them: of these environments, or of all and of fetched trees.

        Returns:
            What is damaged, as it is found.
        """
        from isohub import upkeep

        keys = None if environments is None else [item.path.name for item in environments]
        return upkeep.damages(self.settings, keys, Progress(None if verbose else False))

    def repair(self, damage: Damage, *, verbose: bool = True) -> Repair:
        """Build a damaged environment anew from its own lock, under its own key. What cannot be built so is removed.

        Raises:
            BuildError: a worker uses it, and nothing was changed; or it could not be built, and is gone.
            OfflineError: it takes the network, and offline means that nobody is asked; nothing was changed.
        """
        from isohub import upkeep

        return upkeep.repair(damage, self.settings, Progress(None if verbose else False))

    # ---- locks

    def lock(
        self,
        repo_or_dir: str | os.PathLike[str],
        *,
        source: str = "github",
        trust_repo: bool | str | None = "check",
        force_reload: bool = False,
        verbose: bool = True,
        skip_validation: bool = False,
    ) -> LockedRepository:
        """What it takes to build the environment of a repository again elsewhere; it is built here first, if need be.

        The parameters are those of `load`. ``isohub.envs.lockfile.write_lockfile`` puts the answers into a file.
        """
        if self._lockfile is not None:
            raise ConfigError(
                "this Hub has a lock, so it has nothing new to lock", hint="use a Hub without lock="
            )
        progress = Progress(None if verbose else False)
        tree = self._tree(repo_or_dir, source, trust_repo, force_reload, skip_validation, progress)
        return self._store.lock(tree, self._request, os.fspath(repo_or_dir), progress)

    @property
    def locked(self) -> tuple[LockedRepository, ...]:
        """What the lock file holds; nothing without one."""
        return () if self._lockfile is None else self._lockfile.repositories

    def rebuild(
        self,
        locked: LockedRepository,
        *,
        trust_repo: bool | str | None = "check",
        force_reload: bool = False,
        verbose: bool = True,
    ) -> Environment:
        """The environment that was locked, built if need be; the parameters are those of `load`."""
        return self._rebuilt(locked, trust_repo, force_reload, Progress(None if verbose else False))

    # ---- the end

    def close(self) -> None:
        """End the workers and wait until they are gone. Their objects are stale from then on."""
        self._pool.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._pool.closed

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- the way there

    def _environment(
        self,
        repo: str | os.PathLike[str],
        source: str,
        trust_repo: bool | str | None,
        force_reload: bool,
        skip_validation: bool,
        progress: Progress,
    ) -> Environment:
        if self._lockfile is not None:
            return self._rebuilt(self._locked(repo, source), trust_repo, force_reload, progress)
        tree = self._tree(repo, source, trust_repo, force_reload, skip_validation, progress)
        return self._store.provide(tree, self._request, progress)

    def _locked(self, repo: str | os.PathLike[str], source: str) -> LockedRepository:
        from isohub.envs.lockfile_names import find_locked

        self._pool.require_open()
        assert self._lockfile is not None
        return find_locked(self._lockfile, repo, source=source, settings=self.settings)

    def _rebuilt(
        self, locked: LockedRepository, trust_repo: bool | str | None, force_reload: bool, progress: Progress
    ) -> Environment:
        self._pool.require_open()
        trust.require(locked.pin, trust_repo, self.settings)
        python = self._request.python
        found = None if force_reload else self._store.find_locked(locked, python)
        if found is not None:
            return found
        resolved = self._rebuildable(locked, progress)
        tree = catalog.fetch(locked.pin, settings=self.settings, force_reload=force_reload, progress=progress)
        return self._store.provide_locked(tree, locked, resolved, python, progress)

    def _rebuildable(self, locked: LockedRepository, progress: Progress) -> Resolved:
        from isohub.envs.rebuilding import resolved_from

        return resolved_from(locked, self._request.python, self.settings, progress)

    def _tree(
        self,
        repo: str | os.PathLike[str],
        source: str,
        trust_repo: bool | str | None,
        force_reload: bool,
        skip_validation: bool,
        progress: Progress,
    ) -> Tree:
        self._pool.require_open()
        if self._lockfile is not None:
            pin = self._locked(repo, source).pin
        else:
            pin = catalog.resolve(
                os.fspath(repo),
                source=source,
                settings=self.settings,
                force_reload=force_reload,
                skip_validation=skip_validation,
                progress=progress,
            )
        trust.require(pin, trust_repo, self.settings)
        return catalog.fetch(pin, settings=self.settings, force_reload=force_reload, progress=progress)


def _open_lock(path: Path, request: EnvironmentRequest) -> Lockfile:
    """Read a lock file, which leaves nothing to ask for."""
    from isohub.envs.lockfile import read_lockfile

    for name in ("requirements", "constraints", "torch_backend", "recipe"):
        if getattr(request, name):
            raise ConfigError(
                f"lock and {name} are both given, and a lock says already what is installed",
                hint=f"leave out one of them; {name} counts when the lock is made: isohub lock",
            )
    return read_lockfile(path)
