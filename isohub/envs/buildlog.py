"""The log of one build: every command, what it printed and how it ended, without secrets."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from isohub.masking import masked
from isohub.shortening import kept_short

__all__ = ["BuildLog"]


class BuildLog:
    """A file that grows, and that only its user can read.

    It is opened anew for each line, so that programs may write to it in between.

    Args:
        path: where it is; the folder is made if need be, the file when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        """Append lines."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # What programs write into it themselves is masked by nobody.
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(fd, "a", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - what is open has no path
            file.write(masked(text).rstrip("\n") + "\n")

    def command(self, arguments: Sequence[str | Path]) -> None:
        """Append the command that is about to run."""
        self.write(f"\n[{time.strftime('%H:%M:%S')}] $ {shlex.join(map(str, arguments))}")

    @contextmanager
    def output(self) -> Iterator[IO[bytes]]:
        """The file, for a program to write to, however much that is."""
        with self.path.open("ab") as file, kept_short(self.path):
            yield file

    def discard(self) -> None:
        """Remove the file: nobody will ask for it."""
        self.path.unlink(missing_ok=True)

    def tail(self, lines: int = 15) -> str:
        """The last lines."""
        with self.path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - 64 * 1024, 0))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])
