"""Damaged environments and trees are found, and mended or made room for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.record import site_packages
from isohub.envs.store import Environment, EnvironmentRequest
from isohub.envs.verify import faults_of
from isohub.errors import BuildError, OfflineError
from isohub.hub import Hub
from isohub.sources.store import Store
from isohub.sources.tree import Pin
from tests.environments import PackageIndex, one_of_each, provide

HUBCONF = "dependencies = ['six', 'packaging']\nimport packaging, six\nimport models\ndef f(): return 1\n"
COMMIT = "1" * 40


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of uv's that may be damaged."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path / "uv"


@pytest.fixture
def hub(home: Path) -> Iterator[Hub]:
    with Hub(home=home) as hub:
        yield hub


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> Environment:
    """Of a tree that was fetched."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    (folder / "models.py").write_text("# models\n")
    pin = Pin("github", "github.com/test/repo", "refs/heads/main", COMMIT)

    def write_archive(path: Path) -> None:
        shutil.make_archive(str(path.with_suffix("")), "zip", folder.parent, folder.name)

    tree = Store(settings.home).add(pin, write_archive)
    return provide(settings, tree)


def installed(environment: Environment, name: str) -> Path:
    return site_packages(EnvironmentFolder(environment.path)) / name


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("# more\n")


def replace(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[::-1])


def truncate(path: Path) -> None:
    os.truncate(path, 10)


@pytest.mark.parametrize(
    ("damage", "what"),
    [(Path.unlink, "missing"), (append, "changed"), (replace, "changed"), (truncate, "changed")],
)
def test_a_file_of_a_distribution(
    hub: Hub, environment: Environment, damage: Callable[[Path], None], what: str
) -> None:
    path = installed(environment, "six.py")
    before = path.read_bytes()
    assert list(hub.verify()) == []
    damage(path)
    (found,) = hub.verify()
    assert (found.kind, found.key, found.path) == ("environment", environment.path.name, environment.path)
    (fault,) = found.faults
    assert (fault.path, fault.what) == (str(path.relative_to(environment.path)), what)
    assert fault.distribution == "six"
    assert hub.repair(found).outcome == "rebuilt"
    assert list(hub.verify()) == []
    assert path.read_bytes() == before
    # It is what it was but for the time of its build, and nothing is left.
    (again,) = hub.environments()
    assert isinstance(again, Environment)
    assert again.manifest.requirements == environment.manifest.requirements
    assert again.manifest.packages == environment.manifest.packages
    assert again.manifest.built > environment.manifest.built
    assert list((environment.path.parents[1] / "logs").iterdir()) == []


def own(name: str) -> Callable[[Environment], Path]:
    return lambda environment: environment.path / name


@pytest.mark.parametrize(
    ("of", "damage", "what"),
    [
        (own("repo/hubconf.py"), append, "changed"),
        (own("repo/models.py"), Path.unlink, "missing"),
        (own("env/pyvenv.cfg"), truncate, "changed"),
        (lambda environment: environment.python, Path.unlink, "missing"),
        (lambda environment: installed(environment, "pip/__init__.py"), truncate, "changed"),
        (lambda environment: next(installed(environment, "").glob("six-*")) / "RECORD", truncate, "changed"),
        (lambda environment: next(installed(environment, "").glob("six-*")), shutil.rmtree, "missing"),
    ],
)
def test_a_file_of_its_own(
    hub: Hub,
    environment: Environment,
    of: Callable[[Environment], Path],
    damage: Callable[[Path], None],
    what: str,
) -> None:
    path = of(environment)
    damage(path)
    (found,) = hub.verify()
    assert what in {fault.what for fault in found.faults}
    assert hub.repair(found).outcome == "rebuilt"
    assert list(hub.verify()) == []
    assert os.path.lexists(path)


def test_an_interpreter_that_is_gone(hub: Hub, environment: Environment) -> None:
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python")
    (found,) = hub.verify()
    assert "leads to /nowhere/python, which is not there" in {fault.what for fault in found.faults}
    assert hub.repair(found).outcome == "rebuilt"


def test_what_a_repository_or_a_worker_writes_is_no_damage(hub: Hub, environment: Environment) -> None:
    (environment.repo_dir / "compiled.so").write_text("")
    installed(environment, "cache.txt").write_text("")
    with Hub(home=hub.settings.home) as other:
        assert other.verify() is not None
    assert list(hub.verify()) == []


@pytest.mark.parametrize(
    "damage", ["no manifest", "half a manifest", "no lock", "no interpreter to build on"]
)
def test_what_cannot_be_built_from_its_own_lock_is_removed(
    settings: Settings, hub: Hub, environment: Environment, damage: str
) -> None:
    manifest = environment.path / "manifest.json"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        os.truncate(manifest, 200)
    elif damage == "no lock":
        (environment.path / "pylock.toml").unlink()
    else:
        manifest.write_text(
            json.dumps({**json.loads(manifest.read_text()), "interpreter": "/nowhere/python3"})
        )
        environment.python.unlink()
    (found,) = hub.verify()
    done = hub.repair(found)
    assert (done.outcome, "the next load builds one" in done.reason) == ("removed", True)
    assert hub.environments() == []
    tree = Store(settings.home).find(Pin("github", "github.com/test/repo", "refs/heads/main", COMMIT))
    assert tree is not None
    assert provide(settings, tree).path == environment.path


def test_damage_goes_no_further_than_the_cache_that_is_shared(
    settings: Settings, hub: Hub, environment: Environment
) -> None:
    """A file that is edited in place is edited in uv's cache and in every other environment."""
    tree = Store(settings.home).find(Pin("github", "github.com/test/repo", "refs/heads/main", COMMIT))
    assert tree is not None
    other = provide(settings, tree, EnvironmentRequest(requirements=("idna",)))
    path = installed(environment, "six.py")
    before = path.read_bytes()
    assert path.samefile(installed(other, "six.py"))
    append(path)
    found = [*hub.verify()]
    assert {item.path for item in found} == {environment.path, other.path}
    assert all(fault.shared for item in found for fault in item.faults)
    assert [hub.repair(item).outcome for item in found] == ["rebuilt", "rebuilt"]
    assert installed(other, "six.py").read_bytes() == path.read_bytes() == before
    assert list(hub.verify()) == []


def test_offline_what_is_not_cached_stays_as_it_is(hub: Hub, environment: Environment) -> None:
    append(installed(environment, "six.py"))
    with Hub(home=hub.settings.home, offline=True) as offline:
        (found,) = offline.verify()
        with pytest.raises(OfflineError, match="files of six were changed in uv's cache as well"):
            offline.repair(found)
    assert environment.path.exists()
    assert isinstance(hub.environments()[0], Environment)
    # What is only missing here is in the cache.
    with Hub(home=hub.settings.home, offline=True) as offline:
        installed(environment, "six.py").unlink()
        (found,) = offline.verify()
        assert offline.repair(found).outcome == "rebuilt"


def test_a_repair_that_fails_leaves_nothing_half_built(
    settings: Settings, hub: Hub, environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "uv")
    installed(environment, "six.py").unlink()
    (found,) = hub.verify()
    with PackageIndex() as nothing:
        monkeypatch.setenv("UV_OFFLINE", "1")
        monkeypatch.setenv("UV_DEFAULT_INDEX", nothing.url)
        with pytest.raises(BuildError) as caught:
            hub.repair(found)
    assert caught.value.step == "install"
    assert hub.environments() == []
    assert not environment.path.exists()


def test_one_in_use_is_looked_at_and_not_mended(hub: Hub, environment: Environment) -> None:
    installed(environment, "six.py").unlink()
    with environment.hold():
        (found,) = hub.verify()
        with pytest.raises(BuildError, match="is in use"):
            hub.repair(found)
    assert environment.path.exists()
    assert hub.repair(found).outcome == "rebuilt"
    # Whoever found the same damage comes too late.
    before = (environment.path / "manifest.json").stat().st_mtime_ns
    assert hub.repair(found).outcome == "whole"
    assert (environment.path / "manifest.json").stat().st_mtime_ns == before


def test_one_that_was_built_anew_since_it_was_listed_is_not_damaged(
    hub: Hub, environment: Environment
) -> None:
    installed(environment, "six.py").unlink()
    assert len(faults_of(environment)) == 1
    manifest = environment.path / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.unlink()
    assert faults_of(environment) == ()
    manifest.write_text(json.dumps({**content, "built": content["built"] + 1}))
    assert faults_of(environment) == ()


def test_a_folder_that_changed_cannot_be_built_from(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "hubconf.py").write_text("dependencies = ['six']\ndef f(): pass\n")
    environment = hub.environment(tmp_path / "local", source="local")
    installed(environment, "six.py").unlink()
    (found,) = hub.verify([environment])
    assert hub.repair(found).outcome == "rebuilt"
    installed(environment, "six.py").unlink()
    (tmp_path / "local" / "hubconf.py").write_text("dependencies = ['six']\ndef g(): pass\n")
    done = hub.repair(*hub.verify([environment]))
    assert (done.outcome, "is not what it was built from any more" in done.reason) == ("removed", True)


def test_a_tree_that_was_changed(settings: Settings, hub: Hub, environment: Environment) -> None:
    (tree,) = Store(settings.home).trees()
    append(tree.path / "tree" / "models.py")
    (found,) = hub.verify()
    assert (found.kind, found.path) == ("tree", tree.path)
    assert hub.repair(found).outcome == "removed"
    assert Store(settings.home).trees() == []
    assert isinstance(hub.environments()[0], Environment)


def test_a_record_that_leads_out_is_not_followed(hub: Hub, environment: Environment, tmp_path: Path) -> None:
    record = next(installed(environment, "").glob("six-*")) / "RECORD"
    os.mkfifo(tmp_path / "fifo")
    with record.open("a") as file:
        file.write("../../../../../../../../../../../../etc/passwd,sha256=x,1\n/etc/passwd,sha256=x,1\n")
        file.write(f"{tmp_path}/fifo,sha256=x,1\n")
    (found,) = hub.verify()
    assert [fault.path for fault in found.faults] == [str(record.relative_to(environment.path))]


def test_the_oldest_python_s_is_whole_as_well(settings: Settings, environment: Environment) -> None:
    tree = Store(settings.home).find(Pin("github", "github.com/test/repo", "refs/heads/main", COMMIT))
    assert tree is not None
    oldest = min(one_of_each(settings), key=lambda item: item.version)
    other = provide(settings, tree, EnvironmentRequest(python=oldest.version_text))
    assert [faults_of(item) for item in (environment, other)] == [(), ()]
