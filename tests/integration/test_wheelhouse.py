"""Wheels that strangers' code has made, looked at before they are used."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from isohub.envs.buildlog import BuildLog
from isohub.envs.lock import LockedPackage
from isohub.envs.wheelhouse import _taken
from isohub.errors import BuildError

PACKAGE = LockedPackage("thing", "1.0", built=True)


def wheel(path: Path, member: str = "thing.py", mode: int = stat.S_IFREG | 0o644) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(member)
        info.external_attr = mode << 16
        archive.writestr(info, "text")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: wheel(path, "../thing.py"), "leads out of it"),
        (lambda path: wheel(path, "/thing.py"), "leads out of it"),
        (lambda path: wheel(path, "thing.py", stat.S_IFLNK | 0o777), "is a link"),
        (lambda path: path.write_bytes(b"no zip"), "zip"),
        (lambda path: path.symlink_to("/etc/hostname"), "symbolic links"),
        (os.mkfifo, "no file"),
    ],
)
def test_what_is_no_wheel_is_refused(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    make(path)
    (tmp_path / "taken").mkdir()
    with pytest.raises(BuildError, match=f"thing 1.0 cannot be taken.*{words}"):
        _taken(PACKAGE, [path], tmp_path / "taken", BuildLog(tmp_path / "log"))


def test_it_must_be_the_one_that_was_locked(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    others = [
        tmp_path / name for name in ("other-1.0-py3-none-any.whl", "thing-2.0-py3-none-any.whl", "thing.whl")
    ]
    for path in others:
        wheel(path)
    log = BuildLog(tmp_path / "log")
    with pytest.raises(BuildError, match="no wheel of that name and version"):
        _taken(PACKAGE, others, tmp_path / "taken", log)
    wheel(right := tmp_path / "thing-1.0-py3-none-any.whl")
    assert _taken(PACKAGE, [*others, right], tmp_path / "taken", log) == tmp_path / "taken" / right.name
