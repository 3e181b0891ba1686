"""The demo, as ``make demo`` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DEMO = Path(__file__).parents[2] / "examples" / "side_by_side.py"
COLUMNS = ("ref", "python", "torch", "numpy", "pid", "result")


@pytest.fixture
def printed(home: Path, tmp_path: Path) -> str:
    """What it prints, in a folder in which it leaves a picture."""
    command: list[str | Path] = [
        sys.executable,
        DEMO,
        "--repository",
        "repository.git",
        "--picture",
        "demo.png",
    ]
    environ = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, encoding="utf-8", timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(printed: str) -> dict[str, dict[str, str]]:
    cells = [line.strip()[1:-1].split("│") for line in printed.splitlines() if line.startswith("│")]
    table = [dict(zip(COLUMNS, (cell.strip() for cell in row), strict=True)) for row in cells]
    return {row["ref"]: row for row in table}


def test_the_demo_shows_two_branches_and_draws_them(printed: str, tmp_path: Path) -> None:
    table = rows(printed)
    assert list(table) == ["main", "dev/next", "this program"]
    main, following, host = table.values()
    assert main["torch"] == following["torch"]
    assert main["torch"].startswith("2.13.0")
    assert host["torch"] == "none"
    assert main["numpy"] != following["numpy"]
    assert main["pid"] != following["pid"]
    assert main["result"] != following["result"]
    for row in (main, following):
        with pytest.raises(ProcessLookupError):
            os.kill(int(row["pid"]), 0)
    assert "demo.png" in printed
    picture = np.asarray(Image.open(tmp_path / "demo.png"))
    paintings = [picture[112:512, left : left + 400] for left in (36, 472, 908)]
    for painting in paintings:
        assert painting.std() > 20, "something is painted there"
    apart = np.abs(paintings[0].astype(int) - paintings[1])
    assert apart.mean() > 20
    assert np.abs(apart - paintings[2]).max() <= 2, "the third one is how far the others are apart"
