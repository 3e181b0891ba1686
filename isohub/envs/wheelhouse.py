"""Distributions without a wheel get one, in a box; what comes out of there is a stranger's, and is looked at before it is used.

The environment itself is filled outside: the box never gets to write it, so what is in it when the box is at work is still ours.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name, parse_wheel_filename

from isohub.envs.buildlog import BuildLog
from isohub.envs.lock import Lock, LockedPackage
from isohub.envs.uv import Uv
from isohub.errors import BuildError

__all__ = ["add_wheels", "built_wheels"]

_BUILD_LIMIT = 7200.0
_INSTALL_LIMIT = 600.0
_STEP = "build from source"


def built_wheels(lock: Lock, uv: Uv, python: Path, folder: Path, log: BuildLog) -> list[Path]:
    """Build what has no wheel.

    Args:
        lock: what is wanted, each with its hash; all of it has to be built.
        uv: in a box.
        python: the interpreter of the environment that it is for.
        folder: becomes the folder of the wheels. Nobody else may write there.
        log: gets all that the builds print.

    Raises:
        BuildError: something does not build, or gives no wheel of the name and version that was locked.
    """
    assert uv.box is not None
    folder.mkdir()
    wanted = folder / "pylock.toml"
    wanted.write_text(lock.text, encoding="utf-8")
    # Into no environment: uv keeps the wheels that it has built.
    arguments: list[str | Path] = ["pip", "sync", "--python", python, "--target", uv.box.scratch / "target"]
    answer = uv.run(
        [*arguments, "--preview-features", "pylock", wanted], log=log, limit=_BUILD_LIMIT, python=python
    )
    if answer.returncode != 0:
        tail = "\n".join(answer.output.strip().splitlines()[-25:])
        raise BuildError("cannot build what has no wheel", step=_STEP, tail=tail, log=log.path)
    found = [*_wheels_in(uv.box.scratch)]
    return [_taken(package, found, folder, log) for package in lock.packages]


def add_wheels(wheels: list[Path], uv: Uv, python: Path, log: BuildLog) -> None:
    """Install these wheels, which runs nothing of them, and leaves nothing of them in uv's cache.

    Raises:
        BuildError: uv does not take them.
    """
    arguments: list[str | Path] = [
        "pip",
        "install",
        "--python",
        python,
        "--no-deps",
        "--no-index",
        "--no-cache",
    ]
    answer = uv.run([*arguments, *wheels], log=log, limit=_INSTALL_LIMIT)
    if answer.returncode != 0:
        tail = "\n".join(answer.output.strip().splitlines()[-25:])
        raise BuildError("cannot install what was built from source", step=_STEP, tail=tail, log=log.path)


def _wheels_in(scratch: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(scratch / "cache"):
        yield from (Path(folder) / name for name in names if name.endswith(".whl"))


def _taken(package: LockedPackage, found: list[Path], folder: Path, log: BuildLog) -> Path:
    """A copy of the wheel of a distribution, after it was looked at."""
    for path in found:
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except ValueError:
            continue
        if name == canonicalize_name(package.name) and package.version in ("", str(version)):
            try:
                return _checked_copy(path, folder / path.name)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                message = (
                    f"the wheel that was built of {package.name} {package.version} cannot be taken: {error}"
                )
                raise BuildError(message, step=_STEP, log=log.path) from error
    raise BuildError(
        f"building {package.name} {package.version} gave no wheel of that name and version",
        step=_STEP,
        log=log.path,
    )


def _checked_copy(path: Path, target: Path) -> Path:
    """The wheel, if it is a file, and a zip of files that stay below it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as source, target.open("xb") as copy:  # noqa: PTH123 - what is open has no path
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no file")
        shutil.copyfileobj(source, copy)
    with zipfile.ZipFile(target) as wheel:
        for item in wheel.infolist():
            place = PurePosixPath(item.filename)
            if place.is_absolute() or ".." in place.parts or "\\" in item.filename:
                raise ValueError(f"a file in it leads out of it: {item.filename!r:.200}")
            if stat.S_ISLNK(item.external_attr >> 16):
                raise ValueError(f"a file in it is a link: {item.filename!r:.200}")
    return target
