"""What an environment's own files were when it was built, by their hashes: those that no distribution's RECORD has.

These are the working copy of the repository, the lock, the prelude, the links to the interpreter, the commands, the stand-ins for
pip, and the RECORD of each distribution. What the repository writes beside its files is its own affair and not recorded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from isohub.envs.folder import EnvironmentFolder
from isohub.sources.jsonfile import read_json, write_json

__all__ = ["file_hash", "recorded_faults", "site_packages", "write_record"]

_CHUNK = 1 << 20
_NO_FILE = "nothing"


def write_record(folder: EnvironmentFolder, tree: Path) -> None:
    """Write it, once all else but the manifest is there.

    Args:
        folder: the environment's.
        tree: the repository; of its working copy, only what comes from there is recorded.

    Raises:
        OSError, FetchError: something cannot be read or written.
    """
    names = sorted(str(path.relative_to(folder.path)) for path in _own_files(folder, tree))
    write_json(folder.record, {"files": {name: _content(folder.path / name) for name in names}})


def recorded_faults(folder: EnvironmentFolder) -> Iterator[tuple[str, str]]:
    """Each file that is not what it was: its name in the folder, and what is wrong with it."""
    record = (read_json(folder.record) or {}).get("files")
    if not isinstance(record, dict):
        return  # built before there was a record
    for name, content in record.items():
        found = _content(folder.path / name)
        if found == _NO_FILE:
            yield name, "missing"
        elif found != content:
            yield name, "changed"


def site_packages(folder: EnvironmentFolder) -> Path:
    """Where its distributions are.

    Raises:
        FileNotFoundError: nowhere.
    """
    pattern = "Lib/site-packages" if os.name == "nt" else "lib/python3.*/site-packages"
    found = next(folder.environment.glob(pattern), None)
    if found is None:
        raise FileNotFoundError(f"{folder.environment} has no site-packages")
    return found


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file's content.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _own_files(folder: EnvironmentFolder, tree: Path) -> Iterator[Path]:
    yield from (path for path in (folder.lock, folder.prelude) if path.exists())
    yield folder.environment / "pyvenv.cfg"
    yield from (path for path in folder.python.parent.iterdir() if _is_file(path))
    installed = site_packages(folder)
    yield from installed.glob("*.dist-info/RECORD")
    standin = installed / "pip"
    if not [*installed.glob("pip-*.dist-info")]:
        yield from (path for path in standin.glob("*.py") if _is_file(path))
    for parent, folders, files in os.walk(folder.repo):
        origin = tree / Path(parent).relative_to(folder.repo)
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*files, *links):
            if _is_file(Path(parent, name)) and _is_file(origin / name) and not name.endswith(".pyc"):
                yield Path(parent, name)


def _content(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link={path.readlink()}"
        return f"sha256={file_hash(path).hex()}" if path.is_file() else _NO_FILE
    except OSError:
        return _NO_FILE


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()
