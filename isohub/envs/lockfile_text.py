"""The text of a lock file: TOML, one ``[[repository]]`` each. It is read as strictly as it is written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohub.errors import ConfigError, RefError
from isohub.sources.ref import check_ref, is_commit_id, parse_git, parse_github

__all__ = ["FORMAT", "LockedBuild", "LockedEntry", "LockedRecipe", "format_lockfile", "parse_lockfile"]

FORMAT = 1
"""Raised when an older isohub would misunderstand what is written."""

_SOURCES = ("github", "git", "local", "builtin")
_HEADER = """\
# What `isohub lock` found. `isohub sync {name}` and `isohub.Hub(lock="{name}")` build exactly this again.
"""


@dataclass(frozen=True)
class LockedBuild:
    """How a recipe has one distribution built from its source."""

    name: str
    requires: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LockedRecipe:
    """What is left of a recipe once everything is resolved.

    Attributes:
        name: of the recipe, for messages.
        digest: of what follows.
        env: variables for the hubconf's process.
        prelude: Python that runs there before the hubconf.
        builds: for distributions that are built from source.
    """

    name: str
    digest: str
    env: tuple[tuple[str, str], ...] = ()
    prelude: str = ""
    builds: tuple[LockedBuild, ...] = ()


@dataclass(frozen=True)
class LockedEntry:
    """What a lock file says of one repository.

    Attributes:
        source, repo, ref, commit: as in a pin.
        asked: the names by which it was asked for, without credentials.
        tree: the hash of its content.
        python: the version of the interpreter.
        implementation: such as "cpython".
        platform: as in ``sysconfig.get_platform()``.
        torch_backend: as it was asked for.
        pylock: the file with the distributions, beside the lock file.
        pylock_sha256: its hash.
        recipe: the one that it was built by.
    """

    source: str
    repo: str
    ref: str | None
    commit: str
    asked: tuple[str, ...]
    tree: str
    python: str
    implementation: str
    platform: str
    torch_backend: str | None
    pylock: str
    pylock_sha256: str
    recipe: LockedRecipe | None = None


# ---- writing


def format_lockfile(entries: Sequence[LockedEntry], name: str = "isohub.lock") -> str:
    """The text of a lock file.

    Args:
        entries: what it holds.
        name: what its first line calls it.
    """
    parts = [_HEADER.format(name=name), f"version = {FORMAT}\n"]
    parts += ["".join(f"{line}\n" for line in _entry_lines(entry)) for entry in entries]
    return "\n".join(parts)


def _entry_lines(entry: LockedEntry) -> Iterator[str]:
    yield "[[repository]]"
    yield f"source = {_text(entry.source)}"
    yield f"repo = {_text(entry.repo)}"
    if entry.asked:
        yield f"asked = {_array(entry.asked)}"
    if entry.ref is not None:
        yield f"ref = {_text(entry.ref)}"
    yield f"commit = {_text(entry.commit)}"
    yield f"tree = {_text(entry.tree)}"
    yield f"python = {_text(entry.python)}"
    yield f"implementation = {_text(entry.implementation)}"
    yield f"platform = {_text(entry.platform)}"
    if entry.torch_backend is not None:
        yield f"torch-backend = {_text(entry.torch_backend)}"
    yield f"pylock = {_text(entry.pylock)}"
    yield f"pylock-sha256 = {_text(entry.pylock_sha256)}"
    if entry.recipe is not None:
        yield from _recipe_lines(entry.recipe)


def _recipe_lines(recipe: LockedRecipe) -> Iterator[str]:
    yield ""
    yield "[repository.recipe]"
    yield f"name = {_text(recipe.name)}"
    yield f"digest = {_text(recipe.digest)}"
    if recipe.env:
        yield f"env = {_inline(recipe.env)}"
    if recipe.prelude:
        yield f"prelude = {_long_text(recipe.prelude)}"
    for build in recipe.builds:
        yield ""
        yield "[[repository.recipe.build]]"
        yield f"name = {_text(build.name)}"
        if build.requires:
            yield f"requires = {_array(build.requires)}"
        if build.env:
            yield f"env = {_inline(build.env)}"


def _text(text: str) -> str:
    # TOML's basic strings are JSON's, but for one character that has to be escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _long_text(text: str) -> str:
    """Lines stay lines where they can, since people review what they commit."""
    if (
        "'''" in text
        or text.endswith("'")
        or re.search(r"[^\t\n\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]", text)
    ):
        return _text(text)
    return f"'''\n{text}'''"


def _array(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _inline(pairs: Sequence[tuple[str, str]]) -> str:
    return f"{{ {', '.join(f'{_text(name)} = {_text(value)}' for name, value in pairs)} }}"


# ---- reading


def parse_lockfile(text: str, path: Path) -> tuple[LockedEntry, ...]:
    """Read the text of a lock file.

    Args:
        path: what messages call it.

    Raises:
        ConfigError: it is no lock file, or something in it is not what isohub writes; the line is named.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    version = whole.get("version")
    if type(version) is int and version > FORMAT:
        raise ConfigError(f"{path} was written by a newer isohub (format {version})", hint="upgrade isohub")
    top = _Table(whole, (), text, path)
    top.only("version", "repository")
    if version != FORMAT:
        raise top.fault(
            "version", f"is {version!r}, not {FORMAT}", hint="is it a lock of isohub's? isohub lock makes one"
        )
    return tuple(_entry(table) for table in top.tables("repository"))


class _Table:
    """A table of the file, which knows where it stands in it."""

    def __init__(self, values: Mapping[str, Any], keys: tuple[str | int, ...], text: str, path: Path) -> None:
        self._values, self._keys, self._text, self._path = values, keys, text, path

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def fault(self, key: str, what: str, *, hint: str | None = None) -> ConfigError:
        from isohub.hubconf.toml_lines import line_of

        line = line_of(self._text, (*self._keys, key))
        place = f"{self._path}:{line}" if line else str(self._path)
        within = "".join(f" {key + 1}" if isinstance(key, int) else f", {key}" for key in self._keys)
        within = f"{within.removeprefix(', ')}: " if within else ""
        return ConfigError(
            f"{place}: {within}{key} {what}", hint=hint or "restore the file, or make it anew: isohub lock"
        )

    def only(self, *known: str) -> None:
        """Refuse every other key: what it says would not be done."""
        for key in self._values:
            if key not in known:
                raise self.fault(key, "is no key of a lock file")

    def text(self, key: str, fits: Callable[[str], object] | None = None, what: str = "") -> str:
        """The text of that key, which must fit."""
        value = self._values.get(key)
        if value is None:
            raise self.fault(key, "is missing")
        if not isinstance(value, str) or not value:
            raise self.fault(key, f"is {value!r}, not a text")
        if not _fits(value, fits):
            raise self.fault(key, f"is {value!r}, {what}")
        return value

    def optional(self, key: str, fits: Callable[[str], object] | None = None, what: str = "") -> str | None:
        """The same, where the key may be missing."""
        return self.text(key, fits, what) if key in self else None

    def texts(self, key: str, fits: Callable[[str], object] | None = None, what: str = "") -> tuple[str, ...]:
        """The texts of an array, which may be missing; each must fit."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fault(key, "is not an array of texts")
        for item in value:
            if not _fits(item, fits):
                raise self.fault(key, f"has {item!r}, {what}")
        return tuple(value)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """The names and texts of a table, which may be missing."""
        value = self._values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self.fault(key, "is not a table of texts")
        return tuple(value.items())

    def table(self, key: str) -> _Table | None:
        """A table in it, which may be missing."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fault(key, "is not a table")
        return None if value is None else _Table(value, (*self._keys, key), self._text, self._path)

    def tables(self, key: str) -> tuple[_Table, ...]:
        """The tables of an array, which may be missing."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fault(key, "is not an array of tables")
        return tuple(
            _Table(item, (*self._keys, key, number), self._text, self._path)
            for number, item in enumerate(value)
        )


def _entry(table: _Table) -> LockedEntry:
    table.only(
        *"source repo asked ref commit tree python implementation platform torch-backend".split(),
        *"pylock pylock-sha256 recipe".split(),
    )
    source = table.text("source", _SOURCES.__contains__, f"none of {', '.join(_SOURCES)}")
    recipe = table.table("recipe")
    return LockedEntry(
        source=source,
        repo=table.text("repo", lambda text: _is_repo(source, text), "which is no name of a repository"),
        ref=table.optional("ref", _is_ref, "which is no ref"),
        commit=table.text("commit", is_commit_id, "which is no commit's id"),
        asked=table.texts("asked", lambda text: _is_name(source, text), "which is no name of a repository"),
        tree=table.text("tree", _pattern(r"sha256:[0-9a-f]{64}"), 'not "sha256:" and 64 digits'),
        python=table.text("python", _pattern(r"3\.\d+\.\d+((a|b|rc)\d+)?"), "not a version of Python"),
        implementation=table.text("implementation", _pattern(r"[a-z]+"), "not the name of one"),
        platform=table.text("platform", _pattern(r"[A-Za-z0-9_.-]+"), "not the name of one"),
        torch_backend=table.optional("torch-backend", _pattern(r"[a-z0-9.]+"), "not the name of one"),
        pylock=table.text("pylock", _pattern(r"pylock\.[A-Za-z0-9_-]+\.toml"), "not pylock.NAME.toml beside the file"),
        pylock_sha256=table.text("pylock-sha256", _pattern(r"[0-9a-f]{64}"), "not 64 digits"),
        recipe=None if recipe is None else _recipe(recipe),
    )  # fmt: skip


def _recipe(table: _Table) -> LockedRecipe:
    table.only("name", "digest", "env", "prelude", "build")
    builds = []
    for item in table.tables("build"):
        item.only("name", "requires", "env")
        builds.append(LockedBuild(item.text("name"), item.texts("requires"), item.pairs("env")))
    return LockedRecipe(
        name=table.text("name"),
        digest=table.text("digest", _pattern(r"[0-9a-f]{64}"), "not 64 digits"),
        env=table.pairs("env"),
        prelude=table.optional("prelude") or "",
        builds=tuple(builds),
    )


def _fits(text: str, fits: Callable[[str], object] | None) -> bool:
    try:
        return fits is None or bool(fits(text))
    except RefError:
        return False


def _pattern(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _is_ref(text: str) -> bool:
    check_ref(text)
    return text.isprintable()


def _is_name(source: str, text: str) -> bool:
    if source == "github":
        return bool(parse_github(text).name)
    return source == "git" and bool(parse_git(text).url)


def _is_repo(source: str, text: str) -> bool:
    """Whether it is a canonical name of the source; a password in it would not be."""
    if source == "github":
        parts = text.rsplit("/", 2)
        return len(parts) == 3 and text.isprintable() and parse_github("/".join(parts[1:])).ref is None
    if source == "git":
        name = parse_git(text)
        return (name.url, name.ref) == (text, None)
    return text.isprintable()
