"""A lock becomes a folder with an interpreter, its distributions and a working copy of the repository.

Each step either succeeds or raises; the caller owns the folder and removes what is left of a failure.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from isohub.disk import is_of_the_disk
from isohub.envs.buildlog import BuildLog
from isohub.envs.explanations import NO_BUILD_HINT, NO_ROOM_HINT, needs_wheel, no_network, no_room
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock
from isohub.envs.uv import Uv
from isohub.errors import BuildError, OfflineError

__all__ = ["copy_repository", "create_environment", "install"]

_INSTALL_LIMIT = 7200.0
# What tools put into a checkout. It is not the repository's, and an environment in it would not work elsewhere.
_NOT_COPIED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".venv"})
_virtualenv_lock = threading.Lock()


def create_environment(folder: Path, interpreter: Interpreter, memory: Path, log: BuildLog) -> None:
    """Create a virtual environment with nothing in it.

    Args:
        folder: becomes the environment.
        interpreter: what it is made from.
        memory: where virtualenv remembers what it found out about interpreters.
        log: gets the command.

    Raises:
        BuildError: virtualenv failed.
        OSError: the disk is full, or cannot be written.
    """
    import virtualenv

    arguments = ["--no-seed", "--no-download", "--no-periodic-update", "--no-vcs-ignore", "--activators", ""]
    arguments += ["--app-data", str(memory), "--python", str(interpreter.path), str(folder)]
    # Its variables and its settings file could let the host's packages in.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
    environ["VIRTUALENV_CONFIG_FILE"] = os.devnull
    log.command(["virtualenv", *arguments])
    try:
        # virtualenv keeps some of its state in modules.
        with _virtualenv_lock:
            virtualenv.cli_run(arguments, setup_logging=False, env=environ)
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and is_of_the_disk(error):
            raise
        log.write(f"{type(error).__name__}: {error}")
        raise BuildError(
            f"cannot make a virtual environment from {interpreter.path}: {error}",
            step="create",
            log=log.path,
            hint="is that interpreter whole? Try another one: isohub.Hub(python=...)",
        ) from error


def install(
    python: Path, lock: Path, contents: Lock, uv: Uv, log: BuildLog, inherit: Sequence[int] = ()
) -> bool:
    """Install what is locked, every file checked against its hash.

    Args:
        python: the interpreter of the virtual environment.
        lock: the lock's file.
        contents: what it holds.
        uv: installs.
        log: gets uv's whole output.
        inherit: file descriptors that uv keeps.

    Returns:
        Whether the files are linked from uv's cache; if not they are copies.

    Raises:
        BuildError: a distribution could not be fetched, built or trusted.
        OfflineError: one is not in uv's cache.
    """
    arguments: list[str | Path] = ["pip", "sync", "--python", python]
    arguments += ["--preview-features", "pylock", lock]
    answer = uv.run(arguments, log=log, limit=_INSTALL_LIMIT, inherit=inherit)
    if answer.returncode == 0:
        return "hardlink" not in answer.output
    tail = "\n".join(answer.output.strip().splitlines()[-25:])
    if uv.offline and no_network(answer.output):
        raise OfflineError(
            "a distribution of this environment is not in uv's cache",
            tail=tail,
            log=log.path,
            hint="go online once",
        )
    if path := no_room(answer.output):
        raise BuildError(
            f"no room for what is installed in {python.parents[1]}: cannot write {path}",
            step="write",
            tail=tail,
            log=log.path,
            hint=NO_ROOM_HINT,
        )
    named = next((item for item in contents.packages if f"`{item.name}==" in answer.output), None)
    what = f"{named.name} {named.version}" if named else "the locked distributions"
    raise BuildError(
        f"cannot install {what}", step="install", tail=tail, log=log.path, hint=_hint(answer.output, uv)
    )


def _hint(output: str, uv: Uv) -> str | None:
    if uv.only_wheels and needs_wheel(output):
        return NO_BUILD_HINT
    if "Hash mismatch" in output:
        return "the file is not the one that was locked: find out why the index serves another before trusting it"
    if "failed to read directory" in output:
        return "somebody removed files from uv's cache at the same time: try again, or: uv cache clean"
    if "Failed to build" in output or "build backend" in output:
        return 'no ready build fits this Python; an older version or another Python may: isohub.Hub(python="3.8")'
    return None


def copy_repository(source: Path, target: Path, *, checkout: bool) -> None:
    """Copy a repository's content, so that what is built in place is the environment's own.

    Modes are made fit for that, links are kept as links, and what is neither file, folder nor link is left out.

    Args:
        source: the repository.
        target: becomes the copy.
        checkout: it is somebody's working folder; what tools put there is left out.

    Raises:
        OSError: something cannot be read or written.
    """
    target.mkdir()
    with os.scandir(source) as listing:
        entries = list(listing)
    for entry in entries:
        path = Path(entry.path)
        if checkout and entry.name in _NOT_COPIED:
            continue
        if entry.is_symlink():
            (target / entry.name).symlink_to(path.readlink())
        elif entry.is_dir():
            if not (checkout and (path / "pyvenv.cfg").is_file()):
                copy_repository(path, target / entry.name, checkout=checkout)
        elif entry.is_file():
            shutil.copyfile(path, target / entry.name)
            if entry.stat().st_mode & stat.S_IXUSR:
                (target / entry.name).chmod(0o755)
