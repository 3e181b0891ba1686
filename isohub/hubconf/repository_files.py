"""All that the files of a repository state about what it needs: requirement files, package metadata, environment files."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from isohub.hubconf.pyproject import parse_pipfile, parse_pyproject, requirement_files_of
from isohub.hubconf.requirement_files import RequirementReader, read_requirement_files
from isohub.hubconf.requirements import Declarations, Strength, declare_python
from isohub.hubconf.setup_files import parse_setup_cfg, parse_setup_py
from isohub.hubconf.textfile import read_text

__all__ = ["read_repository_files"]

_VERSION = re.compile(r"(?:python-)?(?P<version>3(?:\.\d+)*)\s*")


def read_repository_files(folder: Path) -> Declarations:
    """Read the files in a repository's root that state requirements, and what they include. Nothing is run.

    Args:
        folder: the repository. Nothing outside it is read.

    Raises:
        HubconfError: one of them cannot be parsed; the message has file and line, and a caret under the fault.
    """
    root = folder.resolve()
    found = [*_packaging(root), read_requirement_files(root)]
    if any(root.glob("*.y*ml")):
        # The parser of YAML takes as long to import as all the rest takes to run.
        from isohub.hubconf.environment_files import read_environment_files

        found.append(read_environment_files(root))
    if text := _text(root, "Pipfile"):
        found.append(parse_pipfile(text))
    for name in (".python-version", "runtime.txt"):
        found += [
            _python(line, f"{name}:{number}") for number, line in enumerate(_text(root, name).splitlines(), 1)
        ]
    return Declarations.joined(found)


def _packaging(root: Path) -> list[Declarations]:
    found: list[Declarations] = []
    files: list[str] = []
    if text := _text(root, "pyproject.toml"):
        found.append(parse_pyproject(text))
        files += requirement_files_of(text)
    if text := _text(root, "setup.cfg"):
        declared = parse_setup_cfg(text)
        found.append(declared.declarations)
        files += declared.requirement_files
    if _is_inside(root, "setup.py"):
        declared = parse_setup_py((root / "setup.py").read_bytes())
        found.append(declared.declarations)
        files += declared.requirement_files
    reader = RequirementReader(root, Strength.PACKAGE)
    for name in dict.fromkeys(files):
        if _is_inside(root, name):
            reader.file(PurePosixPath(name))
    return [*found, reader.found]


def _text(root: Path, name: str) -> str:
    return read_text(root / name, name) if _is_inside(root, name) else ""


def _is_inside(root: Path, name: str) -> bool:
    path = root / name
    return path.is_file() and path.resolve().is_relative_to(root)


def _python(line: str, origin: str) -> Declarations:
    match = _VERSION.fullmatch(line.strip())
    return declare_python(f"=={match['version']}.*", origin, strong=False) if match else Declarations()
