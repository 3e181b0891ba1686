"""The wheel: all of isohub is in it, and it works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest
import virtualenv

from isohub.config import Settings
from isohub.envs.buildlog import BuildLog
from isohub.envs.uv import load_uv

ROOT = Path(__file__).parents[2]
PACKAGES = {"isohub": ROOT / "isohub", "isohub_worker": ROOT / "workers" / "isohub_worker"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as for a release: the source distribution first, and the wheel from that."""
    folder = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def source_files() -> Iterator[str]:
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder).as_posix()}"


def test_the_wheel_has_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(archive.read(info))
    assert names == set(source_files())
    assert {"isohub/py.typed", "isohub/hubs/torch/hubconf.py", "isohub_worker/__main__.py"} <= names
    assert (metadata["Name"], metadata["License-Expression"]) == ("isohub", "Apache-2.0")
    assert metadata["License-File"] == "LICENSE"
    assert "torch" not in {
        line.split(">")[0] for line in metadata.get_all("Requires-Dist", []) if "extra" not in line
    }


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and nothing of ours besides."""
    folder = tmp_path_factory.mktemp("installed")
    virtualenv.cli_run(["--no-seed", "--no-download", str(folder / "env")])
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    log = BuildLog(folder / "install.log")
    command: list[str | Path] = ["pip", "install", "--python", programs / "python", f"{wheel}[images]"]
    answer = load_uv(Settings(home=folder / "home")).run(command, log=log, limit=600)
    assert answer.returncode == 0, answer.output
    return programs


def test_the_wheel_works_away_from_the_checkout(installed: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import isohub, isohub_worker; print(isohub.__file__, isohub_worker.__file__, sep='\\n')"
    found = subprocess.check_output(
        [installed / "python", "-c", code], cwd=tmp_path, env=environ, text=True, timeout=60
    )
    assert all(Path(line).is_relative_to(installed.parent) for line in found.splitlines())
    done = subprocess.run(
        [installed / "python", "examples/side_by_side.py"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "dev/next" in done.stdout
    assert (tmp_path / "demo.png").stat().st_size > 10_000
