"""Environments on disk: found in milliseconds, built once whoever asks, removed when nobody uses them.

    envs-v1/<key>/           env/ repo/ pylock.toml build.log, and manifest.json, the mark that it is whole
    envs-v1/<key>.lock       held by the one that builds or removes it
    envs-v1/<key>.users      shared by those that use it
    locks-v1/<plan>/         what a plan was resolved to
    locks-v1/requests/       which environment answered a request

What plans, resolves and builds is imported when something has to be built: finding needs none of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from isohub.config import Settings
from isohub.disk import mark_used, used_at
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.folderlocks import Use, at_work, occupied
from isohub.envs.manifest import SCHEMA, EntryPoint, Manifest, read_manifest
from isohub.envs.recipe_places import recipes_digest
from isohub.envs.request import EnvironmentRequest
from isohub.envs.stamp import stamp
from isohub.envs.standins import asked_of_pip
from isohub.errors import BuildError
from isohub.progress import Progress, Step
from isohub.sources.jsonfile import read_json, write_json
from isohub.sources.tree import Tree

if TYPE_CHECKING:
    from isohub.envs.builder import Resolved
    from isohub.envs.lockfile import LockedRepository

__all__ = ["BrokenEnvironment", "Environment", "EnvironmentRequest", "EnvironmentStore", "Removed"]

# Raised when the rules change by which a request becomes a plan: what was remembered then no longer answers it.
_RULES = 2
_REMOVAL_LIMIT = 10.0


class Removed(BuildError):
    """An environment was removed after it was found."""


@dataclass(frozen=True)
class _Kept:
    """A folder among the environments.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def last_used(self) -> float:
        """When it was last used, in seconds since the epoch: a worker started or ended, or it was found; within an hour."""
        folder = EnvironmentFolder(self.path)
        return used_at(folder.use_lock) or used_at(folder.path)

    def occupied(self) -> str | None:
        """Why it cannot be removed now; None if it can."""
        folder = EnvironmentFolder(self.path)
        return occupied(folder.work_lock, folder.use_lock)


@dataclass(frozen=True)
class Environment(_Kept):
    """A built environment.

    Attributes:
        manifest: what it is.
    """

    manifest: Manifest

    @property
    def last_used(self) -> float:
        """When it was last used or, if it never was, built."""
        return max(super().last_used, self.manifest.built)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return EnvironmentFolder(self.path).python

    @property
    def repo_dir(self) -> Path:
        """Its working copy of the repository: what workers import."""
        return EnvironmentFolder(self.path).repo

    @property
    def env(self) -> dict[str, str]:
        """Variables that its workers need."""
        use = self.manifest.recipe
        return {**EnvironmentFolder(self.path).activation, **(use.env if use is not None else {})}

    @property
    def prelude(self) -> Path | None:
        """The Python file that its workers run before the hubconf."""
        use = self.manifest.recipe
        return EnvironmentFolder(self.path).prelude if use is not None and use.prelude else None

    @property
    def asked_of_pip(self) -> tuple[str, ...]:
        """What its repository asked pip for while it ran, and did not get."""
        return asked_of_pip(EnvironmentFolder(self.path))

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        """What the hubconf offers."""
        return self.manifest.entry_points

    def hold(self) -> Use:
        """Keep it from being removed until the answer is closed, or this process ends.

        Raises:
            BuildError: it has been removed, or is being removed.
        """
        try:
            use = Use(EnvironmentFolder(self.path).use_lock, counts=True, limit=_REMOVAL_LIMIT)
        except OSError as error:
            raise BuildError(
                f"cannot use {self.path}: {error}",
                step="lock",
                hint="make that folder readable for you, or name another one by ISOHUB_HOME",
            ) from error
        try:
            read_manifest(self.path)
        except BuildError as error:
            use.close()
            raise Removed(
                f"{self.path} was removed since it was found", step="lock", hint="load it again"
            ) from error
        return use


@dataclass(frozen=True)
class BrokenEnvironment(_Kept):
    """A folder among the environments that is none.

    Attributes:
        reason: why it is none.
    """

    reason: str


class EnvironmentStore:
    """The environments under one home.

    Args:
        settings: where they are kept, and whether anybody may be asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "envs-v1"
        self._requests = settings.home / "locks-v1" / "requests"

    def find(self, tree: Tree, request: EnvironmentRequest) -> Environment | None:
        """The environment that answered this request before; None if there is none any more."""
        return self._recall(self._record(tree, request))

    def find_locked(self, locked: LockedRepository, python: str | None = None) -> Environment | None:
        """The environment that was locked here, or built before from the lock file; None if there is none any more."""
        return self._recall(self._locked_record(locked, python))

    def _recall(self, path: Path) -> Environment | None:
        record = read_json(path) or {}
        key, interpreter = record.get("environment"), record.get("interpreter")
        if not isinstance(key, str) or "/" in key or not isinstance(interpreter, str):
            return None
        folder = EnvironmentFolder(self._folder / key)
        # An interpreter that was upgraded in place makes another environment.
        if record.get("stamp") != stamp(Path(interpreter)) or not folder.python.exists():
            return None
        try:
            manifest = read_manifest(folder.path)
        except BuildError:
            return None
        mark_used(folder.use_lock)
        return Environment(folder.path, manifest)

    def provide(
        self, tree: Tree, request: EnvironmentRequest, progress: Progress, *, anew: bool = False
    ) -> Environment:
        """The environment for this request, built if need be.

        Args:
            tree: the repository.
            request: the user's words.
            progress: shows the steps of a build.
            anew: resolve again, so that newer distributions count; an equal result leads to the same environment.

        Raises:
            HubconfError, ConfigError, PythonNotFound, ResolveError, OfflineError, BuildError: as ``Builder.build`` says.
        """
        found = None if anew else self.find(tree, request)
        if found is not None:
            return found
        from isohub.envs.builder import Builder

        built = Builder(self._settings, tree, self._completed(request), progress).build(anew=anew)
        environment = Environment(*built)
        self._remember(self._record(tree, request), environment)
        return environment

    def lock(
        self, tree: Tree, request: EnvironmentRequest, asked: str, progress: Progress
    ) -> LockedRepository:
        """What it takes to build the environment for this request elsewhere; it is built here first, if need be.

        Args:
            asked: the user's name for the repository.

        Raises:
            HubconfError, ConfigError, PythonNotFound, ResolveError, OfflineError, BuildError: as ``Builder.build`` says.
        """
        from isohub.envs.locking import locked_environment

        environment = self.provide(tree, request, progress)
        locked = locked_environment(environment, tree, request, asked, self._settings)
        self._remember(self._locked_record(locked, None), environment)
        return locked

    def provide_locked(
        self, tree: Tree, locked: LockedRepository, resolved: Resolved, python: str | None, progress: Progress
    ) -> Environment:
        """The environment that was locked, built if need be.

        Args:
            tree: the repository.
            locked: what a lock file says of it.
            resolved: what that means here.
            python: as it was asked for.
            progress: shows the steps of a build.

        Raises:
            FetchError: the tree is not what was locked.
            OfflineError, BuildError: as ``Builder.build`` says.
        """
        from isohub.envs.builder import Builder
        from isohub.envs.rebuilding import require_tree

        require_tree(locked, tree)
        environment = Environment(
            *Builder(self._settings, tree, EnvironmentRequest(), progress).rebuild(resolved)
        )
        self._remember(self._locked_record(locked, python), environment)
        return environment

    def explain(self, tree: Tree, request: EnvironmentRequest, progress: Progress) -> Resolved:
        """What the environment for this request holds and why, without building it.

        Raises:
            HubconfError, ConfigError, PythonNotFound, ResolveError, OfflineError, BuildError: as ``Builder.resolve`` says.
        """
        from isohub.envs.builder import Builder

        return Builder(self._settings, tree, self._completed(request), progress).resolve()

    def list(self) -> list[Environment | BrokenEnvironment]:
        """All of them, the newest first, then what is none."""
        built: list[Environment] = []
        broken: list[BrokenEnvironment] = []
        for path in sorted(item for item in self._folder.glob("*") if item.is_dir()):
            try:
                built.append(Environment(path, read_manifest(path)))
            except BuildError as error:
                broken.append(BrokenEnvironment(path, error.message))
        return [*sorted(built, key=lambda item: -item.manifest.built), *broken]

    def remove(
        self, environment: Environment | BrokenEnvironment, *, unused_since: float | None = None
    ) -> None:
        """Remove one that nobody uses.

        Args:
            unused_since: leave it, if it was used after this.

        Raises:
            BuildError: it is in use, or cannot be removed.
        """
        folder = EnvironmentFolder(environment.path)
        try:
            with at_work(folder.work_lock, Step(), _REMOVAL_LIMIT), Use(folder.use_lock, exclusive=True):
                if unused_since is not None and environment.last_used > unused_since:
                    raise BuildError(f"{folder.path} was used a moment ago", step="lock", hint="try again")
                folder.remove()
        except OSError as error:
            raise BuildError(
                f"cannot remove {folder.path}: {error}",
                step="remove",
                hint="its disk has to be writable for that, and the folder yours",
            ) from error

    def _remember(self, path: Path, environment: Environment) -> None:
        interpreter = environment.manifest.interpreter
        record = {
            "environment": environment.path.name,
            "interpreter": interpreter,
            "stamp": stamp(Path(interpreter)),
        }
        write_json(path, record)

    def _completed(self, request: EnvironmentRequest) -> EnvironmentRequest:
        return request if request.python else replace(request, python=self._settings.python)

    def _record(self, tree: Tree, request: EnvironmentRequest) -> Path:
        asked = self._completed(request)
        python = asked.python or f"{sys.version_info[:3]} {getattr(sys, '_base_executable', sys.executable)}"
        parts = [_RULES, SCHEMA, tree.pin.repo, tree.pin.commit, python, sorted(asked.requirements)]
        parts += [
            sorted(asked.constraints),
            sys.platform,
            asked.torch_backend,
            recipes_digest(request, self._settings),
        ]
        return self._requests / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.json"

    def _locked_record(self, locked: LockedRepository, python: str | None) -> Path:
        parts = [_RULES, SCHEMA, locked.digest, python, sys.platform]
        return self._requests / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.json"
