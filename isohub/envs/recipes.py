"""Recipes: what is known about a brittle stack and cannot be read from its repository, as data about requirements.

Which one a repository gets depends on its name and ref, or on the files in it. Of several the most specific one counts, of the
user's own any comes before all that ship with isohub, and at most one is ever used.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isohub.config import Settings
from isohub.envs.recipe_places import recipe_files
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError
from isohub.hubconf.requirements import Requirement
from isohub.sources.ref import is_commit_id
from isohub.sources.tree import Pin, Tree

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["Build", "Kwarg", "Match", "Recipe", "find_recipe", "owner_and_name"]

_TAG = re.compile(r"(?:[A-Za-z][A-Za-z_-]*?)?[-_]?v?(?P<version>\d.*)", re.IGNORECASE)
_BY_FILES, _ANY_REF, _BY_DATE, _BY_VERSION, _BY_NAME, _BY_COMMIT = range(6)


@dataclass(frozen=True)
class Match:
    """Which repositories a recipe is for. Any one of the rules about refs is enough, and with none every ref counts.

    Attributes:
        repositories: as ``owner/name``, in whatever case and on whatever server.
        versions: of the tag that was asked for.
        refs: branches and tags.
        commits: full ids, or the beginnings of some.
        after, before: when the commit was made, in seconds since the epoch.
        files: what lies in the content of one that has none of these names: a fork, a folder, a mirror.
    """

    repositories: tuple[str, ...] = ()
    versions: SpecifierSet | None = None
    refs: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    after: float | None = None
    before: float | None = None
    files: tuple[str, ...] = ()

    def rank(self, tree: Tree) -> tuple[int, int] | None:
        """How exactly this means the tree; None if it does not."""
        if owner_and_name(tree.pin.repo).lower() in (name.lower() for name in self.repositories):
            by_ref = self._rank_of_ref(tree)
            if by_ref is not None:
                return by_ref, 0
        if self.files and all((tree.path / name).exists() for name in self.files):
            return _BY_FILES, len(self.files)
        return None

    def _rank_of_ref(self, tree: Tree) -> int | None:
        if any(tree.pin.commit.startswith(commit) for commit in self.commits):
            return _BY_COMMIT
        if _ref_names(tree.pin) & frozenset(self.refs):
            return _BY_NAME
        if self.versions is not None and self._is_version(tree.pin):
            return _BY_VERSION
        dated = self.after is not None or self.before is not None
        if dated and tree.date is not None and (self.after or 0) <= tree.date < (self.before or float("inf")):
            return _BY_DATE
        ruled = dated or self.commits or self.refs or self.versions is not None
        return None if ruled else _ANY_REF

    def _is_version(self, pin: Pin) -> bool:
        from packaging.version import InvalidVersion, Version

        ref = pin.ref or ""
        tag = None if is_commit_id(ref) else _TAG.fullmatch(ref.rpartition("/")[2])
        if tag is None or self.versions is None:
            return False
        try:
            return self.versions.contains(Version(tag["version"]), prereleases=True)
        except InvalidVersion:
            return False


@dataclass(frozen=True)
class Build:
    """How a distribution is built from its source.

    Attributes:
        name: its normalised name.
        requires: what its build environment needs and its own files do not say.
        env: variables for the build.
    """

    name: str
    requires: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kwarg:
    """What an argument of an entry point needs. It is installed with the rest: all entry points share the environment.

    Attributes:
        name: of the argument.
        value: the one that needs it; None for every value.
        requires: the distributions.
    """

    name: str
    value: str | int | float | bool | None
    requires: tuple[Requirement, ...]


@dataclass(frozen=True)
class Recipe:
    """What one file says.

    Attributes:
        path: the file.
        match: which repositories it is for.
        python: a version or a range.
        requirements: installed as well.
        constraints: bounds on what is installed; they count in place of those that the repository's own files have.
        exclude: normalised names of distributions that are not installed, whichever file of the repository asks for them.
        builds: for distributions that are built from source.
        env: variables for the hubconf's process, when it is imported for the first time and in every worker.
        prelude: Python that runs there before the hubconf is imported.
        kwargs: what arguments of entry points need.
        smoke: Python that fails if the environment is not good; only a check of the recipe runs it.
    """

    path: Path
    match: Match = Match()
    python: str | None = None
    requirements: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    exclude: frozenset[str] = frozenset()
    builds: tuple[Build, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    prelude: str = ""
    kwargs: tuple[Kwarg, ...] = ()
    smoke: str = ""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.path.stem

    @property
    def all_requirements(self) -> tuple[Requirement, ...]:
        """What it asks for, the needs of arguments among it."""
        return (*self.requirements, *(item for kwarg in self.kwargs for item in kwarg.requires))

    @property
    def digest(self) -> str:
        """Of what decides how an environment is built and run, once its interpreter and its lock are known.

        What it says about those shows in them. So an environment that is built again from a lock file is the same environment.
        """
        parts = ([[item.name, item.requires, item.env] for item in self.builds], self.env, self.prelude)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def find_recipe(tree: Tree, request: EnvironmentRequest, settings: Settings) -> Recipe | None:
    """The recipe for a repository; one that the request names is taken for every repository.

    Raises:
        ConfigError: a recipe has a fault, or two of them mean the repository equally well.
    """
    from isohub.envs.recipe_reader import read_recipe

    if request.recipe is not None:
        return read_recipe(request.recipe)
    for group in recipe_files(request, settings):
        ranked = [(rank, recipe) for recipe in map(read_recipe, group) if (rank := recipe.match.rank(tree))]
        if ranked:
            return _most_specific(ranked, tree)
    return None


def _most_specific(ranked: list[tuple[tuple[int, int], Recipe]], tree: Tree) -> Recipe:
    highest = max(rank for rank, _ in ranked)
    best = [recipe for rank, recipe in ranked if rank == highest]
    if len(best) > 1:
        raise ConfigError(
            f"{len(best)} recipes mean {tree.pin.repo} equally well: {', '.join(str(item.path) for item in best)}",
            hint="make the [match] of one more exact, or name one: isohub.Hub(recipe=...)",
        )
    return best[0]


def owner_and_name(repo: str) -> str:
    """The end of a canonical name, which is the same on every server: ``owner/name``."""
    parts = re.split(r"[/:\\]", repo.rstrip("/").removesuffix(".git"))
    return "/".join(parts[-2:])


def _ref_names(pin: Pin) -> frozenset[str]:
    ref = pin.ref or ""
    short = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return frozenset({ref, short} - {""})
