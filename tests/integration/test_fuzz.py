"""A few thousand of the frames that ``make fuzz`` makes millions of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_mutated_frames_are_taken_or_refused_and_do_nothing_else(target: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--target", target, "--runs", "10000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
