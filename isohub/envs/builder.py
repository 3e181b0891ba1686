"""From a repository to a built environment: plan, interpreter, lock, folder, import, manifest.

Whoever comes second waits for the first and finds its work. A failure leaves its log and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from isohub.config import Settings
from isohub.envs.build import copy_repository, create_environment, install
from isohub.envs.buildlog import BuildLog
from isohub.envs.describe import Description, ImportFailure, describe
from isohub.envs.folder import EnvironmentFolder, folder_name
from isohub.envs.folderlocks import Use, at_work
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock
from isohub.envs.manifest import SCHEMA, Manifest, Planned, read_manifest, write_manifest
from isohub.envs.plan import Plan, read_plan
from isohub.envs.pythons import find_python
from isohub.envs.request import EnvironmentRequest
from isohub.envs.resolve import kept_lock, lock_key, resolve
from isohub.envs.uv import Uv, load_uv
from isohub.errors import BuildError
from isohub.hubconf.distributions import distributions_for
from isohub.hubconf.requirements import Requirement
from isohub.progress import Progress, Step
from isohub.sources.tree import Tree

__all__ = ["Builder", "Resolved"]

# Longer than any build takes, since its steps have limits of their own.
_LONGEST_WAIT = 3 * 3600.0


@dataclass(frozen=True)
class Resolved:
    """Everything that is known before anything is built."""

    plan: Plan
    interpreter: Interpreter
    lock: Lock


class Builder:
    """Builds the environment of one repository at one commit.

    Args:
        settings: where things are kept, and whether anybody may be asked.
        tree: the repository.
        request: the user's words.
        progress: shows the steps.
    """

    def __init__(
        self, settings: Settings, tree: Tree, request: EnvironmentRequest, progress: Progress
    ) -> None:
        self._settings = settings
        self._tree = tree
        self._request = request
        self._progress = progress
        self._started = time.time()
        name = f"build-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.log"
        self._log = BuildLog(settings.home / "logs" / name)

    def build(self, *, anew: bool = False) -> EnvironmentFolder:
        """Do all of it.

        Args:
            anew: resolve again, even if an earlier resolution is kept.

        Returns:
            The folder of the environment, which has its manifest.

        Raises:
            HubconfError: the repository's files cannot be read.
            ConfigError: a requirement or the interpreter that the user asked for is misspelt.
            PythonNotFound: no interpreter fits.
            ResolveError: the requirements cannot be met.
            OfflineError: something is not in uv's cache, and nobody may be asked.
            BuildError: a step failed.
        """
        with self._disk_errors():
            uv = load_uv(self._settings)
            resolved = self._resolve(uv, anew)
            return self._built(resolved, uv)

    def resolve(self) -> Resolved:
        """Do what can be done without building anything.

        Raises:
            HubconfError, ConfigError, PythonNotFound, ResolveError, OfflineError, BuildError: as :meth:`build` says.
        """
        with self._disk_errors():
            resolved = self._resolve(load_uv(self._settings), anew=False)
            self._log.discard()
            return resolved

    def _resolve(self, uv: Uv, anew: bool) -> Resolved:
        with self._progress.step(f"resolving what {self._tree.pin.repo} requires") as step:
            plan = read_plan(self._tree.path, self._request, self._tree.pin.repo)
            interpreter = find_python(plan.python, self._settings)
            return Resolved(plan, interpreter, self._lock(plan, interpreter, uv, step, anew))

    def _built(self, resolved: Resolved, uv: Uv) -> EnvironmentFolder:
        folder = EnvironmentFolder(self._settings.home / "envs-v1" / self._key(resolved))
        creating = f"creating an environment on Python {resolved.interpreter.version_text}"
        with ExitStack() as stack:
            with self._progress.step(creating) as step:
                stack.enter_context(at_work(folder.work_lock, step, _LONGEST_WAIT))
                if _is_built(folder):
                    self._log.discard()
                    return folder
                with Use(folder.use_lock, exclusive=True, limit=_LONGEST_WAIT):
                    folder.remove()  # of a build that was killed
                use = stack.enter_context(Use(folder.use_lock))
                stack.enter_context(_undone_on_failure(folder))
                folder.path.mkdir(parents=True)
                memory = self._settings.home / "tools-v1" / "virtualenv"
                create_environment(folder.environment, resolved.interpreter, memory, self._log)
            self._fill(folder, resolved, uv, use)
            self._finish(folder, resolved, self._import(folder, use))
        return folder

    def _lock(self, plan: Plan, interpreter: Interpreter, uv: Uv, step: Step, anew: bool) -> Lock:
        folder = self._settings.home / "locks-v1" / lock_key(plan, interpreter, uv, self._tree.pin.repo)
        with at_work(folder.with_name(f"{folder.name}.lock"), step, _LONGEST_WAIT):
            kept = None if anew else kept_lock(folder)
            return kept or resolve(plan, interpreter, uv, folder, self._log)

    def _key(self, resolved: Resolved) -> str:
        pin, interpreter = self._tree.pin, resolved.interpreter
        parts = [SCHEMA, pin.repo, pin.commit, resolved.lock.digest, str(interpreter.path)]
        parts += [interpreter.version_text, interpreter.implementation, interpreter.platform]
        return folder_name(pin.repo, hashlib.sha256(json.dumps(parts).encode()).hexdigest())

    def _fill(self, folder: EnvironmentFolder, resolved: Resolved, uv: Uv, use: Use) -> None:
        folder.lock.write_text(resolved.lock.text, encoding="utf-8")
        with self._progress.step(f"installing {len(resolved.lock.packages)} distributions"):
            linked = install(folder.python, folder.lock, resolved.lock, uv, self._log, use.descriptors)
        if not linked:
            self._progress.say(
                f"{self._settings.home} and uv's cache are on different disks, so files were copied and not linked; "
                "UV_CACHE_DIR moves the cache"
            )

    def _import(self, folder: EnvironmentFolder, use: Use) -> Description:
        with self._progress.step("importing hubconf.py"):
            copy_repository(self._tree.path, folder.repo, checkout=self._tree.pin.source == "local")
            outcome = describe(
                folder.python, folder.repo, folder.path / "describe.json", self._log, inherit=use.descriptors
            )
        if isinstance(outcome, ImportFailure):
            raise self._import_error(outcome)
        return outcome

    def _import_error(self, failure: ImportFailure) -> BuildError:
        hint = "pin what fails with isohub.Hub(constraints=[...]), or take another Python: isohub.Hub(python=...)"
        if failure.missing:
            name = next(iter(distributions_for(failure.missing)), failure.missing.split(".")[0])
            hint = f'it needs {failure.missing}, which its dependencies do not name: isohub.Hub(requirements=["{name}"])'
        return BuildError(
            f"hubconf.py of {self._tree.pin.repo} does not import: {failure.type_name}: {failure.message}",
            step="import hubconf",
            tail="\n".join(failure.traceback.strip().splitlines()[-12:]),
            log=self._log.path,
            hint=hint,
        )

    def _finish(self, folder: EnvironmentFolder, resolved: Resolved, description: Description) -> None:
        shutil.copyfile(self._log.path, folder.log)
        pin, now = self._tree.pin, time.time()
        manifest = Manifest(
            key=folder.path.name,
            source=pin.source,
            repo=pin.repo,
            ref=pin.ref,
            commit=pin.commit,
            python=resolved.interpreter.version_text,
            interpreter=str(resolved.interpreter.path),
            versions=description.versions,
            packages={item.name: item.version for item in resolved.lock.packages},
            requirements=_planned(resolved.plan.requirements),
            constraints=_planned(resolved.plan.constraints),
            entry_points=description.entry_points,
            built=now,
            seconds=round(now - self._started, 3),
        )
        write_manifest(folder.path, manifest)
        self._log.discard()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BuildError(
                f"cannot build in {self._settings.home}: {error}",
                step="write",
                log=self._log.path if self._log.path.exists() else None,
                hint="make room there, or name another folder by ISOHUB_HOME",
            ) from error


@contextmanager
def _undone_on_failure(folder: EnvironmentFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        folder.remove()
        raise


def _is_built(folder: EnvironmentFolder) -> bool:
    try:
        read_manifest(folder.path)
    except BuildError:
        return False
    return folder.python.exists()


def _planned(requirements: tuple[Requirement, ...]) -> tuple[Planned, ...]:
    return tuple(Planned(item.text, item.origin) for item in requirements)
