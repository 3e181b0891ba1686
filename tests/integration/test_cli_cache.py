"""``isohub env prune`` and ``isohub cache``, as a process on real environments."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, Finished


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of uv's for this module alone."""
    return tmp_path_factory.mktemp("uv")


@pytest.fixture
def isohub(tmp_path: Path, warm: Path) -> Command:
    """The command, with an environment that was used long ago and one that was just built."""
    command = Command(tmp_path / "home", tmp_path, UV_CACHE_DIR=str(warm))
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hubconf.py").write_text("dependencies = ['six']\ndef one(): return 1\n")
        assert command("list", f"./{name}").code == 0
    (old,) = (command.home / "envs-v1").glob("old-*/manifest.json")
    then = time.time() - 40 * 86400
    old.write_text(json.dumps({**json.loads(old.read_text()), "built": then}))
    os.utime(old.parent.with_name(f"{old.parent.name}.users"), (then, then))
    return command


def answer(done: Finished, code: int = 0) -> Any:
    assert done.code == code, done.err
    return json.loads(done.out)


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["key"].rpartition("-")[0] for item in items]


def test_prune_by_age(isohub: Command) -> None:
    said = answer(isohub("env", "prune", "--older-than", "30d", "--yes", "--json"))
    assert sorted(said) == ["dry_run", "failed", "freed_bytes", "kept", "removed", "size_bytes"]
    assert (names(said["removed"]), names(said["kept"]), said["failed"]) == (["old"], ["new"], [])
    assert sorted(said["removed"][0]) == sorted(
        "kind key path size_bytes freed_bytes last_used reason".split()
    )
    assert said["removed"][0]["reason"] == "last used longer ago than the limit"
    assert not Path(said["removed"][0]["path"]).exists()
    assert Path(said["kept"][0]["path"]).exists()


def test_prune_by_size(isohub: Command) -> None:
    listed = answer(isohub("env", "list", "--json"))
    assert listed["size_bytes"] < sum(item["size_bytes"] for item in listed["environments"])
    everything = f"{listed['size_bytes']}B"
    assert answer(isohub("env", "prune", "--max-size", everything, "--dry-run", "--json"))["removed"] == []
    less = str(listed["size_bytes"] - 1)
    said = answer(isohub("env", "prune", "--max-size", less, "--yes", "--json"))
    assert names(said["removed"]) == ["old"]


def test_prune_for_people(isohub: Command) -> None:
    new, old = isohub("env", "list", "-q").out.splitlines()[1:]
    assert "  40 d  40 d  " in old
    assert old.endswith("until it is pruned")
    assert "40 d" not in new
    done = isohub("env", "prune", "--dry-run")
    header, *rows = done.out.splitlines()
    assert header.split() == ["kind", "key", "used", "size", "own", "because"]
    assert all(
        row.startswith("would remove  environment  ") and row.endswith("no worker uses it") for row in rows
    )
    freed, shared = done.err.splitlines()
    assert freed.startswith("would free ")
    assert "shared with uv's cache or other environments" in shared
    assert isohub("env", "prune", "--dry-run", "-q").err == ""
    assert len(answer(isohub("env", "list", "--json"))["environments"]) == 2
    done = isohub("env", "prune", "--yes")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["removed", "removed"]
    assert isohub("env", "prune", "--yes") == Finished(0, "", "there is nothing to remove\n")


def test_prune_asks(isohub: Command) -> None:
    done = isohub("env", "prune")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("try: pass --yes\n")
    refused = isohub.on_terminal("env", "prune", "--older-than", "30d", answer="n")
    assert refused.code == 1
    assert "last used longer ago than the limit" in refused.out
    assert "Remove this and free " in refused.out
    assert "nothing was removed" in refused.out
    assert isohub.on_terminal("env", "prune", "--older-than", "30d", answer="y").code == 0
    assert names(answer(isohub("env", "list", "--json"))["environments"]) == ["new"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--older-than", "30"), ("--older-than", "a week"), ("--max-size", "big"), ("--max-size", "-1GB")],
)
def test_limits_that_are_none(tmp_path: Path, option: str, value: str) -> None:
    done = Command(tmp_path / "home", tmp_path)("env", "prune", f"{option}={value}", "--yes")
    assert (done.code, done.out) == (2, "")
    assert f"{value!r} is no " in done.err


def test_the_cache(isohub: Command, warm: Path) -> None:
    said = answer(isohub("cache", "list", "--json"))
    assert said["home"] == str(isohub.home)
    buckets = {item["name"]: item for item in said["buckets"]}
    assert sorted(buckets["environments"]) == sorted("name path entries size_bytes freed_bytes note".split())
    assert buckets["environments"]["entries"] == 2
    assert buckets["uv's cache"]["path"] == str(warm)
    assert isohub("cache", "list").out.splitlines()[1].startswith("environments  2 ")
    assert isohub("env", "prune", "--yes").code == 0
    said = answer(isohub("cache", "prune", "--yes", "--json"))
    assert {item["kind"] for item in said["removed"]} == {"requests", "uv"}
    assert {item["reason"] for item in said["kept"]} == {
        "used within a day, so somebody may be building from it"
    }
    assert next(item for item in said["removed"] if item["kind"] == "uv")["reason"].startswith("uv ")


def test_damage_is_shown_and_mended(isohub: Command) -> None:
    assert answer(isohub("cache", "verify", "--json", "-q")) == {"damaged": [], "dry_run": False}
    assert isohub("cache", "verify") == Finished(0, "", "nothing is damaged\n")
    (path,) = isohub.home.glob("envs-v1/old-*/env/lib/python3*/site-packages/six.py")
    key = path.parents[4].name
    path.unlink()
    for arguments in (["--dry-run"], []):
        done = isohub("cache", "verify", "-q", *arguments)
        assert done.code == 1
        assert done.out.splitlines() == [
            f"environment {key}",
            f"  {path.relative_to(isohub.home / 'envs-v1' / key)}: missing (six)",
        ]
    assert "try: pass --yes" in done.err
    assert isohub("cache", "verify", "new").code == 0
    said = answer(isohub("cache", "verify", "old", "--yes", "--json", "-q"))
    (damaged,) = said["damaged"]
    assert sorted(damaged) == ["error", "files", "key", "kind", "outcome", "path", "reason"]
    assert (damaged["key"], damaged["outcome"], damaged["reason"]) == (key, "rebuilt", None)
    assert path.exists()
    path.unlink()
    done = isohub.on_terminal("cache", "verify", answer="y")
    assert done.code == 0
    assert "Mend this?" in done.out
    assert f"{key} was rebuilt" in done.out


def test_what_cannot_be_mended_fails(isohub: Command) -> None:
    (path,) = isohub.home.glob("envs-v1/old-*/env/lib/python3*/site-packages/six.py")
    with path.open("a") as file:
        file.write("# more\n")
    done = isohub("cache", "verify", "--yes", "--json", ISOHUB_OFFLINE="1")
    said = answer(done, code=1)
    # The other environment has the same file.
    assert [item["outcome"] for item in said["damaged"]] == [None, None]
    assert all("offline means that nobody is asked" in item["error"] for item in said["damaged"])
    assert "try: go online once" in done.err
    assert answer(isohub("cache", "verify", "--yes", "--json"))["damaged"][0]["outcome"] == "rebuilt"
