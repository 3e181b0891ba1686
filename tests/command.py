"""The command ``isohub`` as a person or a script runs it: a process of its own, with or without a terminal."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Command", "Finished", "wait_until"]

_LIMIT = 120.0
_COMMAND = [sys.executable, "-m", "isohub.cli.main"]


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it wrote. On a terminal `out` is all of it."""

    code: int
    out: str
    err: str = ""


class Command:
    """Runs the command.

    Args:
        home: its ``ISOHUB_HOME``.
        folder: its working directory.
        variables: added to its environment.
    """

    def __init__(self, home: Path, folder: Path, **variables: str) -> None:
        self.home = home
        self.folder = folder
        self._variables = variables

    def __call__(self, *arguments: str | Path, **environ: str) -> Finished:
        """Run it without a terminal, to its end; `environ` is added to its environment."""
        done = subprocess.run(
            [*_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            cwd=self.folder,
            env=self.environ(environ),
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start it without a terminal; `options` are those of Popen."""
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env=self.environ({}),
            **streams,
        )

    def on_terminal(self, *arguments: str | Path, answer: str = "", **environ: str) -> Finished:
        """Run it on a terminal of its own, and type `answer` once it asks."""
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [*_COMMAND, *arguments],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                cwd=self.folder,
                env=self.environ({"TERM": "xterm", "COLUMNS": "200", **environ}),
            )
            os.close(theirs)
            output = _converse(ours, answer)
            return Finished(process.wait(_LIMIT), output.replace("\r\n", "\n"))
        finally:
            os.close(ours)

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment it gets."""
        dropped = ("ISOHUB_", "GITHUB_", "NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "PYTHONUNBUFFERED")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        weights = str(self.home.with_name("torch"))
        return {**kept, "ISOHUB_HOME": str(self.home), "TORCH_HOME": weights, **self._variables, **more}


def wait_until(path: Path, process: subprocess.Popen[str]) -> str:
    """What is in the file, once the process has had it written.

    Raises:
        AssertionError: the process ended without it, or takes too long.
    """
    deadline = time.monotonic() + _LIMIT
    while not (path.exists() and path.read_text().endswith("\n")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def _converse(terminal: int, answer: str) -> str:
    output = b""
    deadline = time.monotonic() + _LIMIT
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux's way to say that the other end is closed
                raise
            break
        if not data:
            break
        output += data
        if answer and b"(y/N)" in output:
            os.write(terminal, answer.encode() + b"\n")
            answer = ""
    return output.decode()
