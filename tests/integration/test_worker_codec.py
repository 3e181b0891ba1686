"""The codec under the interpreters of workers: the oldest one, and one that has torch.

The tests themselves are those in tests/unit. They run with nothing on the path but ``isohub_worker``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from isohub.errors import PythonNotFound
from tests.workers import WIRE, environment

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
# So that no option, plugin or warning of this project means anything over there.
OPTIONS = [
    "-q",
    "-c",
    os.devnull,
    "--rootdir",
    str(UNIT),
    "--import-mode=importlib",
    "-p",
    "no:cacheprovider",
]


def run_tests(python: Path, folder: Path, *names: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    environ |= {"PYTHONPATH": str(ROOT / "workers"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-m", "pytest", *OPTIONS, *(str(UNIT / name) for name in names)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("numpy", [True, False], ids=["with numpy", "without numpy"])
def test_the_codec_under_the_oldest_python(numpy: bool, tmp_path: Path) -> None:
    try:
        python = environment("3.7", *WIRE, "hypothesis", "pytest", *(["numpy"] if numpy else []))
    except PythonNotFound as error:
        pytest.skip(f"this machine has no Python 3.7 to run it under: {error}")
    with_numpy = ["test_tensors.py", "test_small_tensors.py"] if numpy else []
    run_tests(python, tmp_path, "test_codec.py", "test_packets.py", *with_numpy)


def test_the_codec_with_torch(tmp_path: Path) -> None:
    python = environment("3.11", *WIRE, "hypothesis", "pytest", "numpy", "torch==2.13.0")
    run_tests(python, tmp_path, "torch_tensors.py", "test_tensors.py", "test_small_tensors.py")
