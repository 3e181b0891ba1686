"""A damaged environment is built anew, under its own key, from its own lock. What cannot be built so is removed.

Either way nothing of the damage stays, and the next load finds or builds a whole one. Files are linked from uv's cache, so a file
that was changed in place is changed there, too: uv is told to drop what it has of those distributions first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isohub.config import Settings
from isohub.envs.attempts import Attempt
from isohub.envs.builder import Builder
from isohub.envs.buildlog import BuildLog
from isohub.envs.fit import Resolved
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.interpreters import Interpreters
from isohub.envs.lock import parse_lock
from isohub.envs.manifest import Planned
from isohub.envs.plan import Plan
from isohub.envs.recipe_reader import read_recipe
from isohub.envs.recipes import Recipe
from isohub.envs.request import EnvironmentRequest
from isohub.envs.store import Environment
from isohub.envs.uv import load_uv
from isohub.envs.verify import Fault, faults_of
from isohub.errors import BuildError, ConfigError, OfflineError
from isohub.hubconf.requirements import Requirement, parse_requirement
from isohub.progress import Progress
from isohub.sources.tree import Tree

__all__ = ["CannotRebuild", "rebuild"]

_CLEAN_LIMIT = 300.0


class CannotRebuild(Exception):
    """What it takes to build the same environment again is not there any more; the text says what."""


def rebuild(
    environment: Environment, faults: Sequence[Fault], tree: Tree, settings: Settings, progress: Progress
) -> bool:
    """Build it anew where it is, unless it is whole by now.

    Args:
        environment: the damaged one.
        faults: what is wrong with it.
        tree: the repository at its commit.

    Returns:
        Whether it was built; if not, it is whole.

    Raises:
        CannotRebuild: nothing was changed; it can only be removed.
        OfflineError: it takes the network, and offline means that nobody is asked. Nothing was changed.
        BuildError: it is in use, and nothing was changed; or it could not be built, and is gone.
    """
    resolved = _resolved(environment, settings)
    builder = Builder(settings, tree, EnvironmentRequest(), progress)
    if builder.key(resolved) != environment.path.name:
        raise CannotRebuild("its interpreter, its recipe or its lock is not what it was")
    poisoned = sorted({fault.distribution for fault in faults if fault.shared and fault.distribution})

    def damaged() -> bool:
        if not faults_of(environment, held=True):
            return False  # another process was faster
        if poisoned:
            _drop(poisoned, settings)
        return True

    return builder.rebuild(resolved, damaged=damaged).manifest != environment.manifest


def _resolved(environment: Environment, settings: Settings) -> Resolved:
    manifest = environment.manifest
    interpreter = Interpreters(settings.home).ask(Path(manifest.interpreter))
    if interpreter is None:
        raise CannotRebuild(f"{manifest.interpreter}, from which it was made, does not run any more")
    try:
        lock = parse_lock(EnvironmentFolder(environment.path).lock.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotRebuild(f"its lock is damaged: {error}") from error
    plan = Plan(
        _requirements(manifest.requirements), _requirements(manifest.constraints), recipe=_recipe(environment)
    )
    return Resolved(plan, interpreter, lock, Attempt(interpreter))


def _recipe(environment: Environment) -> Recipe | None:
    use = environment.manifest.recipe
    if use is None:
        return None
    try:
        return read_recipe(Path(use.path))
    except ConfigError as error:
        raise CannotRebuild(f"its recipe is not there any more: {error.message}") from error


def _requirements(planned: Sequence[Planned]) -> tuple[Requirement, ...]:
    return tuple(parse_requirement(item.text, item.origin) for item in planned)


def _drop(names: Sequence[str], settings: Settings) -> None:
    """Have uv forget distributions whose files were changed."""
    if settings.offline:
        raise OfflineError(
            f"files of {', '.join(names)} were changed in uv's cache as well, and offline means that nobody is asked",
            hint="go online once",
        )
    log = BuildLog(settings.home / "logs" / "uv-cache-clean.log")
    answer = load_uv(settings).run(["cache", "clean", *names], log=log, limit=_CLEAN_LIMIT, looking=False)
    if answer.returncode != 0:
        raise BuildError(
            "uv cannot drop from its cache what was changed there",
            step="uv",
            tail=answer.output.strip(),
            log=log.path,
            hint="uv cache clean",
        )
    log.discard()
