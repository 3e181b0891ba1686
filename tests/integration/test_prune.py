"""Environments that nobody uses are removed, by whoever asks and whoever else is at work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.folderlocks import Use, at_work
from isohub.envs.store import BrokenEnvironment, Environment, EnvironmentRequest, EnvironmentStore
from isohub.hub import Hub
from isohub.progress import Step
from isohub.sources.store import Store
from isohub.sources.tree import Pin
from tests.environments import make_tree, provide

GOOD = "dependencies = []\ndef f(): return 1\n"
DAY = 86400.0


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def hub(home: Path) -> Iterator[Hub]:
    with Hub(home=home) as hub:
        yield hub


def built(settings: Settings, folder: Path, *, unused_for: float = 0.0) -> Environment:
    """An environment that looks as if nobody had used it for so long."""
    environment = provide(settings, make_tree(folder, {"hubconf.py": GOOD, "name.txt": folder.name}))
    manifest = environment.path / "manifest.json"
    record = json.loads(manifest.read_text())
    record["built"] -= unused_for
    manifest.write_text(json.dumps(record))
    then = time.time() - unused_for
    os.utime(EnvironmentFolder(environment.path).use_lock, (then, then))
    (again,) = [item for item in EnvironmentStore(settings).list() if item.path == environment.path]
    assert isinstance(again, Environment)
    return again


def test_a_plan_is_shown_and_carried_out(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    old, new = built(settings, tmp_path / "old", unused_for=40 * DAY), built(settings, tmp_path / "new")
    plan = hub.plan_prune(older_than=30 * DAY)
    assert [(item.key, item.fate) for item in plan.verdicts] == [
        (new.path.name, "keep"),
        (old.path.name, "remove"),
    ]
    assert plan.removed[0].reason == "last used longer ago than the limit"
    assert 0 < plan.freed <= plan.removed[0].disk.size <= plan.disk.size
    assert old.path.exists()
    assert hub.prune(plan) == plan
    assert EnvironmentStore(settings).list() == [new]


def test_finding_and_holding_one_is_a_use(settings: Settings, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": GOOD, "name.txt": "repo"})
    environment = built(settings, tmp_path / "repo", unused_for=40 * DAY)
    assert time.time() - environment.last_used > 39 * DAY
    found = EnvironmentStore(settings).find(tree, EnvironmentRequest())
    assert found == environment
    assert time.time() - environment.last_used < 60
    again = built(settings, tmp_path / "repo", unused_for=40 * DAY)
    with again.hold():
        assert time.time() - again.last_used < 60
    # Within an hour nothing is written.
    lock = EnvironmentFolder(again.path).use_lock
    before = lock.stat().st_mtime_ns
    with again.hold():
        pass
    assert lock.stat().st_mtime_ns == before


def test_what_is_used_after_the_plan_was_made_stays(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    environment = built(settings, tmp_path / "repo", unused_for=40 * DAY)
    plan = hub.plan_prune(older_than=30 * DAY)
    environment.hold().close()
    (verdict,) = hub.prune(plan).kept
    assert "was used a moment ago" in verdict.reason
    assert environment.path.exists()


def test_a_worker_keeps_its_environment(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    idle = built(settings, tmp_path / "idle")
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "hubconf.py").write_text("class Net:\n    def one(self): return 1\n")
    net = hub.load(tmp_path / "repo", "Net", source="local")
    done = hub.prune(hub.plan_prune(max_size=0))
    assert [item.key for item in done.removed] == [idle.path.name]
    assert [item.reason for item in done.kept] == ["a worker uses it"]
    assert net.one() == 1
    # One that came to be used after the plan was made stays as well.
    hub.close()
    with Hub(home=settings.home) as other:
        plan = other.plan_prune()
        assert len(plan.removed) == 1
        assert other.load(tmp_path / "repo", "Net", source="local").one() == 1
        (verdict,) = other.prune(plan).verdicts
    assert (verdict.fate, "is in use" in verdict.reason) == ("keep", True)


def test_one_that_is_being_built_stays(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    gate.touch()
    (tmp_path / "repo").mkdir()
    wait = f"open({str(reached)!r}, 'w').close()\nwhile os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    (tmp_path / "repo" / "hubconf.py").write_text(f"import os, time\n{wait}{GOOD}")
    command = [sys.executable, "-m", "isohub.cli.main", "list", str(tmp_path / "repo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as building:
        wait_for(reached.exists, building)
        (item,) = hub.environments()
        assert isinstance(item, BrokenEnvironment)
        done = hub.prune(hub.plan_prune(older_than=0, max_size=0))
        assert [verdict.reason for verdict in done.kept] == ["another process builds or removes it"]
        assert list(hub.verify()) == []
        gate.unlink()
        assert building.communicate(timeout=60)[0] == "f\n"
    assert isinstance(hub.environments()[0], Environment)


PRUNE = """
import os, signal, sys
from isohub.hub import Hub
# The disk's own pace is unknown, so it dies by itself, in the middle of what it removes.
removed = 0
def audit(event, arguments):
    global removed
    if event == "os.remove" and (removed or str(arguments[0]).endswith("manifest.json")):
        removed += 1
        if removed == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
with Hub() as hub:
    hub.prune(hub.plan_prune())
"""


@pytest.mark.parametrize("files", [2, 40])
def test_a_prune_that_is_killed_leaves_nothing_that_looks_built(
    settings: Settings, hub: Hub, tmp_path: Path, files: int
) -> None:
    environment = built(settings, tmp_path / "repo")
    killed = subprocess.run([sys.executable, "-c", PRUNE, str(files)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = hub.environments()
    assert isinstance(left, BrokenEnvironment)
    assert "was never finished" in left.reason
    tree = make_tree(tmp_path / "repo", {"hubconf.py": GOOD, "name.txt": "repo"})
    assert EnvironmentStore(settings).find(tree, EnvironmentRequest()) is None
    # The next one removes the rest, whatever is asked; or the next load builds it anew.
    if files == 2:
        (verdict,) = hub.prune(hub.plan_prune(older_than=1000 * DAY)).removed
        assert "was never finished" in verdict.reason
        assert hub.environments() == []
    assert provide(settings, tree).path == environment.path
    assert list(hub.verify()) == []


def test_what_cannot_be_removed_is_said(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    environment = built(settings, tmp_path / "repo")
    plan = hub.plan_prune()
    lock = EnvironmentFolder(environment.path).work_lock
    lock.unlink()
    lock.mkdir()
    done = hub.prune(plan)
    assert (done.removed, len(done.failed), done.freed) == ((), 1, 0)
    assert "cannot remove" in done.failed[0].reason


def test_a_look_is_taken_for_nobody_s_use(settings: Settings, tmp_path: Path) -> None:
    environment = built(settings, tmp_path / "repo")
    folder = EnvironmentFolder(environment.path)
    assert environment.occupied() is None
    with Use(folder.use_lock):
        assert environment.occupied() == "a worker uses it"
    with at_work(folder.work_lock, Step(), 0.0):
        assert environment.occupied() == "another process builds or removes it"
    leftover = BrokenEnvironment(environment.path.with_name("leftover"), "never finished")
    assert leftover.occupied() is None
    assert not EnvironmentFolder(leftover.path).work_lock.exists()


# ---- trees and resolutions


def with_tree(settings: Settings, folder: Path, commit: str, *, age: float) -> Pin:
    """A fetched tree, as old as that."""
    pin = Pin("github", f"github.com/test/{folder.name}", "refs/heads/main", commit)
    store = Store(settings.home)
    folder.mkdir(exist_ok=True)
    (folder / "hubconf.py").write_text(GOOD)

    def archive(path: Path) -> None:
        shutil.make_archive(str(path.with_suffix("")), "zip", folder.parent, folder.name)

    tree = store.add(pin, archive)
    then = time.time() - age
    os.utime(tree.path.with_name("tree.json"), (then, then))
    return pin


def test_trees_and_resolutions_that_no_environment_needs(
    settings: Settings, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    store = Store(settings.home)
    needed, old, new = (
        with_tree(settings, tmp_path / "repo", digit * 40, age=age)
        for digit, age in (("1", 3), ("2", 3 * DAY), ("3", 3))
    )
    tree = store.find(needed)
    assert tree is not None
    environment = provide(settings, tree)
    gone = provide(
        settings, make_tree(tmp_path / "gone", {"hubconf.py": "dependencies = ['six']\nimport six\n"})
    )
    EnvironmentStore(settings).remove(gone)
    locks = settings.home / "locks-v1"
    for path in (*locks.rglob("*"), locks):
        then = time.time() - 3 * DAY
        os.utime(path, (then, then))
    plan = hub.plan_cache_prune()
    reasons = {
        (item.kind, item.key.partition("@")[2][:1]): (item.fate, item.reason) for item in plan.verdicts
    }
    assert reasons["tree", "1"] == ("keep", "an environment was built from it")
    assert reasons["tree", "2"] == ("remove", "no environment was built from it")
    assert reasons["tree", "3"] == ("keep", "used within a day, so somebody may be building from it")
    assert reasons["requests", ""] == ("remove", "the environment is gone")
    assert reasons["uv", ""][0] == "remove"
    assert [item.reason for item in plan.removed if item.kind == "lock"] == ["no environment holds it"]
    assert [item.reason for item in plan.kept if item.kind == "lock"] == ["an environment holds it"]
    done = hub.prune(plan)
    assert done.failed == ()
    assert done.freed > 0
    assert (store.find(old), store.find(new) is None, store.find(needed)) == (None, False, tree)
    # What is needed for the environment is still there.
    assert EnvironmentStore(settings).find(tree, EnvironmentRequest()) == environment
    assert {item.kind for item in hub.plan_cache_prune().removed} == {"uv"}


def test_a_tree_that_is_being_fetched_stays(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    with_tree(settings, tmp_path / "repo", "1" * 40, age=3 * DAY)
    plan = hub.plan_cache_prune()
    (tree,) = Store(settings.home).trees()
    lock = settings.home / "locks-v1" / f"tree-{tree.path.parent.name}-{tree.path.name}.lock"
    with at_work(lock, Step(), 0.0):
        done = hub.prune(plan)
    assert "another process is fetching 1111111" in next(item.reason for item in done.failed)
    assert tree.path.exists()


def test_the_folders_and_what_they_take(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    built(settings, tmp_path / "repo")
    found = {item.name: item for item in hub.cache()}
    assert list(found)[:3] == ["environments", "trees", "resolutions"]
    assert found["environments"].entries == 1
    assert 0 < found["environments"].disk.freed < found["environments"].disk.size
    assert found["trees"].entries == 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_is_removed_before_its_worker_starts_is_built_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "hubconf.py").write_text(GOOD)
    environment = hub.environment(tmp_path / "repo", source="local")
    armed = True

    def remove(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal armed
        # The worker's use begins with this; it has been found, and is not held yet.
        if armed and event == "open" and str(arguments[0]).endswith(".users"):
            armed = False
            hub.remove_environment(environment)

    sys.addaudithook(remove)
    assert hub.load(tmp_path / "repo", "f", source="local") == 1
    assert not armed
    (again,) = hub.environments()
    assert isinstance(again, Environment)
    assert again.manifest.built > environment.manifest.built
