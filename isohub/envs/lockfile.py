"""A lock file: for each of several repositories, all that it takes to build its environment again, on another day and machine.

    isohub.lock                   what was locked, by whose name, on which Python and platform; and the hash of each of these:
    pylock.isohub-<name>.toml     the distributions of one environment, in the form of the standard (PEP 751)

The lists of distributions are files of their own, so that every tool that reads the standard reads them, and so that they are
byte for byte the environment's own, whose key depends on them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from isohub.envs.lockfile_text import LockedEntry, format_lockfile, parse_lockfile
from isohub.errors import ConfigError
from isohub.sources.tree import Pin

__all__ = ["LockedRepository", "Lockfile", "read_lockfile", "write_lockfile"]

_SIZE_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class LockedRepository:
    """One repository in a lock file, with its distributions.

    Attributes:
        entry: what the file says of it, paths of folders made absolute.
        pylock: the distributions, as text.
    """

    entry: LockedEntry
    pylock: str

    @property
    def pin(self) -> Pin:
        """Which content of which repository it is."""
        return Pin(self.entry.source, self.entry.repo, self.entry.ref, self.entry.commit)

    @property
    def digest(self) -> str:
        """Of all that decides what is built; by what names it was asked for does not."""
        parts = asdict(replace(self.entry, asked=(), pylock=""))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        ref = (self.entry.ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
        return f"{self.entry.repo} at {ref or self.entry.commit[:12]}"


@dataclass(frozen=True)
class Lockfile:
    """A lock file as it was read.

    Attributes:
        path: where it is.
        repositories: what it holds, in its order.
    """

    path: Path
    repositories: tuple[LockedRepository, ...]


def read_lockfile(path: Path) -> Lockfile:
    """Read a lock file and the lists of distributions that it names.

    Raises:
        ConfigError: one of them is missing, damaged, or not the one that was written.
    """
    entries = parse_lockfile(_read(path), path)
    return Lockfile(path, tuple(_locked(entry, path) for entry in entries))


def write_lockfile(path: Path, repositories: Sequence[LockedRepository]) -> Lockfile:
    """Write a lock file, and beside it the distributions of each repository. Lists that it replaces are removed.

    The file itself is written last and in one piece. Until then it names the lists that were there before, and one that has
    changed meanwhile no longer has the hash that it names.

    Raises:
        ConfigError: it cannot be written, or what is there is no lock file.
    """
    before = parse_lockfile(_read(path), path) if path.exists() else ()
    named = _with_names(path, repositories)
    try:
        for item in named:
            _write(path.with_name(item.entry.pylock), item.pylock)
        _write(path, format_lockfile([_as_written(item.entry, path) for item in named], path.name))
        for entry in before:
            _remove_stale(path, entry, {item.entry.pylock for item in named})
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="name a file in a folder that can be written: -o FILE",
        ) from error
    return Lockfile(path, named)


def _locked(entry: LockedEntry, path: Path) -> LockedRepository:
    beside = path.with_name(entry.pylock)
    text = _read(beside)
    if _sha256(text) != entry.pylock_sha256:
        raise ConfigError(
            f"{beside} is not the one that {path.name} was written with: its sha256 is {_sha256(text)}, and "
            f"{entry.pylock_sha256} was locked",
            hint="restore both files from where you keep them, or make them anew: isohub lock",
        )
    if entry.source == "local":
        entry = replace(entry, repo=os.path.realpath(path.absolute().parent / entry.repo))
    return LockedRepository(entry, text)


def _with_names(path: Path, repositories: Sequence[LockedRepository]) -> tuple[LockedRepository, ...]:
    """Each with a file name of its own, that no other lock file in the same folder takes."""
    named: list[LockedRepository] = []
    taken: set[str] = set()
    for item in repositories:
        plain = f"{_slug(path.stem)}-{_slug(re.split(r'[/:]', item.entry.repo)[-1].removesuffix('.git'))}"
        with_commit = f"{plain}-{item.entry.commit[:12]}"
        candidates = [
            plain,
            with_commit,
            *(f"{with_commit}-{number}" for number in range(2, len(repositories) + 2)),
        ]
        name = next(name for name in candidates if name not in taken)
        taken.add(name)
        named.append(replace(item, entry=replace(item.entry, pylock=f"pylock.{name}.toml")))
    return tuple(named)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:40] or "repo"


def _as_written(entry: LockedEntry, path: Path) -> LockedEntry:
    """A folder is named as seen from the lock file, so that the two may move together."""
    if entry.source != "local":
        return entry
    return replace(
        entry, repo=Path(os.path.relpath(entry.repo, os.path.realpath(path.absolute().parent))).as_posix()
    )


def _remove_stale(path: Path, entry: LockedEntry, current: set[str]) -> None:
    beside = path.with_name(entry.pylock)
    # What somebody has changed since is theirs.
    if entry.pylock not in current and beside.is_file() and _sha256(_read(beside)) == entry.pylock_sha256:
        beside.unlink()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
        if len(data) > _SIZE_LIMIT:
            raise ConfigError(f"{path} is larger than {_SIZE_LIMIT // 1024**2} MiB, so it is no lock")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", hint=f"make it: isohub lock REPO... -o {path.name}"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from error


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}.partial")
    try:
        partial.write_bytes(text.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
