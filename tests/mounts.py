"""Programs that see other mounts than everybody else: a small disk, a read-only folder. They go when the program does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["run_with_mounts"]

_ROOT = Path(__file__).parents[1]
_LIMIT = 300.0


def run_with_mounts(program: str, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> str:
    """Run a Python program that may mount what it likes.

    Returns:
        What it printed.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [*_unshare(), sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), **(environ or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _unshare() -> list[str]:
    """The program that gives another one mounts of its own; skips the test where that is not allowed."""
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("mounts of its own need the program unshare, which is not here")
    command = [program, "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    tried = subprocess.run(
        [*command, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True, timeout=30
    )
    if tried.returncode != 0:
        pytest.skip(f"mounts of its own are not allowed here: {tried.stderr.strip()}")
    return command
