"""From a built environment to its place in a lock file. What was built and imported is locked, never what was only planned."""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isohub.config import Settings
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.interpreters import Interpreters
from isohub.envs.lockfile import LockedRepository
from isohub.envs.lockfile_names import spelt
from isohub.envs.lockfile_text import LockedBuild, LockedEntry, LockedRecipe
from isohub.envs.recipes import Recipe, find_recipe
from isohub.envs.request import EnvironmentRequest
from isohub.errors import BuildError
from isohub.sources.digest import content_digest
from isohub.sources.tree import Pin, Tree

if TYPE_CHECKING:
    from isohub.envs.store import Environment

__all__ = ["bound_to_this_machine", "locked_environment", "tree_digest"]


def locked_environment(
    environment: Environment, tree: Tree, request: EnvironmentRequest, asked: str, settings: Settings
) -> LockedRepository:
    """What it takes to build the environment again. Warns if that can only be done on this machine.

    Args:
        environment: a built one.
        tree: what it was built for.
        request: what it was built by.
        asked: the user's name for the repository.

    Raises:
        BuildError: the environment is not what the request asks for any more.
    """
    pin, manifest = tree.pin, environment.manifest
    recipe = find_recipe(tree, request, settings)
    interpreter = Interpreters(settings.home).ask(Path(manifest.interpreter))
    used = None if manifest.recipe is None else manifest.recipe.digest
    if (
        interpreter is None
        or interpreter.version_text != manifest.python
        or used != (recipe and recipe.digest)
    ):
        raise BuildError(
            f"the environment of {pin.repo} changed while it was being locked", step="lock", hint="try again"
        )
    text = EnvironmentFolder(environment.path).lock.read_text(encoding="utf-8")
    _warn_of_places(bound_to_this_machine(text), pin)
    entry = LockedEntry(
        source=pin.source,
        repo=pin.repo,
        ref=pin.ref,
        commit=pin.commit,
        asked=(spelt(pin.source, asked),) if pin.source in ("github", "git") else (),
        tree=tree_digest(pin, tree.path),
        python=interpreter.version_text,
        implementation=interpreter.implementation,
        platform=interpreter.platform,
        torch_backend=request.torch_backend,
        pylock="",
        pylock_sha256=hashlib.sha256(text.encode()).hexdigest(),
        recipe=None if recipe is None else _locked_recipe(recipe),
    )
    return LockedRepository(entry, text)


def tree_digest(pin: Pin, folder: Path) -> str:
    """The hash of a repository's content, as a lock file has it.

    Raises:
        FetchError: a file cannot be read.
    """
    # What tools leave in a working folder is not the repository's; in what was fetched every byte is.
    return f"sha256:{content_digest(folder, ignore=pin.source in ('local', 'builtin'))}"


def bound_to_this_machine(pylock: str) -> dict[str, str]:
    """The distributions whose only files are on this machine's disks, by name, with one of the paths or URLs."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    found = {}
    for package in tomllib.loads(pylock).get("packages", []):
        files = [
            file
            for kind in ("wheels", "sdist", "archive", "directory", "vcs")
            for file in _listed(package.get(kind))
        ]
        places = [_place(file) for file in files]
        if places and all(place is not None for place in places):
            found[str(package["name"])] = str(places[0])
    return found


def _place(file: dict[str, Any]) -> str | None:
    url = str(file.get("url") or "")
    return str(file["path"]) if "path" in file else url if url.startswith("file:") else None


def _listed(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [value] if value else []


def _warn_of_places(bound: dict[str, str], pin: Pin) -> None:
    if bound:
        warnings.warn(
            f"the lock of {pin.repo} can only be built where the same files lie in the same places: "
            f"{', '.join(bound)} {'come' if len(bound) > 1 else 'comes'} from this machine's disk, "
            f"as in {next(iter(bound.values()))}",
            stacklevel=4,
        )


def _locked_recipe(recipe: Recipe) -> LockedRecipe:
    builds = tuple(LockedBuild(item.name, item.requires, item.env) for item in recipe.builds)
    return LockedRecipe(recipe.name, recipe.digest, recipe.env, recipe.prelude, builds)
