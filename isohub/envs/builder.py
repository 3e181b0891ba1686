"""From a repository to a built environment: plan, interpreter, lock, folder, import, manifest.

Whoever comes second waits for the first and finds its work. A failure leaves its log and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from isohub.config import Settings
from isohub.disk import what_to_do
from isohub.envs.attempts import Attempt, Failure
from isohub.envs.build import copy_repository, create_environment, install
from isohub.envs.buildlog import BuildLog
from isohub.envs.describe import Description, ImportFailure, describe
from isohub.envs.explanations import needs_wheel
from isohub.envs.fit import AttemptFailed, Fitting, Resolved
from isohub.envs.folder import EnvironmentFolder, folder_name
from isohub.envs.folderlocks import LONGEST_WAIT, Use, at_work
from isohub.envs.lock import Lock
from isohub.envs.manifest import SCHEMA, Manifest, Planned, RecipeUse, read_manifest, write_manifest
from isohub.envs.plan import read_plan
from isohub.envs.process import TimedOut
from isohub.envs.recipe_builds import with_builds
from isohub.envs.recipes import Recipe, find_recipe
from isohub.envs.record import write_record
from isohub.envs.request import EnvironmentRequest
from isohub.envs.standins import asked_of_pip, put_standins
from isohub.envs.uv import Uv, in_a_box, load_uv, out_of_the_box
from isohub.envs.wheelhouse import add_wheels, built_wheels
from isohub.errors import BuildError, FetchError, ResolveError
from isohub.hubconf.distributions import distributions_for
from isohub.hubconf.requirements import Requirement
from isohub.progress import Progress
from isohub.sandbox import sandbox_of
from isohub.sources.tree import Tree

__all__ = ["Builder", "Built", "Resolved"]

_T = TypeVar("_T")


class Built(NamedTuple):
    """An environment as it was when it was built or found: it may be removed as soon as nobody holds it."""

    path: Path
    manifest: Manifest


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
        self._started = time.monotonic()
        name = f"build-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.log"
        self._log = BuildLog(settings.home / "logs" / name)

    def build(self, *, anew: bool = False) -> Built:
        """Do all of it.

        Args:
            anew: resolve again, even if an earlier resolution is kept.

        Returns:
            The folder of the environment and its manifest.

        Raises:
            HubconfError: the repository's files cannot be read.
            ConfigError: a requirement or the interpreter that the user asked for is misspelt.
            PythonNotFound: no interpreter fits.
            ResolveError: the requirements cannot be met.
            OfflineError: something is not in uv's cache, and nobody may be asked.
            BuildError: a step failed.
        """

        def build(uv: Uv) -> Built:
            fitting = self._fitting(uv, anew)
            attempt = fitting.start()
            while True:
                try:
                    resolved = self._resolved(fitting, attempt)
                    built = self._built(resolved, uv)
                except AttemptFailed as failed:
                    attempt = self._next(fitting, failed.failure)
                else:
                    fitting.keep(resolved)
                    return built

        return self._with_uv(build)

    def resolve(self) -> Resolved:
        """Do what can be done without building anything.

        Raises:
            HubconfError, ConfigError, PythonNotFound, ResolveError, OfflineError, BuildError: as :meth:`build` says.
        """

        def resolve(uv: Uv) -> Resolved:
            fitting = self._fitting(uv, anew=False)
            attempt = fitting.start()
            while True:
                try:
                    return self._resolved(fitting, attempt)
                except AttemptFailed as failed:
                    attempt = self._next(fitting, failed.failure)

        return self._with_uv(resolve)

    def rebuild(self, resolved: Resolved, *, damaged: Callable[[], bool] | None = None) -> Built:
        """Build what was resolved before and locked: exactly that, or nothing.

        Args:
            damaged: says whether the environment that is there has to make room, and is asked when nobody uses it. By
                default one that is there is the answer.

        Raises:
            OfflineError, BuildError: as :meth:`build` says.
        """

        def build(uv: Uv) -> Built:
            try:
                return self._built(resolved, uv, damaged)
            except AttemptFailed as failed:
                raise failed.failure.error from failed

        return self._with_uv(build)

    def _with_uv(self, act: Callable[[Uv], _T]) -> _T:
        """Do it with uv; where there is a sandbox first without building anything from source, and then in there if it may."""
        with self._disk_errors():
            uv = load_uv(self._settings)
            try:
                done = act(uv)
            except (ResolveError, BuildError) as error:
                allowed = uv.only_wheels and self._settings.network and not uv.offline
                if not (allowed and needs_wheel(f"{error.message}\n{error.tail}")):
                    raise
                self._progress.say("not everything has a wheel: building from source, in the sandbox")
                with in_a_box(uv, self._settings) as uv:
                    done = act(uv)
            self._log.discard()
            return done

    def _fitting(self, uv: Uv, anew: bool) -> Fitting:
        recipe = find_recipe(self._tree, self._request, self._settings)
        if recipe is not None:
            self._progress.say(f"using the recipe {recipe.path}")
        plan = read_plan(self._tree.path, self._request, self._tree.pin.repo, recipe)
        return Fitting(
            plan, self._tree, self._request, self._settings, uv, self._log, self._progress, anew=anew
        )

    def _resolved(self, fitting: Fitting, attempt: Attempt) -> Resolved:
        with self._progress.step(f"resolving what {self._tree.pin.repo} requires") as step:
            return fitting.resolve(attempt, step)

    def _next(self, fitting: Fitting, failure: Failure) -> Attempt:
        attempt = fitting.after(failure)
        line = f"{failure.reason}; trying {attempt}"
        self._log.write(f"\n{line}")
        self._progress.say(line)
        return attempt

    def _built(self, resolved: Resolved, uv: Uv, damaged: Callable[[], bool] | None = None) -> Built:
        folder = EnvironmentFolder(self._settings.home / "envs-v1" / self.key(resolved))
        creating = f"creating an environment on Python {resolved.interpreter.version_text}"
        with ExitStack() as stack:
            with self._progress.step(creating) as step:
                stack.enter_context(at_work(folder.work_lock, step, LONGEST_WAIT))
                there = _built_before(folder)
                if there is not None and damaged is None:
                    return Built(folder.path, there)
                # Of a build that was killed something may still be at work in there, and it ends.
                with Use(folder.use_lock, exclusive=True, limit=LONGEST_WAIT if damaged is None else 0.0):
                    if damaged is not None and not damaged() and there is not None:
                        return Built(folder.path, there)
                    folder.remove()
                use = stack.enter_context(Use(folder.use_lock))
                stack.enter_context(_undone_on_failure(folder))
                folder.path.mkdir(parents=True)
                memory = self._settings.home / "tools-v1" / "virtualenv"
                create_environment(folder.environment, resolved.interpreter, memory, self._log)
            self._fill(folder, resolved, uv, use)
            return self._finish(folder, resolved, self._import(folder, resolved, use))

    def key(self, resolved: Resolved) -> str:
        """The name of the environment that it becomes."""
        pin, interpreter = self._tree.pin, resolved.interpreter
        recipe = resolved.plan.recipe
        parts = [
            SCHEMA,
            pin.repo,
            pin.commit,
            resolved.lock.digest,
            str(interpreter.path),
            recipe and recipe.digest,
        ]
        parts += [interpreter.version_text, interpreter.implementation, interpreter.platform]
        return folder_name(pin.repo, hashlib.sha256(json.dumps(parts).encode()).hexdigest())

    def _fill(self, folder: EnvironmentFolder, resolved: Resolved, uv: Uv, use: Use) -> None:
        folder.lock.write_text(resolved.lock.text, encoding="utf-8")
        with self._progress.step(f"installing {len(resolved.lock.packages)} distributions"):
            uv = with_builds(uv, resolved.plan.recipe)
            try:
                if uv.box is None:
                    linked = install(
                        folder.python, folder.lock, resolved.lock, uv, self._log, use.descriptors
                    )
                else:
                    linked = self._install_built(folder, resolved.lock, uv, use)
            except BuildError as error:
                raise _failed(resolved, error) from error
            put_standins(folder, resolved.lock)
        if not linked:
            self._progress.say(
                f"{self._settings.home} and uv's cache are on different disks, so files were copied and not linked; "
                "UV_CACHE_DIR moves the cache"
            )

    def _install_built(self, folder: EnvironmentFolder, lock: Lock, uv: Uv, use: Use) -> bool:
        """Like `install`, where some of it has to be built in a box."""
        ready, sources = lock.parted()
        outside = out_of_the_box(uv)
        with tempfile.TemporaryDirectory(prefix="isohub-wheels-") as temporary:
            wheels = built_wheels(sources, uv, folder.python, Path(temporary) / "wheels", self._log)
            rest = Path(temporary) / "pylock.toml"
            rest.write_text(ready.text, encoding="utf-8")
            linked = install(folder.python, rest, ready, outside, self._log, use.descriptors)
            add_wheels(wheels, outside, folder.python, self._log)
        return linked

    def _import(self, folder: EnvironmentFolder, resolved: Resolved, use: Use) -> Description:
        recipe = resolved.plan.recipe
        with self._progress.step("importing hubconf.py"):
            copy_repository(self._tree.path, folder.repo, checkout=self._tree.pin.source == "local")
            if recipe is not None and recipe.prelude:
                folder.prelude.write_text(recipe.prelude, encoding="utf-8")
            try:
                outcome = describe(
                    folder.python,
                    folder.repo,
                    folder.path / "answer",
                    self._log,
                    env={**folder.activation, **(dict(recipe.env) if recipe else {})},
                    prelude=folder.prelude if folder.prelude.exists() else None,
                    sandbox=sandbox_of(self._settings),
                    asked=folder.pip_requests,
                    inherit=use.descriptors,
                )
            except BuildError as error:
                if isinstance(error.__cause__, TimedOut):
                    raise  # others would take as long
                raise _failed(resolved, error) from error
        asked = asked_of_pip(folder)
        if isinstance(outcome, ImportFailure):
            raise _failed(resolved, self._import_error(outcome, asked, resolved), outcome, asked)
        if asked:
            self._progress.say(
                f"{self._tree.pin.repo} asked pip to install {', '.join(asked)}, which was not done; "
                f"isohub.Hub(requirements={[*asked]}) does it"
            )
        return outcome

    def _import_error(self, failure: ImportFailure, asked: tuple[str, ...], resolved: Resolved) -> BuildError:
        hint = "pin what fails with isohub.Hub(constraints=[...]), or take another Python: isohub.Hub(python=...)"
        if asked:
            hint = f"it asked pip to install {', '.join(asked)} while it was imported: isohub.Hub(requirements={[*asked]})"
        elif failure.missing:
            first = failure.missing.split(".")[0]
            name = next(iter(distributions_for(failure.missing)), first)
            places = (item.origin for item in resolved.plan.imports if item.module.split(".")[0] == first)
            importer = next(places, "something that is installed")
            hint = f'{importer} imports {failure.missing}, which nothing names: isohub.Hub(requirements=["{name}"])'
        return BuildError(
            f"hubconf.py of {self._tree.pin.repo} does not import: {failure.type_name}: {failure.message}",
            step="import hubconf",
            tail="\n".join(failure.traceback.strip().splitlines()[-12:]),
            log=self._log.path,
            hint=hint,
        )

    def _finish(self, folder: EnvironmentFolder, resolved: Resolved, description: Description) -> Built:
        shutil.copy(self._log.path, folder.log)
        write_record(folder, self._tree.path)
        pin = self._tree.pin
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
            recipe=_recipe_use(resolved.plan.recipe),
            built=time.time(),
            seconds=round(time.monotonic() - self._started, 3),
        )
        write_manifest(folder.path, manifest)
        return Built(folder.path, manifest)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, FetchError) as error:
            raise BuildError(
                f"cannot build in {self._settings.home}: {error}",
                step="write",
                log=self._log.path if self._log.path.exists() else None,
                hint=what_to_do(error),
            ) from error


def _failed(
    resolved: Resolved, error: BuildError, outcome: ImportFailure | None = None, asked: tuple[str, ...] = ()
) -> AttemptFailed:
    if outcome is None:
        text = "\n".join([error.message, *([error.tail] if error.tail else [])])
        return AttemptFailed(Failure(resolved.attempt, error, error.message, text, lock=resolved.lock))
    reason = f"{outcome.type_name}: {outcome.message}".strip().splitlines()[0][:300]
    return AttemptFailed(
        Failure(resolved.attempt, error, reason, outcome.traceback, outcome.missing, asked, resolved.lock)
    )


@contextmanager
def _undone_on_failure(folder: EnvironmentFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        folder.remove()
        raise


def _built_before(folder: EnvironmentFolder) -> Manifest | None:
    try:
        manifest = read_manifest(folder.path)
    except BuildError:
        return None
    return manifest if folder.python.exists() else None


def _recipe_use(recipe: Recipe | None) -> RecipeUse | None:
    if recipe is None:
        return None
    return RecipeUse(str(recipe.path), recipe.digest, dict(recipe.env), prelude=bool(recipe.prelude))


def _planned(requirements: tuple[Requirement, ...]) -> tuple[Planned, ...]:
    return tuple(Planned(item.text, item.origin) for item in requirements)
