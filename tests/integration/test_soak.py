"""Load with faults, for some seconds; ``make soak`` does it for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--seconds", "8", "--seed", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "losses: none" in done.stdout
