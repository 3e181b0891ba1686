"""Reads a recipe's file. What is wrong in it is refused with its line and key, and nothing that is not known is passed over."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from isohub.envs.pythons import matcher
from isohub.envs.recipe_places import read_recipe_bytes
from isohub.envs.recipes import Build, Kwarg, Match, Recipe
from isohub.errors import ConfigError, HubconfError, PythonNotFound
from isohub.hubconf.requirements import Requirement, parse_requirement
from isohub.hubconf.syntax import parse
from isohub.hubconf.toml_lines import line_of

__all__ = ["parse_recipe", "read_recipe"]

_KEYS = "python requirements constraints exclude prelude smoke match build env kwargs".split()
_MATCH_KEYS = "repositories versions refs commits after before files".split()
_BUILD_KEYS = "requires env".split()
_KWARG_KEYS = "name value requires".split()
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_Keys = tuple[str | int, ...]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        text = read_recipe_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not valid utf-8") from error
    return parse_recipe(text, path)


def parse_recipe(text: str, path: Path) -> Recipe:
    """Read the text of a recipe; `path` is what messages call it.

    Raises:
        ConfigError: something in it is wrong.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return _Reader(text, path).recipe(table)


class _Reader:
    """Knows the text, so that errors and origins can name lines."""

    def __init__(self, text: str, path: Path) -> None:
        self._content = text
        self._path = path

    def recipe(self, table: dict[str, Any]) -> Recipe:
        self._known(table, (), _KEYS)
        return Recipe(
            path=self._path,
            match=self._match(self._table(table, ("match",))),
            python=self._python(table),
            requirements=self._requirements(table, ("requirements",)),
            constraints=self._constraints(table),
            exclude=frozenset(canonicalize_name(item) for item in self._texts(table, ("exclude",))),
            builds=tuple(self._builds(self._table(table, ("build",)))),
            env=self._env(table, ("env",)),
            prelude=self._source(table, "prelude"),
            kwargs=tuple(self._kwargs(table)),
            smoke=self._source(table, "smoke"),
        )

    # ---- the parts

    def _match(self, table: dict[str, Any]) -> Match:
        self._known(table, ("match",), _MATCH_KEYS)
        repositories = self._texts(table, ("match", "repositories"))
        for name in repositories:
            if not _REPOSITORY.fullmatch(name):
                raise self._fault(("match", "repositories"), f"{name!r} is not owner/name", item=name)
        commits = self._texts(table, ("match", "commits"))
        for commit in commits:
            if not _COMMIT.fullmatch(commit):
                message = f"{commit!r} is not a commit's id, or at least 7 digits of one"
                raise self._fault(("match", "commits"), message, item=commit)
        files = self._texts(table, ("match", "files"))
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise self._fault(("match", "files"), f"{name!r} leads out of the repository", item=name)
        if table and not (repositories or files):
            raise self._fault(
                ("match",), "it names no repository", hint="add repositories = [...], files = [...] or both"
            )
        return Match(
            repositories=repositories,
            versions=self._versions(table),
            refs=self._texts(table, ("match", "refs")),
            commits=commits,
            after=self._date(table, ("match", "after")),
            before=self._date(table, ("match", "before")),
            files=files,
        )

    def _versions(self, table: dict[str, Any]) -> SpecifierSet | None:
        keys = ("match", "versions")
        text = self._text(table, keys)
        try:
            return None if text is None else SpecifierSet(text)
        except InvalidSpecifier as error:
            raise self._fault(
                keys, f"{text!r} is not a range of versions", hint='write it as ">=0.10,<0.13"'
            ) from error

    def _python(self, table: dict[str, Any]) -> str | None:
        text = self._text(table, ("python",))
        try:
            if text is not None:
                matcher(text)
        except (ConfigError, PythonNotFound) as error:
            hint = 'write it as "3.10" or ">=3.8,<3.11"'
            raise self._fault(
                ("python",), f"{text!r} is no version or range that workers run on", hint=hint
            ) from error
        return text

    def _requirements(self, table: dict[str, Any], keys: _Keys, why: str = "") -> tuple[Requirement, ...]:
        return tuple(self._requirement(text, keys, why) for text in self._texts(table, keys))

    def _constraints(self, table: dict[str, Any]) -> tuple[Requirement, ...]:
        keys = ("constraints",)
        bounds = self._requirements(table, keys)
        for text, item in zip(table.get("constraints", ()), bounds, strict=True):
            if ParsedRequirement(item.text).extras:
                raise self._fault(keys, f"{text!r} has extras, and a constraint asks for nothing", item=text)
        return bounds

    def _builds(self, table: dict[str, Any]) -> Iterator[Build]:
        for name, build in table.items():
            keys: _Keys = ("build", name)
            if not isinstance(build, dict):
                raise self._fault(
                    keys, "not a table", hint=f'write [build.{name}] and below it requires = ["..."]'
                )
            self._known(build, keys, _BUILD_KEYS)
            requires = self._requirements(build, (*keys, "requires"))
            yield Build(
                canonicalize_name(name),
                tuple(item.text for item in requires),
                self._env(build, (*keys, "env")),
            )

    def _kwargs(self, table: dict[str, Any]) -> Iterator[Kwarg]:
        entries = table.get("kwargs", [])
        if not isinstance(entries, list):
            raise self._fault(
                ("kwargs",), "not an array of tables", hint="write [[kwargs]] above each of them"
            )
        for index, entry in enumerate(entries):
            keys: _Keys = ("kwargs", index)
            if not isinstance(entry, dict):
                raise self._fault(keys, "not a table", hint="write [[kwargs]] above each of them")
            self._known(entry, keys, _KWARG_KEYS)
            name, value = self._text(entry, (*keys, "name")), entry.get("value")
            if name is None or not name.isidentifier():
                raise self._fault((*keys, "name"), f"{name!r} is not the name of an argument")
            if not isinstance(value, str | int | float | bool | None):
                raise self._fault((*keys, "value"), f"{value!r} is neither a text, a number nor a yes or no")
            requires = self._requirements(
                entry, (*keys, "requires"), f", for {name}={'...' if value is None else repr(value)}"
            )
            if not requires:
                raise self._fault((*keys, "requires"), "it says what the argument needs, and is missing")
            yield Kwarg(name, value, requires)

    def _env(self, table: dict[str, Any], keys: _Keys) -> tuple[tuple[str, str], ...]:
        found = self._table(table, keys)
        for name, value in found.items():
            if not _VARIABLE.fullmatch(name):
                raise self._fault((*keys, name), "not the name of a variable")
            if not isinstance(value, str) or "\0" in value:
                raise self._fault(
                    (*keys, name), f"{value!r} is not a text", hint=f'write it in quotes: "{value}"'
                )
        return tuple(sorted(found.items()))

    def _source(self, table: dict[str, Any], key: str) -> str:
        text = self._text(table, (key,)) or ""
        try:
            parse(text.encode(), key)
        except HubconfError as error:
            raise self._fault((key,), f"not Python: {error.message}", tail=error.tail) from error
        return text

    # ---- values

    def _known(self, table: dict[str, Any], keys: _Keys, known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
                raise self._fault((*keys, key), "unknown key", hint=hint)

    def _table(self, table: dict[str, Any], keys: _Keys) -> dict[str, Any]:
        found: dict[str, Any] = self._typed(table, keys, lambda value: isinstance(value, dict), "a table")
        return found or {}

    def _text(self, table: dict[str, Any], keys: _Keys) -> str | None:
        found: str | None = self._typed(table, keys, lambda value: isinstance(value, str), "a text")
        return found

    def _texts(self, table: dict[str, Any], keys: _Keys) -> tuple[str, ...]:
        def is_texts(value: Any) -> bool:
            return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)

        return tuple(item.strip() for item in self._typed(table, keys, is_texts, "an array of texts") or ())

    def _date(self, table: dict[str, Any], keys: _Keys) -> float | None:
        found: date | None = self._typed(
            table, keys, lambda value: isinstance(value, date), "a date, such as 2021-06-30"
        )
        if found is None:
            return None
        moment = found if isinstance(found, datetime) else datetime.combine(found, time())
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()

    def _typed(self, table: dict[str, Any], keys: _Keys, fits: Callable[[Any], bool], what: str) -> Any:
        value = table.get(str(keys[-1]))
        if value is not None and not fits(value):
            raise self._fault(keys, f"{value!r:.80} is not {what}")
        return value

    def _requirement(self, text: str, keys: _Keys, why: str) -> Requirement:
        line = line_of(self._content, keys, text)
        try:
            return parse_requirement(text, f"{self._path.name}:{line}{why}")
        except InvalidRequirement as error:
            raise self._fault(
                keys, "not a requirement", item=text, tail=str(error), hint='write it as in "numpy>=1.20,<2"'
            ) from error

    def _fault(
        self,
        keys: _Keys,
        message: str,
        *,
        item: str | None = None,
        tail: str | None = None,
        hint: str | None = None,
    ) -> ConfigError:
        line = line_of(self._content, keys, item)
        named = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
        where = f"{self._path}, line {line}" if line else f"{self._path}"
        return ConfigError(f"{where}: {named}: {message}", tail=tail, hint=hint)
