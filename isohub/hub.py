"""The Hub: a name becomes a pin, the pin a tree, the tree an environment, the environment a worker, and a call in it an object.

Everything that isohub itself can be told is told to a Hub. The arguments of `load` after the entry point's name belong to the
entry point, and the methods have the names, parameters and defaults of ``torch.hub``.
"""

from __future__ import annotations

import atexit
import builtins
import difflib
import importlib.util
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from isohub import weights
from isohub.config import load_settings
from isohub.environ import scrubbed_environ
from isohub.envs.request import EnvironmentRequest
from isohub.envs.store import BrokenEnvironment, Environment, EnvironmentStore
from isohub.errors import ConfigError, EntryPointNotFound, HubClosed, HubconfError, RemoteError
from isohub.progress import Progress
from isohub.sources import catalog, trust
from isohub.sources.tree import Tree

if TYPE_CHECKING:
    from isohub.envs.builder import Resolved
    from isohub.envs.folderlocks import Use
    from isohub.supervise.worker import Worker

__all__ = ["Hub", "default_hub", "help", "list", "load"]


class Hub:
    """Loads entry points of repositories, each repository in an environment and a worker process of its own.

    Entry points of one repository at one commit share a worker. A Hub is a context manager; at the end of the block, at
    `close`, and when the interpreter exits, its workers end.

    Args:
        python: the interpreter of environments: a version ("3.10"), a range (">=3.8,<3.11") or a path; None for what fits.
        requirements: installed as well, as one writes them for pip.
        constraints: bounds on whatever is installed, in the same form.
        torch_backend: which build of torch to install, in uv's words: "auto", "cpu", "cu126" ...; None leaves it to the index.
        recipe: a recipe of your own for what is loaded; it goes before those in the configuration folder and the built-in ones.
        env: added to the process environment of workers, which has nothing of the host's but an allow-list.
        pass_env: names of the host's variables that are passed on, such as "HF_TOKEN".
        timeout: seconds that a call may take; None for no limit.
        threads: how many calls a worker does at once.
        offline: ask nobody over the network.
        trust: "repo" remembers trust by repository, "content" asks again when its content has changed.
        home: the folder for all that isohub keeps; ``ISOHUB_HOME`` or the user's cache folder by default.

    Raises:
        ConfigError: one of these, or a setting from a file or the environment, is wrong.
    """

    def __init__(
        self,
        *,
        python: str | os.PathLike[str] | None = None,
        requirements: Iterable[str] = (),
        constraints: Iterable[str] = (),
        torch_backend: str | None = None,
        recipe: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        pass_env: Iterable[str] = (),
        timeout: float | None = None,
        threads: int = 1,
        offline: bool | None = None,
        trust: str | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, texts in (
            ("requirements", requirements),
            ("constraints", constraints),
            ("pass_env", pass_env),
        ):
            if isinstance(texts, str):
                raise ConfigError(f"{name} is one text, not several", hint=f"{name}=[{texts!r}]")
        if not isinstance(threads, int) or threads < 1:
            raise ConfigError(f"threads is {threads!r}; a worker does at least 1 call at once")
        self.settings = load_settings(
            python=None if python is None else os.fspath(python),
            timeout=timeout,
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
        self._env = dict(env or {})
        self._pass_env = tuple(pass_env)
        self._threads = threads
        self._store = EnvironmentStore(self.settings)
        self._lock = threading.Lock()
        self._workers: dict[str, _Slot] = {}
        self._closed = False
        _open_hubs.add(self)

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
        environment = self._environment(
            repo_or_dir,
            source,
            trust_repo,
            force_reload,
            skip_validation,
            Progress(None if verbose else False),
        )
        _require_entry_point(environment, model)
        worker = self._worker(environment)
        try:
            return worker.channel.call("load", None, (model, *args), kwargs)
        except RemoteError as error:
            if error.type_name == "isohub_worker.hubconf.EntryPointMissing":
                raise _entry_point_not_found(environment, model) from None
            raise

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
        _require_entry_point(environment, model)
        return next((entry.doc for entry in environment.entry_points if entry.name == model), None)

    # ---- environments

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

    # ---- the end

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """End the workers and wait until they are gone. Their objects are stale from then on."""
        slots = self.ask_to_end()
        _open_hubs.discard(self)
        for slot in slots:
            slot.close()

    def ask_to_end(self) -> builtins.list[_Slot]:
        """The first half of `close`: let the workers know, all at once."""
        with self._lock:
            self._closed = True
            slots = [*self._workers.values()]
        for slot in slots:
            if slot.worker is not None:
                slot.worker.ask_to_end()
        return slots

    def disown(self) -> None:
        """In a forked child: this Hub has no workers here, and cannot start any."""
        self._closed = True
        self._lock = threading.Lock()
        self._workers = {}

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
        tree = self._tree(repo, source, trust_repo, force_reload, skip_validation, progress)
        return self._store.provide(tree, self._request, progress)

    def _tree(
        self,
        repo: str | os.PathLike[str],
        source: str,
        trust_repo: bool | str | None,
        force_reload: bool,
        skip_validation: bool,
        progress: Progress,
    ) -> Tree:
        if self._closed:
            raise HubClosed("this Hub was closed", hint="make another one")
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

    def _worker(self, environment: Environment) -> Worker:
        with self._lock:
            if self._closed:
                raise HubClosed("this Hub was closed", hint="make another one")
            slot = self._workers.setdefault(environment.manifest.key, _Slot())
        with slot.lock:
            if slot.worker is None or not slot.worker.alive:
                slot.close()
                self._start(slot, environment)
            worker = slot.worker
            if self.closed:
                # close() ran while the worker was starting, and did not see it.
                slot.close()
            if worker is None or self.closed:
                raise HubClosed("this Hub was closed", hint="make another one")
            return worker

    def _start(self, slot: _Slot, environment: Environment) -> None:
        from isohub.supervise.worker import Worker

        manifest = environment.manifest
        ref = manifest.ref or manifest.commit[:12]
        name = f"{manifest.repo}@{ref.removeprefix('refs/heads/').removeprefix('refs/tags/')}"
        passed = {key: os.environ[key] for key in self._pass_env if key in os.environ}
        slot.use = environment.hold()
        try:
            slot.worker = Worker(
                environment.python,
                name=name,
                repo_dir=environment.repo_dir,
                environ=scrubbed_environ({**passed, **self._env}),
                logs=self.settings.home / "logs",
                hub_dir=weights.chosen_dir(),
                threads=self._threads,
                arrays_as_tensors=importlib.util.find_spec("torch") is None,
                timeout=self.settings.timeout,
            )
        except RemoteError as error:
            slot.close()
            raise HubconfError(
                f"the hubconf of {name} does not import: {error.type_name}: {error.message}",
                tail=error.traceback_text,
                log=error.log,
            ) from error
        except BaseException:
            slot.close()
            raise


@dataclass
class _Slot:
    """The place of one environment's worker in a Hub; the lock is held while a worker starts in it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    worker: Worker | None = None
    use: Use | None = None

    def close(self) -> None:
        worker, use = self.worker, self.use
        self.worker = self.use = None
        if worker is not None:
            worker.close()
        if use is not None:
            use.close()


def _require_entry_point(environment: Environment, model: str) -> None:
    # A private name is not listed, but torch.hub loads it: the worker has the last word on those.
    if not model.startswith("_") and model not in (entry.name for entry in environment.entry_points):
        raise _entry_point_not_found(environment, model)


def _entry_point_not_found(environment: Environment, model: str) -> EntryPointNotFound:
    names = [entry.name for entry in environment.entry_points]
    close = difflib.get_close_matches(model, names, n=5, cutoff=0.5)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif names:
        hint = f"it has {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}"
    else:
        hint = "it has none at all"
    return EntryPointNotFound(
        f"Cannot find callable {model} in hubconf of {environment.manifest.repo}", hint=hint
    )


# ---- torch.hub's functions, over a Hub that is there when it is first needed

_open_hubs: set[Hub] = set()
_default: Hub | None = None
_default_lock = threading.Lock()


def default_hub() -> Hub:
    """The Hub behind the functions of the module; it reads the settings when it is first used."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Hub()
        return _default


def load(
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
    """`Hub.load` of the default Hub."""
    return default_hub().load(
        repo_or_dir,
        model,
        *args,
        source=source,
        trust_repo=trust_repo,
        force_reload=force_reload,
        verbose=verbose,
        skip_validation=skip_validation,
        **kwargs,
    )


def list(
    github: str | os.PathLike[str],
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = "check",
    verbose: bool = True,
    *,
    source: str = "github",
) -> builtins.list[str]:
    """`Hub.list` of the default Hub."""
    return default_hub().list(github, force_reload, skip_validation, trust_repo, verbose, source=source)


def help(
    github: str | os.PathLike[str],
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = "check",
    *,
    source: str = "github",
) -> str | None:
    """`Hub.help` of the default Hub."""
    return default_hub().help(github, model, force_reload, skip_validation, trust_repo, source=source)


def _close_all() -> None:
    hubs = [*_open_hubs]
    for hub in hubs:
        hub.ask_to_end()
    for hub in hubs:
        hub.close()


def _forget_all() -> None:
    """In a forked child: the workers are the parent's, and so is everything that ends them."""
    global _default, _default_lock
    for hub in _open_hubs:
        hub.disown()
    _open_hubs.clear()
    _default, _default_lock = None, threading.Lock()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
