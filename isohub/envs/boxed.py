"""uv in the sandbox, for what has to be built from source.

A build runs a stranger's code, and that code can do whatever uv can. So all of uv is in there with it: it sees what the sandbox
sees and what it is asked to read, and writes a folder of its own, with a cache in it, which goes when the build is over: other
environments are filled from the shared one. It fetches what it builds, and what it builds with, so the sandbox must be one that
may reach the network.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import filelock

from isohub.sandbox import Sandbox

__all__ = ["Box", "made_box"]

_LOCAL = re.compile(r"file://(/[^\s'\",#]*)")
_MOST_TEXT = 16 << 20


@dataclass(frozen=True)
class Box:
    """Where uv runs.

    Attributes:
        sandbox: what it is.
        scratch: a folder that it may write, and nobody else uses.
    """

    sandbox: Sandbox
    scratch: Path

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The process environment of uv in there."""
        # Between two mounts there are no hard links.
        return {**environ, "UV_CACHE_DIR": str(self.scratch / "cache"), "UV_LINK_MODE": "copy"}

    def words(
        self,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        *,
        folder: Path,
        python: Path,
    ) -> list[str]:
        """What goes before the words of a command of uv's.

        Args:
            command: the program, by its full path, and its arguments; files among them can be read.
            environ: the process environment of the command.
            folder: its working directory.
            python: the interpreter that it is about.
        """
        files = [path for path in map(Path, command) if path.is_absolute() and path.is_file()]
        settings = [folder / "uv.toml", *_settings(environ)]
        readable = [*files, *settings, *_named_in(environ, settings)]
        return self.sandbox.words(
            python,
            environ,
            readable=[path for path in readable if path.exists()],
            writable=[self.scratch],
            weights=False,
        )

    def text(self, path: Path) -> str:
        """The content of a file that was written in there, if it is one: it may lead elsewhere, or have no end.

        Raises:
            OSError, ValueError: it is not.
        """
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, encoding="utf-8") as file:  # noqa: PTH123 - what is open has no path
            if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_size > _MOST_TEXT:
                raise ValueError(f"{path.name} is no file, or too long")
            return file.read()


@contextmanager
def made_box(sandbox: Sandbox, parent: Path) -> Iterator[Box]:
    """A box with a scratch folder in `parent`, which is removed in the end; if this process is killed, by the next one."""
    parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(parent / "lock"):
        for left in parent.glob("box-*.lock"):
            _remove_if_left(left)
        scratch = Path(tempfile.mkdtemp(prefix="box-", dir=parent))
        held = filelock.FileLock(scratch.with_suffix(".lock"))
        held.acquire()
    try:
        yield Box(sandbox, scratch)
    finally:
        _remove(scratch)
        held.release()
        scratch.with_suffix(".lock").unlink(missing_ok=True)


def _remove_if_left(lock: Path) -> None:
    try:
        with filelock.FileLock(lock, timeout=0):
            _remove(lock.with_suffix(""))
    except filelock.Timeout:
        return  # somebody is at work in it
    lock.unlink(missing_ok=True)


def _remove(scratch: Path) -> None:
    """Remove a scratch folder, in which there may be folders that say that nobody may look into them."""
    for folder, names, _ in os.walk(scratch):
        for name in names:
            if not os.path.islink(path := os.path.join(folder, name)):  # noqa: PTH114, PTH118 - as os.walk says it
                os.chmod(path, 0o700)  # noqa: PTH101
    shutil.rmtree(scratch, ignore_errors=True)


def _settings(environ: Mapping[str, str]) -> Iterator[Path]:
    """uv's own settings files, of the user and of the machine."""
    config = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    yield from (config / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
    if named := environ.get("UV_CONFIG_FILE"):
        yield Path(named)


def _named_in(environ: Mapping[str, str], settings: Iterable[Path]) -> Iterator[Path]:
    """Local files and folders from which distributions come, by the user's word: a repository may name any it wants to see."""
    texts = [value for name, value in environ.items() if name.startswith("UV_")]
    for file in settings:
        if file.is_file() and file.stat().st_size < _MOST_TEXT:
            texts.append(file.read_text(encoding="utf-8", errors="replace"))
    for text in texts:
        yield from (Path(unquote(path)) for path in _LOCAL.findall(text))
    links = map(Path, re.split("[, ]", environ.get("UV_FIND_LINKS", "")))
    yield from (path for path in links if path.is_absolute())
