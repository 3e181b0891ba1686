"""Where recipes lie: the user's folder, which comes first, and the ones that ship with isohub. None of them is read here.

Finding an environment needs no more than this, so nothing slow is imported.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from isohub.config import Settings
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError

__all__ = ["BUILT_IN", "read_recipe_bytes", "recipe_files", "recipes_digest"]

BUILT_IN = Path(__file__).parents[1] / "recipes"


def recipe_files(request: EnvironmentRequest, settings: Settings) -> tuple[tuple[Path, ...], ...]:
    """The files that may hold the recipe of a request, in groups: a later group is asked only if the ones before have none."""
    if request.recipe is not None:
        return ((request.recipe,),)
    folders = (settings.recipes, BUILT_IN)
    return tuple(tuple(sorted(folder.glob("*.toml"))) for folder in folders if folder is not None)


def recipes_digest(request: EnvironmentRequest, settings: Settings) -> str:
    """Changes whenever the recipe of any request may have changed.

    Raises:
        ConfigError: a recipe cannot be read.
    """
    digest = hashlib.sha256()
    for group in recipe_files(request, settings):
        for path in group:
            digest.update(f"{path}\0".encode("utf-8", "surrogateescape"))
            digest.update(hashlib.sha256(read_recipe_bytes(path)).digest())
    return digest.hexdigest()


def read_recipe_bytes(path: Path) -> bytes:
    """The content of a recipe's file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
