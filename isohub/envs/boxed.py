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
            command: the program, by its full path, and its arguments; files among them can be read, and files that these name.
            environ: the process environment of the command.
            folder: its working directory.
            python: the interpreter that it is about.
        """
        files = [path for path in map(Path, command) if path.is_absolute() and path.is_file()]
        files += [folder / "uv.toml", *_settings(environ)]
        readable = [*files, *_named_in(environ, files[1:])]
        return self.sandbox.words(
            python,
            environ,
            readable=[path for path in readable if path.exists()],
            writable=[self.scratch],
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
    """A box with a scratch folder in `parent`, which is removed in the end."""
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="box-", dir=parent))
    try:
        yield Box(sandbox, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _settings(environ: Mapping[str, str]) -> Iterator[Path]:
    """uv's own settings files, of the user and of the machine."""
    config = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    yield from (config / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
    if named := environ.get("UV_CONFIG_FILE"):
        yield Path(named)


def _named_in(environ: Mapping[str, str], files: Iterable[Path]) -> Iterator[Path]:
    """Local files and folders from which distributions come."""
    texts = [value for name, value in environ.items() if name.startswith("UV_")]
    for file in files:
        if file.is_file() and file.stat().st_size < _MOST_TEXT:
            texts.append(file.read_text(encoding="utf-8", errors="replace"))
    for text in texts:
        yield from (Path(unquote(path)) for path in _LOCAL.findall(text))
    links = map(Path, re.split("[, ]", environ.get("UV_FIND_LINKS", "")))
    yield from (path for path in links if path.is_absolute())
