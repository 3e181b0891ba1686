"""Disks that are full, cannot be written, or are not the one that uv's cache is on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mounts import run_with_mounts

HUBCONF = "dependencies = ['six']\nimport six\ndef f(): return 1\n"

# What the programs below begin with: the command, and what it left.
BEGINNING = """
import json, subprocess, sys
from pathlib import Path
from tests.command import Command

folder = Path(sys.argv[1])
disk = folder / "disk"
disk.mkdir()
isohub = Command(disk / "home", folder)

def mount(*options):
    subprocess.run(["mount", *options], check=True)

def built(home=disk / "home"):
    envs = home / "envs-v1"
    return sorted(path.name for path in envs.iterdir() if path.is_dir()) if envs.is_dir() else []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a repository."""
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "hubconf.py").write_text(HUBCONF)
    return tmp_path


@pytest.mark.parametrize("full", ["home", "uv"])
def test_a_full_disk(folder: Path, full: str) -> None:
    program = f"""{BEGINNING}
full = {full!r}
home = disk / "home" if full == "home" else folder / "home"
uv = disk / "uv" if full == "uv" else folder / "uv"
mount("-t", "tmpfs", "-o", "size=4k", "none", disk)
tried = []
for size in (4, 16, 32, 64, 256, 1024, 3072, 65536):
    mount("-o", f"remount,size={{size}}k", disk)
    done = isohub("list", "./repo", ISOHUB_HOME=str(home), **({{"UV_CACHE_DIR": str(uv)}} if full == "uv" else {{}}))
    tried.append([size, done.code, done.out, done.err, built(home)])
print(json.dumps(tried))
"""
    tried = json.loads(run_with_mounts(program, folder))
    assert [tried[-1][1], tried[-1][2]] == [0, "f\n"]
    failed = [item for item in tried if item[1]]
    assert len(failed) >= 4
    for size, code, out, err, built in failed:
        assert (code, out, built) == (5, "", []), (size, err)
        assert "error: " in err, size
        assert "Traceback" not in err, size
        assert "room" in err, (size, err)
