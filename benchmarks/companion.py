"""Other processes, asked for one thing at a time.

A companion is a program that reads a line of JSON, ``[function, arguments...]``, does it, and answers with a line of JSON. What
it prints otherwise goes to standard error, so it cannot be taken for an answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["ROOT", "Companion", "module_command"]

ROOT = Path(__file__).parents[1]
_END_SECONDS = 20


class Companion:
    """A process that measures what this one cannot.

    Args:
        python: its interpreter.
        module: what it runs; see `module_command`.
        *arguments: for it.
        environ: variables that it has besides those of this process.
    """

    def __init__(
        self, python: Path, module: str, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> None:
        self._name = module
        self._process = subprocess.Popen(
            module_command(python, module, *arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environ or {})},
            start_new_session=True,  # so that what it has started can be ended with it
        )

    def ask(self, function: str, *arguments: Any) -> Any:
        """Have it call one of its functions; what that answers.

        Raises:
            RuntimeError: it ended, or the function raised.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, *arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it had to say, or its end, is read below
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with status {self._process.wait()} over {function}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self._name}, asked for {function}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """Ask it to end, and see to it that it does, with all that it has started."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(_END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Companion:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def module_command(python: Path, module: str, *arguments: str) -> list[str]:
    """What runs a module of this package under another interpreter, which does not have it installed, from `ROOT`."""
    return [str(python), "-m", f"benchmarks.{module}", *arguments]
