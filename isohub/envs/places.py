"""Where interpreters may be. Only names are read here; whether a file is an interpreter is asked elsewhere.

A place that only exists on one system has one function here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["candidates", "searched"]

_NAMES = ("python3", "python")
_VERSIONED = re.compile(r"python(\d+(?:\.\d+)?)(?:\.exe)?$")
# Folders of pyenv's and uv's; an environment of conda's may be called torch-1.13.
_FOLDER_VERSION = re.compile(r"(?:cpython-)?(3\.\d+)(?=[.-]|$)")


def candidates() -> Iterator[tuple[Path, str | None]]:
    """Files that may be interpreters, with the ``X`` or ``X.Y`` that their name claims, if it claims one."""
    for folder in _path_folders():
        yield from _in_path_folder(folder)
    for root in _roots():
        try:
            installed = sorted(root.iterdir(), reverse=True)
        except OSError:
            continue
        for prefix in installed:
            claimed = _FOLDER_VERSION.match(prefix.name)
            for name in _NAMES:
                path = _executable(prefix, name)
                if path.is_file():
                    yield path, claimed[1] if claimed else None
                    break
    for prefix in _conda_prefixes():
        yield _executable(prefix, "python"), None
    yield from ((path, None) for path in _launcher_paths())


def searched() -> list[str]:
    """The places, in words for a person."""
    places = ["PATH", *(str(root) for root in _roots() if root.is_dir())]
    places += [str(prefix) for prefix in _conda_prefixes() if prefix.is_dir()]
    return [*places, "the py launcher"] if os.name == "nt" else places


def _path_folders() -> list[Path]:
    # What pyenv's shims lead to is found under its versions, without starting a shell for each.
    shims = {root / "shims" for root in _pyenv_roots()}
    return [folder for folder in _path_entries() if folder not in shims]


def _path_entries() -> list[Path]:
    # Relative ones would let the working directory, which may be a stranger's checkout, name our interpreter.
    folders = (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry)
    return list(dict.fromkeys(folder for folder in folders if folder.is_absolute()))


def _in_path_folder(folder: Path) -> Iterator[tuple[Path, str | None]]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - hundreds of names, of which few become paths
    except OSError:
        return
    for name in names:
        if claimed := _VERSIONED.match(name):
            yield folder / name, claimed[1]
        elif name in {"python", "python.exe"}:
            yield folder / name, None


def _pyenv_roots() -> list[Path]:
    """Where pyenv is: as its variable says or by default, and where its shims are on PATH.

    A service or a job often has the PATH of its user, and neither the variable nor the home.
    """
    named = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    shims = (folder.parent for folder in _path_entries() if folder.name == "shims")
    return list(dict.fromkeys([named, *(root for root in shims if (root / "versions").is_dir())]))


def _roots() -> list[Path]:
    """Folders that hold one installation a folder."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    roots = [
        *(root / "versions" for root in _pyenv_roots()),
        uv,
        *(conda / "envs" for conda in _conda_roots()),
    ]
    return [*roots, *_framework_roots(), *_windows_roots()]


def _conda_roots() -> list[Path]:
    home = Path.home()
    roots = [home / name for name in ("miniconda3", "anaconda3", "miniforge3", "mambaforge", ".conda")]
    roots += [Path("/opt/conda"), Path("/opt/miniconda3")] if os.name == "posix" else []
    if named := os.environ.get("MAMBA_ROOT_PREFIX"):
        roots.insert(0, Path(named))
    if program := os.environ.get("CONDA_EXE"):
        roots.insert(0, Path(program).parent.parent)
    return list(dict.fromkeys(roots))


def _conda_prefixes() -> list[Path]:
    active = os.environ.get("CONDA_PREFIX")
    return [*([Path(active)] if active else []), *_conda_roots()]


def _framework_roots() -> list[Path]:
    if sys.platform == "darwin":
        folders = ("/Library/Frameworks", "/opt/homebrew/Frameworks")
        return [Path(folder, "Python.framework", "Versions") for folder in folders]
    return []


def _windows_roots() -> list[Path]:
    if os.name != "nt":
        return []
    data, home = os.environ.get("APPDATA"), Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv" / "pyenv-win") / "versions"
    return [pyenv, *([Path(data) / "uv" / "data" / "python"] if data else [])]


def _executable(prefix: Path, name: str) -> Path:
    return prefix / f"{name}.exe" if os.name == "nt" else prefix / "bin" / name


def _launcher_paths() -> list[Path]:
    """What the ``py`` launcher of Windows knows."""
    if os.name != "nt":
        return []
    try:
        answer = subprocess.run(
            ["py", "-0p"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = (re.search(r"([A-Za-z]:\\.*\.exe)\s*$", line) for line in answer.stdout.splitlines())
    return [Path(match[1]) for match in found if match]
