"""Environment files of conda (environment.yml): what the author's machine had. No object is made of what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from isohub.errors import HubconfError
from isohub.hubconf.conda import declare_conda
from isohub.hubconf.requirement_files import RequirementReader, is_aside
from isohub.hubconf.requirements import Declarations, Strength
from isohub.hubconf.textfile import read_text

__all__ = ["read_environment_files"]


def read_environment_files(folder: Path) -> Declarations:
    """Read the environment files in a repository's root; those for development and the like are passed over.

    Raises:
        HubconfError: one is not YAML; the message has the line and a caret.
    """
    root = folder.resolve()
    found = []
    for path in sorted([*root.glob("environment*.y*ml"), *root.glob("conda*.y*ml")]):
        if path.is_file() and path.resolve().is_relative_to(root) and not is_aside(path.stem):
            found.append(_Reader(root, path.name).read(read_text(path, path.name)))
    return Declarations.joined(found)


class _Reader:
    def __init__(self, folder: Path, shown: str) -> None:
        self._shown = shown
        self._pip = RequirementReader(folder, Strength.MACHINE)

    def read(self, text: str) -> Declarations:
        found = []
        for node in _items(self._compose(text), "dependencies"):
            if isinstance(node, yaml.ScalarNode):
                found.append(declare_conda(node.value, self._origin(node), Strength.MACHINE))
            for line in _items(node, "pip"):
                if isinstance(line, yaml.ScalarNode) and line.value.strip():
                    self._pip.line(line.value.strip(), self._origin(line), PurePosixPath(self._shown))
        return Declarations.joined([*found, self._pip.found])

    def _origin(self, node: yaml.Node) -> str:
        return f"{self._shown}:{node.start_mark.line + 1}"

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"{self._shown}, line {mark.line + 1}" if mark else self._shown
            raise HubconfError(f"{where}: not YAML", tail=_caret(text, mark) or str(error)) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise HubconfError(f"{self._shown}: not YAML", tail=str(error)) from error


def _items(node: yaml.Node | None, key: str) -> Iterator[yaml.Node]:
    """The items of the list that a mapping has under `key`."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode) and name.value == key and isinstance(value, yaml.SequenceNode):
            yield from value.value


def _caret(text: str, mark: yaml.Mark | None) -> str | None:
    lines = text.splitlines()
    if mark is None or mark.line >= len(lines):
        return None
    return f"{lines[mark.line][:200]}\n{' ' * min(mark.column, 200)}^"
