"""From a place in a lock file back to what is built: the same distributions on the same minor version of Python.

Everything that the file says is held against what is here before anything is built; what does not agree is refused by name.
"""

from __future__ import annotations

import platform
import sysconfig
import warnings
from pathlib import Path

from isohub.config import Settings
from isohub.envs.attempts import Attempt
from isohub.envs.buildlog import BuildLog
from isohub.envs.fit import Resolved
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock, parse_lock
from isohub.envs.lockfile import LockedRepository
from isohub.envs.lockfile_text import LockedRecipe
from isohub.envs.locking import tree_digest
from isohub.envs.plan import Plan
from isohub.envs.pythons import find_python, install_python
from isohub.envs.recipes import Build, Recipe
from isohub.envs.uv import load_uv
from isohub.errors import ConfigError, FetchError, PythonNotFound
from isohub.hubconf.requirements import Requirement
from isohub.progress import Progress
from isohub.sources.ref import parse_github
from isohub.sources.tree import Tree

__all__ = ["require_tree", "resolved_from"]


def resolved_from(
    locked: LockedRepository, python: str | None, settings: Settings, progress: Progress
) -> Resolved:
    """What the builder builds from.

    Args:
        locked: a repository in a lock file.
        python: which interpreter, where the user says it; it must be of the locked minor version.
        settings: where the answers of interpreters are remembered.
        progress: is shown while interpreters are looked for.

    Raises:
        ConfigError: it is for another platform or Python, or damaged.
        PythonNotFound: the Python that it is for is not here.
    """
    _require_server(locked, settings)
    _require_platform(locked)
    try:
        lock = parse_lock(locked.pylock)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{locked.entry.pylock} is no list of distributions: {error}", hint="make it anew: isohub lock"
        ) from error
    recipe = None if locked.entry.recipe is None else _recipe(locked.entry.recipe, locked)
    with progress.step(f"looking for Python {locked.entry.python}"):
        interpreter = _interpreter(locked, python, settings)
    return Resolved(_plan(lock, recipe, locked), interpreter, lock, Attempt(interpreter))


def require_tree(locked: LockedRepository, tree: Tree) -> None:
    """Return if that is the content that was locked.

    Raises:
        FetchError: it is not.
    """
    found = tree_digest(tree.pin, tree.path)
    if found == locked.entry.tree:
        return
    if tree.pin.source in ("local", "builtin"):
        what, hint = "has changed since it was locked", "lock it again: isohub lock"
    else:
        what = "is not what was locked, though the commit's id is the same"
        hint = "fetch it anew with force_reload=True; if that does not help, somebody has changed the lock or the archive"
    raise FetchError(f"the content of {locked} {what}: {found} is not {locked.entry.tree}", hint=hint)


def _require_server(locked: LockedRepository, settings: Settings) -> None:
    """One server is not believed on behalf of another."""
    if locked.entry.source != "github":
        return
    name = parse_github("/".join(locked.entry.repo.split("/")[-2:]))
    if name.on(settings.github_url).lower() != locked.entry.repo.lower():
        raise ConfigError(
            f"{locked} was locked from another server than {settings.github_url}, which is the one that is asked here",
            hint="set github_url (ISOHUB_GITHUB_URL) as it was, or lock it again: isohub lock",
        )


def _require_platform(locked: LockedRepository) -> None:
    here = sysconfig.get_platform()
    if not _same_platform(locked.entry.platform, here):
        raise ConfigError(
            f"{locked} was locked for {locked.entry.platform}, and this is {here}: other files are needed here",
            hint="make a lock for this platform, in a file of its own: isohub lock",
        )


def _same_platform(one: str, other: str) -> bool:
    """Whether they are the same system and machine.

    On macOS a platform also tells for which release and machines the interpreter was built. What is installed has to fit that,
    and uv sees to it.
    """
    parts, other_parts = one.split("-"), other.split("-")
    machines = {platform.machine() if item == "universal2" else item for item in (parts[-1], other_parts[-1])}
    return parts[0] == other_parts[0] and len(machines) == 1


def _interpreter(locked: LockedRepository, python: str | None, settings: Settings) -> Interpreter:
    wanted = locked.entry.python
    minor = ".".join(wanted.split(".")[:2])
    interpreter = find_python(python, settings) if python else _nearest(locked, minor, settings)
    if (
        ".".join(map(str, interpreter.version[:2])) != minor
        or interpreter.implementation != locked.entry.implementation
    ):
        name = "Python" if locked.entry.implementation == "cpython" else locked.entry.implementation
        raise ConfigError(
            f"{locked} was locked on {name} {wanted}, and {interpreter.path} is "
            f"{interpreter.implementation} {interpreter.version_text}",
            hint=f"name a Python {minor}, or lock it for another one: isohub lock --python",
        )
    if interpreter.version_text != wanted:
        warnings.warn(
            f"{locked} was locked on Python {wanted}, and is built on {interpreter.version_text}",
            stacklevel=5,
        )
    return interpreter


def _nearest(locked: LockedRepository, minor: str, settings: Settings) -> Interpreter:
    """An interpreter of the very version; or else the newest of the minor version; or else one that uv installs."""
    wanted = locked.entry.python
    try:
        return find_python(wanted, settings)
    except PythonNotFound:
        pass  # another patch release does as well
    try:
        return find_python(minor, settings)
    except PythonNotFound as error:
        if not settings.install_python:
            raise PythonNotFound(
                f"{locked} was locked on Python {wanted}: {error.message}", hint=error.hint
            ) from error
    log = BuildLog(settings.home / "logs" / f"python-{wanted}.log")
    install_python(wanted, load_uv(settings), log)
    log.discard()
    return find_python(wanted, settings)


def _recipe(locked: LockedRecipe, repository: LockedRepository) -> Recipe:
    recipe = Recipe(
        Path(f"{locked.name}.toml"),
        builds=tuple(Build(item.name, item.requires, item.env) for item in locked.builds),
        env=locked.env,
        prelude=locked.prelude,
    )
    if recipe.digest != locked.digest:
        raise ConfigError(
            f"the recipe {locked.name} in the lock of {repository} is not what was locked: its digest is {recipe.digest}, "
            f"and {locked.digest} was written with it",
            hint="restore the file, or change the recipe itself and make the lock anew: isohub lock",
        )
    return recipe


def _plan(lock: Lock, recipe: Recipe | None, locked: LockedRepository) -> Plan:
    """All that is locked is required, and nothing else."""
    requirements = (
        Requirement(
            item.name, f"{item.name}=={item.version}" if item.version else item.name, locked.entry.pylock
        )
        for item in lock.packages
    )
    return Plan(tuple(requirements), (), python=locked.entry.python, recipe=recipe)
