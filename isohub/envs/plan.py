"""A plan: what an environment must hold and within which bounds, each line with who asked for it.

Making a plan runs nothing and asks nobody: it is drawn from the repository's files, a recipe and the user's words alone. Where
two of them speak of one distribution, the user's word counts before the recipe's, and the recipe's before the repository's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from isohub.envs.recipe_builds import build_settings
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError
from isohub.hubconf.distributions import (
    distributions_for,
    is_accounted_for,
    plugins_of,
    requirement_for,
    undeclared_requirement,
)
from isohub.hubconf.imports import Import, import_graph
from isohub.hubconf.popular import misspelt
from isohub.hubconf.pythons import pythons_with
from isohub.hubconf.repository_files import read_repository_files
from isohub.hubconf.requirements import (
    Declarations,
    PythonHint,
    Requirement,
    Strength,
    parse_requirement,
)
from isohub.hubconf.scan import Dependency, Hubconf, read_hubconf

if TYPE_CHECKING:
    from isohub.envs.recipes import Recipe

__all__ = ["Plan", "make_plan", "read_plan"]

# What the worker itself imports. The bounds are the oldest that it was written for; all have builds for Python 3.7.
_WORKER = ("msgpack>=1.0.5", "pyzmq>=22.3")
# What installs and builds is isohub's business, whichever version the author happened to have.
_TOOLS = frozenset({"pip", "setuptools", "wheel"})
_URL = re.compile(r"(?:[a-z]+\+)?[a-z]+://", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<!ssh)://[^/\s]+@|://[^/\s]*:[^/\s]*@")


@dataclass(frozen=True)
class Plan:
    """What to resolve.

    Attributes:
        requirements: what must be installed.
        constraints: bounds on what is installed. Those that are not strong may be given up if nothing fits.
        python: which interpreter, as in the request or the recipe.
        notes: what was read and not used, and why; for the person who asks.
        hints: what the repository says about the interpreter.
        imports: what the repository imports that it does not have, for whoever wants to know who asks for a module.
        named: the distributions that the repository, the recipe or the user name.
        recipe: the one that has a part in it.
    """

    requirements: tuple[Requirement, ...]
    constraints: tuple[Requirement, ...]
    python: str | None = None
    notes: tuple[str, ...] = ()
    hints: tuple[PythonHint, ...] = ()
    imports: tuple[Import, ...] = ()
    named: frozenset[str] = frozenset()
    recipe: Recipe | None = None

    @property
    def key(self) -> str:
        """The same for plans that require the same, in whatever order, of whatever interpreter and whoever asks."""
        parts = [sorted({item.text for item in items}) for items in (self.requirements, self.constraints)]
        builds = build_settings(self.recipe.builds) if self.recipe else ""
        return hashlib.sha256(json.dumps([*parts, builds]).encode()).hexdigest()

    @property
    def python_range(self) -> str | None:
        """The versions that the repository makes a condition, in the standard's form (PEP 440); None for any."""
        joined = ",".join(item.specifier for item in self.hints if item.strong)
        return str(SpecifierSet(joined)) if joined else None


def read_plan(
    folder: Path, request: EnvironmentRequest, repo: str | None = None, recipe: Recipe | None = None
) -> Plan:
    """Read a repository's files and draw the plan.

    Args:
        folder: the repository's content.
        request: the user's words.
        repo: what messages call it.
        recipe: what is known about it besides.

    Raises:
        HubconfError: a file of the repository is missing or cannot be read.
        ConfigError: a requirement of the user's is not one.
    """
    hubconf = read_hubconf(folder, repo)
    own = {entry.text.split(".")[0] for entry in hubconf.dependencies if _is_own_module(folder, entry.text)}
    declared = replace(
        hubconf,
        dependencies=tuple(item for item in hubconf.dependencies if item.text.split(".")[0] not in own),
    )
    return make_plan(declared, read_repository_files(folder), request, import_graph(folder), recipe)


def make_plan(
    hubconf: Hubconf,
    files: Declarations,
    request: EnvironmentRequest,
    imports: tuple[Import, ...] = (),
    recipe: Recipe | None = None,
) -> Plan:
    """Draw the plan.

    Args:
        hubconf: as it was read.
        files: what the repository's files state.
        request: the user's words.
        imports: what the repository's modules import.
        recipe: what is known about the repository besides.

    Raises:
        HubconfError: a declared dependency is neither a module nor a requirement.
        ConfigError: a requirement of the user's is not one.
    """
    return _Drawing(hubconf, files, request, imports, recipe).plan()


class _Drawing:
    def __init__(
        self,
        hubconf: Hubconf,
        files: Declarations,
        request: EnvironmentRequest,
        imports: tuple[Import, ...],
        recipe: Recipe | None,
    ) -> None:
        self._hubconf = hubconf
        self._files = files
        self._imports = imports
        self._recipe = recipe
        self._python = request.python or (recipe.python if recipe else None)
        self._wanted = [
            *(recipe.all_requirements if recipe else ()),
            *(_from_user(text, "requirements") for text in request.requirements),
        ]
        self._limits = [
            *(recipe.constraints if recipe else ()),
            *(_from_user(text, "constraints") for text in request.constraints),
        ]
        self._excluded = recipe.exclude if recipe else frozenset[str]()
        self._worker = [parse_requirement(text, "isohub's worker") for text in _WORKER]
        stated = (*files.needs, *files.pins, *files.bounds)
        self._named = frozenset(item.name for item in (*stated, *self._wanted))
        # A recipe was written with the repository's files in view, so it has the say where it says a version. The user may not
        # have seen them: where the two contradict each other nothing is resolved, and both are named.
        known = (*recipe.all_requirements, *recipe.constraints) if recipe else ()
        self._overruled = {item.name: item for item in known if not _is_bare(item)}
        self._notes = [
            f"hubconf.py:{item.line}: cannot be read without running it: {item.source}"
            for item in hubconf.unreadable
        ]
        self._notes += [f"{item.origin}: not used, {item.reason}: {item.text}" for item in files.unsupported]

    def plan(self) -> Plan:
        declared = list(self._declared())
        self._named |= {item.name for item in declared}
        asked = [*declared, *self._imported(), *self._needs(), *self._wanted]
        installed = {item.name for item in asked}
        asked += self._plugins(installed)
        asked += self._repeated(installed, {item.origin.partition(",")[0] for item in asked})
        hints = [
            PythonHint(versions, f"{item.origin} imports {item.module}", strong=True)
            for item in self._imports
            if item.needed and (versions := pythons_with(item.module))
        ]
        requirements = [item for item in asked if not self._is_excluded(item)]
        return Plan(
            requirements=(*requirements, *self._worker),
            constraints=(*self._bounds(), *self._limits),
            python=self._python,
            notes=tuple(dict.fromkeys(self._notes)),
            hints=(*self._files.pythons, *hints),
            imports=self._imports,
            named=self._named,
            recipe=self._recipe,
        )

    def _is_excluded(self, item: Requirement) -> bool:
        if item.name not in self._excluded or item in self._wanted:
            return False
        self._notes.append(f"{item.origin}: {item.text} is not installed: the recipe excludes it")
        return True

    def _declared(self) -> Iterable[Requirement]:
        """What ``dependencies`` lists: its author's word, unless it can only be a slip."""
        imported = {item.module.split(".")[0] for item in self._imports}
        for entry in self._hubconf.dependencies:
            meant = None if entry.text in imported else _slip(entry, self._named)
            if meant:
                self._notes.append(
                    f"hubconf.py:{entry.line}: {entry.text} is not installed: nothing imports it and it is not well known, "
                    f"as {meant} is"
                )
            elif found := requirement_for(entry.text, f"hubconf.py:{entry.line}", self._named):
                yield found

    def _imported(self) -> Iterable[Requirement]:
        """What the modules need, and what they can do without if the repository's files ask for it."""
        pins = {item.name: item for item in reversed(self._files.pins)}
        seen: set[str] = set()
        for item in self._imports:
            if pythons_with(item.module):
                continue
            found = undeclared_requirement(item.module, item.origin, self._named)
            if found is None:
                if item.needed and not is_accounted_for(item.module):
                    self._notes.append(
                        f"{item.origin}: {item.module} is not installed: nothing declares it and it is not well known"
                    )
            elif found.text not in seen and (item.needed or found.name in pins):
                seen.add(found.text)
                # It is the file that asks for what the module can do without.
                yield (
                    found
                    if item.needed
                    else _bare(pins[found.name], f"{pins[found.name].origin}, for {item.origin}")
                )

    def _needs(self) -> Iterable[Requirement]:
        for item in self._files.needs:
            if distributions_for(item.name.replace("-", "_")):
                yield self._yielding(item)
            else:
                # Copies of modules that the standard library has by now do not install any more.
                self._notes.append(
                    f"{item.origin}: {item.text} is not installed: it needs no distribution, or has none"
                )

    def _plugins(self, installed: set[str]) -> list[Requirement]:
        """What the files name for the sake of another distribution, which looks for it when it is used."""
        wanted = {plugin: name for name in sorted(installed) for plugin in plugins_of(name)}
        return [
            _bare(item, f"{item.origin}, for {wanted[item.name]}")
            for item in self._files.pins
            if item.name in wanted and item.name not in installed
        ]

    def _repeated(self, installed: set[str], origins: set[str]) -> list[Requirement]:
        """The lines of requirement files about what is installed anyway that say no version, or name extras."""
        return [
            _bare(item, item.origin)
            for item in self._files.pins
            if item.name in installed
            and item.origin not in origins
            and (_is_bare(item) or ParsedRequirement(item.text).extras)
        ]

    def _bounds(self) -> Iterable[Requirement]:
        spoken_for = {item.name for item in (*self._files.needs, *self._files.pins)}
        for item in (*self._files.pins, *self._files.bounds):
            if _is_bare(item) or item.name in _TOOLS or item.name in self._excluded:
                continue
            if item.strength is Strength.ASIDE and item.name in spoken_for:
                continue
            if any(_contradicts(item, worker) for worker in self._worker):
                self._notes.append(f"{item.origin}: {item.text} gives way to isohub's worker")
                continue
            bound = self._yielding(item)
            if not _is_bare(bound):
                yield bound.as_constraint

    def _yielding(self, item: Requirement) -> Requirement:
        """The same without a version if the recipe has the say about it."""
        word = self._overruled.get(item.name)
        if word is None or _is_bare(item):
            return item
        self._notes.append(f"{item.origin}: {item.text} gives way to {word.text} ({word.origin})")
        return _bare(item, item.origin)


def _slip(entry: Dependency, known: Iterable[str]) -> str | None:
    """What a declared name was probably meant to be; None if it may well be a distribution's."""
    if (
        not entry.text.isidentifier()
        or is_accounted_for(entry.text)
        or canonicalize_name(entry.text) in known
    ):
        return None
    return misspelt(entry.text)


def _is_bare(item: Requirement) -> bool:
    """Whether it says no version and no place."""
    try:
        parsed = ParsedRequirement(item.text)
    except InvalidRequirement:  # a path or a URL of the user's
        return False
    return not parsed.specifier and not parsed.url


def _bare(item: Requirement, origin: str) -> Requirement:
    parsed = ParsedRequirement(item.text)
    parsed.specifier = SpecifierSet()
    return replace(item, text=str(parsed), origin=origin)


def _contradicts(item: Requirement, word: Requirement) -> bool:
    """Whether an upper bound or an exact version lies outside what `word` asks for."""
    if item.name != word.name:
        return False
    asked = ParsedRequirement(word.text).specifier
    return any(
        part.operator not in {">", ">=", "!="}
        and not asked.contains(part.version.removesuffix(".*"), prereleases=True)
        for part in ParsedRequirement(item.text).specifier
    )


def _from_user(text: str, option: str) -> Requirement:
    origin = f"Hub({option}=)"
    if _CREDENTIALS.search(text):
        raise ConfigError(
            f"{option}: {text!r} has credentials in it, which would end up in files",
            hint="keep them in ~/.netrc or in git's credential store",
        )
    if _URL.match(text):
        return Requirement(text, text, origin)
    if "/" in text and Path(text).expanduser().exists():
        path = Path(text).expanduser().resolve()
        return Requirement(path.name, str(path), origin)
    try:
        return parse_requirement(text, origin)
    except InvalidRequirement as error:
        raise ConfigError(
            f"{option}: {text!r} is not a requirement",
            tail=str(error),
            hint='write it as in "numpy>=1.20,<2"',
        ) from error


def _is_own_module(folder: Path, entry: str) -> bool:
    # The repository stands first on the worker's path, so its own modules are what these names mean.
    name = entry.split(".")[0]
    return name.isidentifier() and (
        (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
    )
