"""The manifest of an environment: written last and in one piece, so that an environment is built exactly when it has one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isohub.errors import BuildError
from isohub.sources.jsonfile import write_json

__all__ = ["SCHEMA", "EntryPoint", "Manifest", "Planned", "RecipeUse", "read_manifest", "write_manifest"]

SCHEMA = 1
"""Part of every environment's key: raised when what an environment is changes."""


@dataclass(frozen=True)
class EntryPoint:
    """A callable of the hubconf, as it was when the environment imported it."""

    name: str
    signature: str | None
    doc: str | None


@dataclass(frozen=True)
class Planned:
    """A requirement or a constraint, and who asked for it."""

    text: str
    origin: str


@dataclass(frozen=True)
class RecipeUse:
    """What an environment keeps of its recipe, so that workers need no file of it. The prelude lies in the environment's folder.

    Attributes:
        path: the file.
        digest: of all in it that decides.
        env: variables for the hubconf's process.
        prelude: whether there is one.
    """

    path: str
    digest: str
    env: dict[str, str]
    prelude: bool


@dataclass(frozen=True)
class Manifest:
    """What an environment is.

    Attributes:
        key: the name of its folder.
        source, repo, ref, commit: what it was built for; other refs may lead to the same commit.
        python: version of the interpreter.
        interpreter: path of the interpreter that it was made from.
        versions: of what people compare environments by, such as torch and numpy.
        packages: every distribution in it, with its version.
        requirements: what was asked for.
        constraints: the bounds.
        entry_points: what the hubconf offers, in its order.
        recipe: the one that it was built by.
        built: when, in seconds since the epoch.
        seconds: how long it took.
    """

    key: str
    source: str
    repo: str
    ref: str | None
    commit: str
    python: str
    interpreter: str
    versions: dict[str, str | None]
    packages: dict[str, str]
    requirements: tuple[Planned, ...]
    constraints: tuple[Planned, ...]
    entry_points: tuple[EntryPoint, ...]
    built: float
    seconds: float
    recipe: RecipeUse | None = None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an environment's folder.

    Raises:
        BuildError: there is none, or it is damaged; then there is no environment there.
    """
    path = folder / "manifest.json"
    try:
        return _from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise BuildError(f"{folder} was never finished", step="manifest") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BuildError(f"{path} is damaged: {error}", step="manifest") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it; from then on the folder is an environment."""
    write_json(folder / "manifest.json", {"schema": SCHEMA, **asdict(manifest)})


def _from_json(value: Any) -> Manifest:
    fields = dict(value)
    if fields.pop("schema") != SCHEMA:
        raise ValueError("of another version of isohub")
    for name in ("requirements", "constraints"):
        fields[name] = tuple(Planned(**item) for item in fields[name])
    fields["entry_points"] = tuple(EntryPoint(**item) for item in fields["entry_points"])
    if fields.get("recipe") is not None:
        fields["recipe"] = RecipeUse(**fields["recipe"])
    return Manifest(**fields)
