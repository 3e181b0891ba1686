"""``pyproject.toml`` and ``Pipfile``: what a project says of itself by the standard, by poetry and by pipenv."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from isohub.errors import HubconfError
from isohub.hubconf.poetry import requirement_text, standard_specifier
from isohub.hubconf.requirements import Declarations, Strength, Unsupported, declare, declare_python
from isohub.hubconf.toml_lines import line_of

__all__ = ["classified_pythons", "parse_pipfile", "parse_pyproject", "requirement_files_of"]

_CLASSIFIER = re.compile(r"Programming Language :: Python :: 3\.(?P<minor>\d+)")
_LINE = re.compile(r"at line (?P<line>\d+), column (?P<column>\d+)")

_Keys = tuple[str, ...]


def parse_pyproject(text: str, shown: str = "pyproject.toml") -> Declarations:
    """Read a ``pyproject.toml``; its optional groups only bound versions.

    Args:
        text: of the file.
        shown: what messages call it.

    Raises:
        HubconfError: it is not TOML, or a dependency of the project is not a requirement.
    """
    content = _load(text, shown)
    source = _Source(text, shown)
    project, poetry = _table(content, "project"), _table(content, "tool", "poetry")
    found = [*source.listed(("project", "dependencies"), project.get("dependencies"), Strength.PACKAGE)]
    for group, entries in _table(project, "optional-dependencies").items():
        found += source.listed(("project", "optional-dependencies", group), entries, Strength.ASIDE)
    found += source.python(("project", "requires-python"), project.get("requires-python"))
    found += _poetry(poetry, source)
    for keys, table in ((("project",), project), (("tool", "poetry"), poetry)):
        tested = classified_pythons(table.get("classifiers", ()))
        found += source.python((*keys, "classifiers"), tested, strong=False)
    return Declarations.joined(found)


def requirement_files_of(text: str) -> tuple[str, ...]:
    """The files of requirements that a ``pyproject.toml`` names as its project's dependencies."""
    named = _table(_load(text, "pyproject.toml"), "tool", "setuptools", "dynamic", "dependencies").get(
        "file", []
    )
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return tuple(name for name in names if isinstance(name, str))


def parse_pipfile(text: str, shown: str = "Pipfile") -> Declarations:
    """Read a ``Pipfile``; its packages for development only bound versions.

    Raises:
        HubconfError: it is not TOML.
    """
    content = _load(text, shown)
    source = _Source(text, shown)
    found = [*source.mapped(("packages",), _table(content, "packages"), Strength.MACHINE)]
    found += source.mapped(("dev-packages",), _table(content, "dev-packages"), Strength.ASIDE)
    for key in ("python_version", "python_full_version"):
        version = _table(content, "requires").get(key)
        if isinstance(version, str):
            found += source.python(("requires", key), f"=={version}.*", strong=False)
    return Declarations.joined(found)


def classified_pythons(classifiers: object) -> str | None:
    """The versions from the oldest to the newest that classifiers name; None if they name none."""
    texts = classifiers if isinstance(classifiers, list | tuple) else ()
    matches = [_CLASSIFIER.fullmatch(text.strip()) for text in texts if isinstance(text, str)]
    minors = sorted(int(match["minor"]) for match in matches if match)
    return f">=3.{minors[0]},<3.{minors[-1] + 1}" if minors else None


@dataclass(frozen=True)
class _Source:
    """The text of a file and its name, for origins with lines."""

    text: str
    shown: str

    def listed(self, keys: _Keys, entries: object, strength: Strength) -> Iterator[Declarations]:
        """A list of requirements in the standard's form."""
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, str):
                yield declare(entry, self.origin(keys, entry), strength)

    def mapped(self, keys: _Keys, entries: dict[str, Any], strength: Strength) -> Iterator[Declarations]:
        """A table of names and versions, as poetry and pipenv have them."""
        for name, value in entries.items():
            origin = self.origin((*keys, name))
            # A list has one entry for each platform or version of the interpreter.
            for one in value if isinstance(value, list) else [value]:
                optional = isinstance(one, dict) and one.get("optional") is True
                text = requirement_text(name, one)
                if text is None:
                    yield Declarations(unsupported=(Unsupported(name, origin, "a URL or a path"),))
                else:
                    yield declare(text, origin, Strength.ASIDE if optional else strength)

    def python(self, keys: _Keys, specifier: object, *, strong: bool = True) -> Iterator[Declarations]:
        """A range of versions of the interpreter."""
        if isinstance(specifier, str):
            yield declare_python(specifier, self.origin(keys), strong=strong)

    def origin(self, keys: _Keys, item: str | None = None) -> str:
        line = line_of(self.text, keys, item)
        return f"{self.shown}:{line}" if line else self.shown


def _poetry(table: dict[str, Any], source: _Source) -> Iterator[Declarations]:
    base = ("tool", "poetry")
    entries = dict(_table(table, "dependencies"))
    python = entries.pop("python", None)
    if isinstance(python, str):
        yield from source.python((*base, "dependencies", "python"), standard_specifier(python))
    yield from source.mapped((*base, "dependencies"), entries, Strength.PACKAGE)
    for group in _table(table, "group"):
        keys = ("group", group, "dependencies")
        yield from source.mapped((*base, *keys), _table(table, *keys), Strength.ASIDE)
    yield from source.mapped((*base, "dev-dependencies"), _table(table, "dev-dependencies"), Strength.ASIDE)


def _load(text: str, shown: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = _LINE.search(str(error))
        lines = text.splitlines()
        if match is None or int(match["line"]) > len(lines):
            raise HubconfError(f"{shown}: not TOML", tail=str(error)) from error
        line, column = int(match["line"]), int(match["column"])
        tail = f"{lines[line - 1][:200]}\n{' ' * min(column - 1, 200)}^ {str(error).split(' (at')[0]}"
        raise HubconfError(f"{shown}, line {line}: not TOML", tail=tail) from error
    return content


def _table(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The table at `keys`; an empty one if there is something else."""
    for key in keys:
        inner = content.get(key)
        content = inner if isinstance(inner, dict) else {}
    return content
