"""One hash for the content of a folder: names, kinds, the executable bit and bytes, in one order on every machine.

A link counts as the text of its target, so nothing outside the folder is read, and what is neither file, folder nor link does not
count at all. Files that were hashed before and have not been touched since are not read again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from isohub.errors import FetchError
from isohub.sources.jsonfile import read_json, write_json

__all__ = ["content_digest"]

_IGNORED = frozenset(
    """
    .git .hg .svn __pycache__ node_modules .tox .nox .venv .eggs
    .mypy_cache .pytest_cache .ruff_cache .hypothesis .ipynb_checkpoints .DS_Store
    """.split()
)
_CHUNK = 1 << 20
# A file that changed this short a time ago could change again without a new time stamp.
_SETTLED_NS = 2_000_000_000


def content_digest(folder: Path, *, ignore: bool = True, memory: Path | None = None) -> str:
    """Hash a folder.

    Args:
        ignore: leave out what tools put into a checkout: repositories of git, byte code, virtual environments, caches.
        memory: the file that keeps the hashes of single files until the next time.

    Returns:
        64 hexadecimal digits.

    Raises:
        FetchError: a file cannot be read.
    """
    known = (read_json(memory) if memory else None) or {}
    kept: dict[str, list[object]] = {}
    whole = hashlib.sha256()
    for name, path, status in _walk(folder, "", ignore):
        try:
            if stat.S_ISLNK(status.st_mode):
                kind, content = b"link", hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
            else:
                kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
                # The time of the last change to the inode is there, too: tools that copy set the other one back.
                stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
                remembered = known.get(name)
                if (
                    isinstance(remembered, list)
                    and remembered[:-1] == stamp
                    and isinstance(remembered[-1], str)
                ):
                    content = remembered[-1]
                else:
                    content = _file_digest(path)
                if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
                    kept[name] = [*stamp, content]
        except FileNotFoundError:
            continue  # deleted since the folder was listed
        except OSError as error:
            raise FetchError(f"cannot read {path}: {error.strerror}") from error
        whole.update(b"%s\0%s\0%s\n" % (os.fsencode(name), kind, content.encode()))
    if memory and kept != known:
        try:
            write_json(memory, dict(kept))
        except FetchError:
            pass  # it only saves time
    return whole.hexdigest()


def _walk(folder: Path, prefix: str, ignore: bool) -> Iterator[tuple[str, Path, os.stat_result]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise FetchError(f"cannot list {folder}: {error.strerror}") from error
    if ignore and prefix and any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if ignore and (entry.name in _IGNORED or entry.name.endswith((".pyc", ".pyo", ".egg-info"))):
            continue
        name, path = prefix + entry.name, Path(entry.path)
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(path, f"{name}/", ignore)
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield name, path, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
