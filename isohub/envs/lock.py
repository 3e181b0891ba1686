"""A lock: the exact distributions of an environment, with the hash of every file (``pylock.toml``, PEP 751).

It is good for one version of Python on one platform.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

__all__ = ["Lock", "LockedPackage", "parse_lock"]

_FILES = ("wheels", "sdist", "archive")
# These have no file that could be hashed: a commit of a repository, or a folder of the user's own.
_SOURCES = ("vcs", "directory")
_NAME = re.compile(r'(?m)^name = "([^"]*)"')


@dataclass(frozen=True)
class LockedPackage:
    """One distribution.

    Attributes:
        name: normalised.
        version: empty for a folder of the user's, which tells it only when it is built.
        built: whether it has to be built here, since there is no wheel for it.
        url: of the one file that it is; empty if it is one of an index.
    """

    name: str
    version: str
    built: bool = False
    url: str = ""

    @property
    def requirement(self) -> str:
        """What asks for exactly this one."""
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Lock:
    """A lock, as text and as read.

    Attributes:
        text: the file.
        packages: what it holds, by name.
    """

    text: str
    packages: tuple[LockedPackage, ...]

    @property
    def digest(self) -> str:
        """Of the whole text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def blocks(self) -> list[str]:
        """The text of each distribution."""
        return self._pieces()[1:]

    def parted(self) -> tuple[Lock, Lock]:
        """What of it is ready, and what has to be built here."""
        head, *blocks = self._pieces()
        built = {item.name for item in self.packages if item.built}
        parts: tuple[list[str], list[str]] = ([head], [head])
        for block in blocks:
            name = _NAME.search(block)
            parts[name is not None and canonicalize_name(name[1]) in built].append(block)
        ready, sources = (parse_lock("".join(part)) for part in parts)
        return ready, sources

    def _pieces(self) -> list[str]:
        return re.split(r"(?m)^(?=\[\[packages\]\])", self.text)

    def version(self, name: str) -> str | None:
        """The locked version of a distribution; None if it is not in here."""
        return next((item.version for item in self.packages if item.name == canonicalize_name(name)), None)


def parse_lock(text: str) -> Lock:
    """Read a lock.

    Raises:
        ValueError: it is no lock, or a file in it has no hash.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    table = tomllib.loads(text)
    if not str(table.get("lock-version", "")).startswith("1."):
        raise ValueError("not a lock of version 1")
    packages = [_package(item) for item in table.get("packages", [])]
    return Lock(text, tuple(sorted(packages, key=lambda item: item.name)))


def _package(item: dict[str, Any]) -> LockedPackage:
    files = [file for kind in _FILES for file in _listed(item.get(kind))]
    if not files and not any(kind in item for kind in _SOURCES):
        raise ValueError(f"{item.get('name')} has no file")
    if any(not file.get("hashes") for file in files):
        raise ValueError(f"a file of {item.get('name')} has no hash")
    archive = item.get("archive", {})
    url, path = str(archive.get("url", "")), str(archive.get("path", ""))
    url = url or (Path(path).as_uri() if path.startswith("/") else path)
    built = not item.get("wheels") and not url.endswith(".whl")
    return LockedPackage(canonicalize_name(item["name"]), str(item.get("version", "")), built, url)


def _listed(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [value] if value else []
