"""Damaged environments: files that are not what their distributions' RECORDs, or the environment's own record, say.

Byte code is not looked at, since Python writes it itself. What nobody recorded, such as a file that a worker wrote, is no damage.
"""

from __future__ import annotations

import base64
import csv
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from isohub.envs.folder import EnvironmentFolder
from isohub.envs.folderlocks import Use
from isohub.envs.manifest import read_manifest
from isohub.envs.record import file_hash, recorded_faults, site_packages
from isohub.envs.store import BrokenEnvironment, Environment
from isohub.errors import BuildError

__all__ = ["Fault", "faults_of"]

_REMOVAL_LIMIT = 10.0


@dataclass(frozen=True)
class Fault:
    """A file that is not what it was.

    Attributes:
        path: where it is, in the environment's or tree's folder.
        what: "missing", "changed", or what else is wrong.
        distribution: whose file it is; None for one of the environment's own.
        shared: it has other names elsewhere, as in uv's cache, so what is there is changed as well.
    """

    path: str
    what: str
    distribution: str | None = None
    shared: bool = False


def faults_of(environment: Environment | BrokenEnvironment, *, held: bool = False) -> tuple[Fault, ...]:
    """Look at every recorded file of an environment.

    Args:
        held: the caller sees to it that it is not removed meanwhile.

    Raises:
        BuildError: it is being removed.
        OSError: its folder cannot be read.
    """
    if isinstance(environment, BrokenEnvironment):
        return (Fault("manifest.json", environment.reason),)
    folder = EnvironmentFolder(environment.path)
    with nullcontext() if held else Use(folder.use_lock, limit=_REMOVAL_LIMIT):
        if not _is_still_there(environment):
            return ()
        found: dict[str, Fault] = {}
        for fault in _faults(folder, environment):
            found.setdefault(fault.path, fault)
    return tuple(found.values())


def _is_still_there(environment: Environment) -> bool:
    """Whether it is neither gone nor built anew since it was listed; a build in progress has no manifest."""
    try:
        return read_manifest(environment.path) == environment.manifest
    except BuildError:
        return False


def _faults(folder: EnvironmentFolder, environment: Environment) -> Iterator[Fault]:
    if not folder.python.exists():
        gone = (
            "missing"
            if not folder.python.is_symlink()
            else f"leads to {folder.python.readlink()}, which is not there"
        )
        yield Fault(_relative(folder.python, folder), gone)
    try:
        installed = site_packages(folder)
        present = [*installed.iterdir()]
    except OSError:
        yield Fault("env", "has no distributions any more")
        return
    infos = {_normalised(path.name): path for path in present if path.suffix == ".dist-info"}
    for name in environment.manifest.packages:
        if name in infos:
            yield from _faults_in(infos[name], name, installed, folder)
        else:
            yield Fault(_relative(installed / name, folder), "missing", name)
    yield from (Fault(name, what) for name, what in recorded_faults(folder))


def _faults_in(info: Path, name: str, installed: Path, folder: EnvironmentFolder) -> Iterator[Fault]:
    record = info / "RECORD"
    try:
        with record.open(encoding="utf-8", newline="") as file:
            rows = [
                (row[0], row[1] if len(row) > 1 else "", row[2] if len(row) > 2 else "")
                for row in csv.reader(file)
                if row
            ]
    except (OSError, ValueError, csv.Error):
        yield Fault(_relative(record, folder), "missing" if not record.exists() else "changed", name)
        return
    for written, digest, size in rows:
        path = Path(os.path.normpath(installed / written))
        # A RECORD that somebody changed leads nowhere but into the environment.
        if written.endswith(".pyc") or not path.is_relative_to(folder.environment):
            continue
        what = _compared(path, digest, size)
        if what is not None:
            shared = what == "changed" and (path.is_symlink() or path.stat().st_nlink > 1)
            yield Fault(_relative(path, folder), what, name, shared)


def _compared(path: Path, digest: str, size: str) -> str | None:
    try:
        if not path.is_file():
            return "missing"
        if size and path.stat().st_size != int(size):
            return "changed"
        kind, _, value = digest.partition("=")
        if kind == "sha256" and base64.urlsafe_b64encode(file_hash(path)).rstrip(b"=") != value.encode():
            return "changed"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


def _normalised(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name.split("-")[0])


def _relative(path: Path, folder: EnvironmentFolder) -> str:
    return str(path.relative_to(folder.path))
