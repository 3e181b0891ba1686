"""``isohub env``, as a process on real environments."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, Finished, wait_until

HUBCONF = """
dependencies = []

import os
import time


def one():
    return 1


def sleep(path):
    with open(path, "w") as file:
        file.write("%d\\n" % os.getpid())
    time.sleep(600)
"""


def with_two_environments(folder: Path) -> Command:
    isohub = Command(folder / "home", folder)
    for name in ("first", "second"):
        (folder / name).mkdir()
        (folder / name / "hubconf.py").write_text(HUBCONF)
        assert isohub("list", f"./{name}").code == 0
    return isohub


@pytest.fixture(scope="module")
def isohub(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command, in a folder with two small repositories, each with an environment; for tests that remove nothing."""
    return with_two_environments(tmp_path_factory.mktemp("env"))


@pytest.fixture
def spare(tmp_path: Path) -> Command:
    """The same, for one test alone."""
    return with_two_environments(tmp_path)


def environments(isohub: Command) -> dict[str, dict[str, Any]]:
    """By the names of their repositories, or the keys of those that are broken."""
    done = isohub("env", "list", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)["environments"]
    return {Path(item["repo"] or item["key"]).name: item for item in found}


def test_list_as_json(isohub: Command) -> None:
    answer = json.loads(isohub("env", "list", "--json").out)
    assert sorted(answer) == ["environments", "home", "size_bytes"]
    assert answer["home"] == str(isohub.home)
    second, first = answer["environments"]  # the newest first
    assert first["repo"] == str(isohub.folder / "first")
    assert second["repo"] == str(isohub.folder / "second")
    assert sorted(first) == sorted(
        "key path size_bytes freed_bytes source repo ref commit python versions built broken last_used held".split()
    )
    assert (first["source"], first["ref"], first["broken"]) == ("local", None, None)
    assert first["versions"]["torch"] is None
    assert datetime.fromisoformat(first["built"]).tzinfo is not None
    assert datetime.fromisoformat(first["last_used"]) >= datetime.fromisoformat(first["built"])
    assert first["held"] is None
    assert 0 < first["freed_bytes"] <= first["size_bytes"]
    # What both have from uv's cache is one file on disk where links are possible.
    assert max(first["size_bytes"], second["size_bytes"]) <= answer["size_bytes"]
    assert answer["size_bytes"] <= first["size_bytes"] + second["size_bytes"]


def test_list_for_people(isohub: Command) -> None:
    done = isohub("env", "list")
    header, *rows = done.out.splitlines()
    assert done.code == 0
    assert header.split() == "key repository ref commit python torch age used size own kept".split()
    assert all(row.endswith("until it is pruned") for row in rows)
    assert done.err.startswith("together ")
    assert isohub("env", "list", "-q").err == ""
    assert [row.split()[0].rpartition("-")[0] for row in rows] == ["second", "first"]


def test_list_without_environments(isohub: Command, tmp_path: Path) -> None:
    done = isohub("env", "list", "--home", tmp_path / "other")
    assert done == Finished(0, "", f"there are no environments in {tmp_path / 'other'}\n")


def test_what_is_no_environment_is_listed_with_the_reason_and_can_be_removed(spare: Command) -> None:
    key = environments(spare)["first"]["key"]
    (spare.home / "envs-v1" / key / "manifest.json").write_text("{")
    found = environments(spare)[key]
    assert "manifest.json is damaged" in found["broken"]
    assert (found["repo"], found["versions"]) == (None, None)
    assert "broken: " in spare("env", "list").out
    assert spare("env", "remove", key, "--yes", "-q") == Finished(0, f"{key}\n")
    assert [*environments(spare)] == ["second"]


def test_explain(isohub: Command, tmp_path: Path) -> None:
    repo = tmp_path / "explained"
    repo.mkdir()
    (repo / "hubconf.py").write_text("dependencies = ['packaging']\n")
    (repo / "requirements.txt").write_text("packaging<25\nnot-asked-for==1\n--index-url somewhere\n")
    done = isohub("env", "explain", repo, "--with", "packaging")
    assert (done.code, done.err) == (0, "")
    python, *lines = done.out.splitlines()
    assert python.startswith("Python 3.")
    entry = lines.index(next(line for line in lines if line.startswith("packaging 2")))
    assert lines[entry + 1 : entry + 4] == [
        "  packaging  <-  hubconf.py:1",
        "  packaging  <-  Hub(requirements=)",
        "  packaging<25  <-  requirements.txt:1 (a bound)",
    ]
    assert "  not-asked-for==1  <-  requirements.txt:2" in lines
    assert any("requirements.txt:3" in line for line in lines)
    assert "explained" not in environments(isohub)


def test_explain_as_json(isohub: Command) -> None:
    answer = json.loads(isohub("env", "explain", "./first", "--with", "packaging", "--json").out)
    assert sorted(answer) == ["notes", "packages", "python", "recipe", "repo", "unused_constraints"]
    assert sorted(answer["python"]) == ["hints", "path", "version"]
    assert answer["recipe"] is None
    packages = {item["name"]: item for item in answer["packages"]}
    assert {"packaging", "pyzmq", "msgpack"} <= packages.keys()
    packaging = packages["packaging"]
    assert packaging.pop("version")
    assert packaging == {
        "name": "packaging",
        "requirements": [{"text": "packaging", "origin": "Hub(requirements=)"}],
        "constraints": [],
    }


def test_remove_by_the_beginning_of_a_key(spare: Command) -> None:
    found = environments(spare)
    done = spare("env", "remove", "fir", "--yes", "--json")
    (removed,) = json.loads(done.out)["removed"]
    assert done.code == 0
    assert removed == {name: found["first"][name] for name in ("key", "path", "size_bytes", "freed_bytes")}
    assert not Path(removed["path"]).exists()
    assert [*environments(spare)] == ["second"]


def test_a_dry_run_removes_nothing(isohub: Command) -> None:
    found = environments(isohub)
    done = isohub("env", "remove", "first", "second", "--dry-run")
    assert done.code == 0
    assert done.out.split() == [found["first"]["key"], found["second"]["key"]]
    assert done.err.startswith("would free ")
    assert environments(isohub) == found


def test_without_a_terminal_removal_needs_a_flag(isohub: Command) -> None:
    done = isohub("env", "remove", "first")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("try: pass --yes\n")
    assert {*environments(isohub)} == {"first", "second"}


def test_removal_asks_at_a_terminal(spare: Command) -> None:
    refused = spare.on_terminal("env", "remove", "first", answer="n")
    assert refused.code == 1
    assert "Remove this environment and free" in refused.out
    assert "nothing was removed" in refused.out
    assert spare.on_terminal("env", "remove", "first", answer="y").code == 0
    assert [*environments(spare)] == ["second"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["third"], "there is no environment 'third'"),
        (["first", "third"], "there is no environment 'third'"),
        ([""], "there is no environment ''"),
    ],
)
def test_removal_is_all_or_nothing_about_names(isohub: Command, keys: list[str], said: str) -> None:
    done = isohub("env", "remove", *keys, "--yes")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert {*environments(isohub)} == {"first", "second"}


def test_a_beginning_that_several_keys_have(spare: Command) -> None:
    (spare.folder / "firstling").mkdir()
    (spare.folder / "firstling" / "hubconf.py").write_text("")
    assert spare("list", "./firstling").code == 0
    done = spare("env", "remove", "first", "--yes")
    assert done.code == 2
    assert "'first' may be any of first" in done.err
    assert spare("env", "remove", "first-", "--yes").code == 0


def test_an_environment_in_use_stays(spare: Command, tmp_path: Path) -> None:
    process = spare.start("run", "./first", "sleep", "--arg", json.dumps(str(tmp_path / "pid")))
    wait_until(tmp_path / "pid", process)
    done = spare("env", "remove", "first", "second", "--yes", "--json")
    answer = json.loads(done.out)
    assert done.code == 1
    assert [item["key"].rpartition("-")[0] for item in answer["removed"]] == ["second"]
    assert [item["key"].rpartition("-")[0] for item in answer["failed"]] == ["first"]
    assert "is in use" in answer["failed"][0]["error"]
    assert "is in use" in done.err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert spare("env", "remove", "first", "--yes").code == 0
