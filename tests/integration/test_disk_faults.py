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


def test_a_full_disk_can_be_pruned(folder: Path) -> None:
    program = f"""{BEGINNING}
mount("-t", "tmpfs", "-o", "size=64m", "none", disk)
assert isohub("list", "./repo").code == 0
try:
    with open(disk / "filler", "wb") as filler:
        while True:
            filler.write(b"x" * 65536)
except OSError as error:
    pass
used = isohub("run", "./repo", "f", TMPDIR=str(folder))
done = isohub("env", "prune", "--yes", "--json")
print(json.dumps([used.code, used.out, used.err, done.code, done.out, done.err, built()]))
"""
    code, out, err, pruned, report, said, built = json.loads(run_with_mounts(program, folder))
    assert (code, out) == (0, "1\n"), err
    assert (pruned, built) == (0, []), said
    assert len(json.loads(report)["removed"]) == 1


def test_a_disk_that_is_not_the_one_of_the_cache(folder: Path) -> None:
    program = f"""{BEGINNING}
mount("-t", "tmpfs", "-o", "size=64m", "none", disk)
environ = {{"NO_COLOR": "1", "UV_CACHE_DIR": str(folder / "uv")}}
shown = isohub.on_terminal("list", "./repo", **environ)
listed = json.loads(isohub("env", "list", "--json").out)["environments"]
# What is damaged here is damaged nowhere else, so uv need not forget anything.
damaged = next(disk.glob("home/envs-v1/*/env/lib/python3*/site-packages/six.py"))
damaged.write_text("x")
mended = isohub("cache", "verify", "--yes", "--json", UV_OFFLINE="1", **environ)
print(json.dumps([shown.code, shown.out, listed, mended.code, mended.out, damaged.read_text()[:7]]))
"""
    answers = json.loads(run_with_mounts(program, folder))
    code, shown, (listed,), mended, damage, text = answers
    assert code == 0
    assert "on different disks, so files were copied and not linked" in shown
    assert listed["freed_bytes"] == listed["size_bytes"]
    assert mended == 0, damage
    (found,) = json.loads(damage)["damaged"]
    assert [item["path"].rpartition("/")[2] for item in found["files"]] == ["six.py"]
    assert found["outcome"] == "rebuilt"
    assert text == "# Copyr"


def test_a_cache_that_cannot_be_written(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "hubconf.py").write_text(HUBCONF)
    program = f"""{BEGINNING}
assert isohub("list", "./repo").code == 0
mount("--bind", disk, disk)
mount("-o", "remount,bind,ro", disk)
verbs = ["run ./repo f", "list ./other", "env list --json", "env prune --yes --json", "env remove repo --yes", "cache list",
         "cache prune --dry-run", "cache verify"]
answers = {{}}
for verb in verbs:
    done = isohub(*verb.split(), TMPDIR=str(folder))
    answers[verb] = [done.code, done.out, done.err]
print(json.dumps([answers, built()]))
"""
    answers, built = json.loads(run_with_mounts(program, folder))
    assert all("Traceback" not in err for _, _, err in answers.values())
    assert answers["run ./repo f"][:2] == [0, "1\n"]
    assert [path.name.split("-")[0] for path in folder.glob("*.log")] == ["isohub"]
    code, out, err = answers["list ./other"]
    assert (code, out) == (5, "")
    assert "Read-only file system" in err
    assert "try: make it a folder that you can write to, or name another one by ISOHUB_HOME" in err
    (listed,) = json.loads(answers["env list --json"][1])["environments"]
    assert listed["held"] == "nothing can be removed there: Read-only file system"
    pruned = json.loads(answers["env prune --yes --json"][1])
    assert (answers["env prune --yes --json"][0], pruned["removed"]) == (0, [])
    assert pruned["kept"][0]["reason"] == listed["held"]
    assert answers["env remove repo --yes"][0] == 1
    assert "was not removed: cannot remove" in answers["env remove repo --yes"][2]
    assert [answers[verb][0] for verb in ("cache list", "cache prune --dry-run", "cache verify")] == [0, 0, 0]
    assert built == [listed["key"]]
