"""Environments out of a lock file: the very same again in another home, whatever has happened to the repository since."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.config import Settings
from isohub.envs.lockfile import LockedRepository, read_lockfile, write_lockfile
from isohub.envs.lockfile_text import LockedEntry
from isohub.envs.rebuilding import resolved_from
from isohub.envs.store import Environment
from isohub.errors import (
    BuildError,
    ConfigError,
    FetchError,
    HubClosed,
    IsohubError,
    OfflineError,
    PythonNotFound,
    UntrustedRepo,
)
from isohub.progress import Progress
from isohub.sources.tree import Pin
from tests.environments import PackageIndex, make_wheel, one_of_each
from tests.servers import GitHubServer, GitRepository

# Where this machine's index is a folder, locking says so; what is said is tested with a folder of the test's own.
pytestmark = pytest.mark.filterwarnings("ignore:the lock of .* can only be built where:UserWarning")

REPO = "someone/nets"
HUBCONF = """\
dependencies = ["six"]
import os, sys
import six

def old(x=1):
    '''What was there when it was locked.'''
    return x, six.__version__, os.environ.get("STACK"), sys.modules.get("prepared") is not None
"""
NEW = HUBCONF.replace("def old", "def new")


@pytest.fixture
def repository(github: GitHubServer) -> GitRepository:
    return github.create(REPO, {"hubconf.py": HUBCONF})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "isohub.lock"


@pytest.fixture
def locked(repository: GitRepository, path: Path) -> LockedRepository:
    """The repository as it is locked, by the name of its default branch and an older release of six; then it moves on."""
    lock_at(path, constraints=["six<1.17"])
    repository.commit({"hubconf.py": NEW})
    return read_lockfile(path).repositories[0]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another home, where nothing is known."""
    return tmp_path / "elsewhere"


def lock_at(path: Path, *repos: str, **options: Any) -> Environment:
    """Lock repositories, and answer the environment of the first."""
    with isohub.Hub(**options) as hub:
        names = repos or (REPO,)
        write_lockfile(path, [hub.lock(name, trust_repo=True, verbose=False) for name in names])
        return hub.environment(names[0], verbose=False)


def environments(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "envs-v1").glob("*") if path.is_dir())


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# ---- the same again


def test_the_same_again_in_another_home(
    locked: LockedRepository, path: Path, home: Path, elsewhere: Path, github: GitHubServer
) -> None:
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        assert hub.list(REPO, trust_repo=True) == ["old"]
        assert hub.help(REPO, "old") == "What was there when it was locked."
        assert hub.load(REPO, "old", 7)[:2] == (7, "1.16.0")
        assert hub.list(f"{REPO}:main") == hub.list(f"{REPO}:{locked.pin.commit}") == ["old"]
        environment = hub.environment(REPO)
        assert hub.explain(REPO).lock.version("six") == "1.16.0"
    assert github.count("/info/refs") == 1, (
        "where the branch is was asked when it was locked, and never since"
    )
    assert environment.manifest.commit == locked.pin.commit
    assert (environment.path / "pylock.toml").read_text() == locked.pylock
    # One machine's interpreter, one lock, one content: one key, in whatever home.
    assert environments(elsewhere) == environments(home)
    # Without the lock it is what it is now.
    with isohub.Hub(home=elsewhere) as hub:
        assert hub.list(REPO) == ["new"]


def test_the_environment_that_was_locked_is_found_and_not_built(
    locked: LockedRepository, path: Path, home: Path, github: GitHubServer
) -> None:
    shutil.rmtree(home / "trees-v1")
    [before] = environments(home)
    times = []
    with github.nobody_asks(), isohub.Hub(lock=path) as hub:
        for _ in range(20):
            started = time.perf_counter()
            environment = hub.environment(REPO)
            times.append(time.perf_counter() - started)
    assert [environment.path.name] == [before] == environments(home)
    assert sorted(times)[10] < 0.01


def test_again_offline_from_what_is_cached(
    locked: LockedRepository, path: Path, elsewhere: Path, github: GitHubServer
) -> None:
    offline = isohub.Hub(home=elsewhere, lock=path, offline=True)
    with offline, github.nobody_asks(), pytest.raises(OfflineError, match=f"{REPO} at {locked.pin.commit}"):
        offline.environment(REPO, trust_repo=True)
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        first = hub.environment(REPO)
        hub.remove_environment(first)
    with isohub.Hub(home=elsewhere, lock=path, offline=True) as hub, github.nobody_asks():
        second = hub.environment(REPO)
    assert second.path == first.path
    assert second.manifest.built > first.manifest.built


def test_several_repositories_in_one_file(
    locked: LockedRepository, repository: GitRepository, github: GitHubServer, path: Path, elsewhere: Path
) -> None:
    github.create("other/nets", {"hubconf.py": "def other(): return 3\n"})
    folder = path.parent / "mine"
    folder.mkdir()
    (folder / "hubconf.py").write_text("def mine(): return 4\n")
    with isohub.Hub() as hub:
        found = [
            hub.lock(f"{REPO}:main", force_reload=True),
            hub.lock("other/nets", trust_repo=True),
            hub.lock(folder, source="local"),
            hub.lock(repository.url, source="git", trust_repo=True),
        ]
    write_lockfile(path, [locked, *found])
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        built = [hub.rebuild(item, trust_repo=True) for item in hub.locked]
        assert hub.load("other/nets", "other") == 3
        assert hub.load(str(folder), "mine", source="local") == 4
        assert hub.list(repository.url, source="git") == hub.list(f"{REPO}:main") == ["new"]
        assert hub.list(REPO) == ["old"]
    names_offered = [[entry.name for entry in item.entry_points] for item in built]
    assert names_offered == [["old"], ["new"], ["other"], ["mine"], ["new"]]


def test_a_recipe_goes_along(
    repository: GitRepository, path: Path, home: Path, elsewhere: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "nets.toml"
    recipe.write_text(
        'constraints = ["six==1.15.0"]\n'
        "prelude = '''\nimport sys, types\nsys.modules['prepared'] = types.ModuleType('prepared')\n'''\n"
        f'[env]\nSTACK = "old"\n[match]\nrepositories = ["{REPO}"]\n'
    )
    lock_at(path, recipe=recipe)
    recipe.unlink()
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        assert hub.load(REPO, "old", trust_repo=True) == (1, "1.15.0", "old", True)
    assert environments(elsewhere) == environments(home)
    change(path, '"STACK" = "old"', '"STACK" = "evil"')
    with (
        isohub.Hub(home=elsewhere, lock=path) as hub,
        pytest.raises(ConfigError, match="recipe nets in the lock"),
    ):
        hub.load(REPO, "old")


# ---- the interpreter


def test_another_python_than_the_host_s(repository: GitRepository, path: Path, elsewhere: Path) -> None:
    others = [
        item for item in one_of_each(Settings(home=elsewhere)) if item.version[:2] != sys.version_info[:2]
    ]
    other = others[0]
    built = lock_at(path, python=other.version_text)
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        assert (
            hub.environment(REPO, trust_repo=True).manifest.python
            == built.manifest.python
            == other.version_text
        )
    with isohub.Hub(home=elsewhere, lock=path, python=other.path) as hub:
        assert hub.environment(REPO).manifest.interpreter == str(other.path)
    refused = pytest.raises(ConfigError, match=f"locked on Python {other.version_text}, and .* is cpython")
    with isohub.Hub(home=elsewhere, lock=path, python=sys.executable) as hub, refused:
        hub.environment(REPO)


@pytest.mark.parametrize(
    ("locked_for", "here", "fits"),
    [
        ("linux-x86_64", "linux-x86_64", True),
        ("linux-x86_64", "linux-aarch64", False),
        ("macosx-11.0-arm64", "macosx-14.2-arm64", True),
        ("macosx-11.0-arm64", "macosx-10.13-x86_64", False),
        ("macosx-10.13-universal2", f"macosx-14.2-{platform.machine()}", True),
        ("macosx-10.13-universal2", "macosx-14.2-other", False),
        ("linux-x86_64", "macosx-14.2-x86_64", False),
        ("win-amd64", "win-amd64", True),
        ("win32", "win-amd64", False),
    ],
)
def test_platforms(
    home: Path, monkeypatch: pytest.MonkeyPatch, locked_for: str, here: str, fits: bool
) -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    pin = Pin("builtin", "torch", None, "a" * 64)
    entry = LockedEntry(
        *(pin.source, pin.repo, pin.ref, pin.commit, (), f"sha256:{pin.commit}"),
        *(python, "cpython", locked_for, None, "pylock.x.toml", "0" * 64),
    )
    item = LockedRepository(entry, 'lock-version = "1.0"\n')
    monkeypatch.setattr(sysconfig, "get_platform", lambda: here)
    if fits:
        resolved = resolved_from(item, sys.executable, Settings(home=home), Progress(False))
        assert resolved.interpreter.version_text == python
    else:
        with pytest.raises(
            ConfigError, match=f"torch at aaaaaaaaaaaa was locked for {locked_for}, and this is {here}"
        ):
            resolved_from(item, sys.executable, Settings(home=home), Progress(False))


def test_a_setting_s_python_does_not_go_against_the_lock(
    locked: LockedRepository, path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOHUB_PYTHON", "3.99")
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        assert hub.environment(REPO, trust_repo=True).manifest.python == locked.entry.python


def test_another_patch_release_does_and_is_told(
    locked: LockedRepository, path: Path, elsewhere: Path
) -> None:
    minor = ".".join(locked.entry.python.split(".")[:2])
    change(path, f'python = "{locked.entry.python}"', f'python = "{minor}.99"')
    told = pytest.warns(UserWarning, match=f"was locked on Python {minor}.99, and is built on {minor}")
    with isohub.Hub(home=elsewhere, lock=path) as hub, told:
        environment = hub.environment(REPO, trust_repo=True)
    assert environment.manifest.python.startswith(f"{minor}.")


CHANGES: list[tuple[str, str, type[IsohubError], str]] = [
    (
        r'python = ".*"',
        'python = "3.99.1"',
        PythonNotFound,
        "was locked on Python 3.99.1: no Python 3.99 on this",
    ),
    (r'platform = ".*"', 'platform = "win-amd64"', ConfigError, "was locked for win-amd64, and this is"),
    (r'implementation = ".*"', 'implementation = "pypy"', ConfigError, "was locked on pypy 3"),
    (r'tree = ".*"', f'tree = "sha256:{"0" * 64}"', FetchError, "is not what was locked"),
    (r'repo = "127.0.0.1', 'repo = "127.0.0.2', ConfigError, "was locked from another server"),
]


def test_a_changed_field_is_refused_by_name(
    locked: LockedRepository, path: Path, home: Path, elsewhere: Path
) -> None:
    text = path.read_text()
    for pattern, changed, error, message in CHANGES:
        path.write_text(re.sub(pattern, changed, text, count=1))
        assert path.read_text() != text
        # Where it was locked it is refused as well: what is there is not what the file says now.
        for place in (home, elsewhere):
            before = environments(place)
            with isohub.Hub(home=place, lock=path) as hub, pytest.raises(error, match=message) as caught:
                hub.rebuild(hub.locked[0], trust_repo=True)
            assert caught.value.hint
            assert environments(place) == before
            assert not [*(place / "logs").glob("*")]


# ---- content that is not what was locked


def test_another_commit_in_the_file(
    locked: LockedRepository, repository: GitRepository, path: Path, elsewhere: Path
) -> None:
    change(path, locked.pin.commit, repository.git("rev-parse", "main"))
    with (
        isohub.Hub(home=elsewhere, lock=path) as hub,
        pytest.raises(FetchError, match="is not what was locked"),
    ):
        hub.environment(REPO, trust_repo=True)
    change(path, repository.git("rev-parse", "main"), "0" * 40)
    with (
        isohub.Hub(home=elsewhere, lock=path) as hub,
        pytest.raises(FetchError, match="does not have the commit"),
    ):
        hub.environment(REPO)
    assert environments(elsewhere) == []


def test_a_server_that_sends_something_else(
    locked: LockedRepository, repository: GitRepository, path: Path, elsewhere: Path, github: GitHubServer
) -> None:
    commit = locked.pin.commit
    evil = repository.commit({"hubconf.py": "def evil(): pass\n"}, branch="evil")
    archive = repository.archive(evil, "someone-nets-0000000")
    github.archives[commit] = archive.replace(evil.encode(), commit.encode())
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        with pytest.raises(
            FetchError, match="is not what was locked, though the commit's id is the same"
        ) as caught:
            hub.environment(REPO, trust_repo=True)
        assert environments(elsewhere) == []
        assert "force_reload=True" in (caught.value.hint or "")
        github.archives.clear()
        assert [entry.name for entry in hub.environment(REPO, force_reload=True).entry_points] == ["old"]


def test_a_folder_that_was_edited(path: Path, home: Path, elsewhere: Path) -> None:
    folder = path.parent / "mine"
    folder.mkdir()
    hubconf = folder / "hubconf.py"
    hubconf.write_text("def mine(): return 4\n")
    with isohub.Hub() as hub:
        write_lockfile(path, [hub.lock(folder, source="local")])
    hubconf.write_text("def mine(): return 5\n")
    with (
        isohub.Hub(home=elsewhere, lock=path) as hub,
        pytest.raises(FetchError, match="has changed since it was locked"),
    ):
        hub.environment(folder, source="local")
    with isohub.Hub(lock=path) as hub:
        assert hub.load(folder, "mine", source="local") == 4, "what was locked is still here"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """A further index, and an empty cache for uv."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with PackageIndex() as server:
        yield server


def test_a_distribution_that_is_another_one(
    repository: GitRepository,
    index: PackageIndex,
    tmp_path: Path,
    path: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel = make_wheel(tmp_path / "wheels", "isohubprobe", "1.0")
    monkeypatch.setenv("UV_INDEX", index.offer("extra", wheel))
    lock_at(path, requirements=["isohubprobe"])
    monkeypatch.delenv("UV_INDEX")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "other-cache"))
    evil = make_wheel(tmp_path / "evil", "isohubprobe", "1.0", source="print('evil')\n")
    right = index.files["/extra/files/isohubprobe-1.0-py3-none-any.whl"]
    index.files["/extra/files/isohubprobe-1.0-py3-none-any.whl"] = evil.read_bytes()
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        with pytest.raises(BuildError, match="cannot install isohubprobe") as caught:
            hub.environment(REPO, trust_repo=True)
        assert caught.value.step == "install"
        assert "Hash mismatch" in (caught.value.tail or "")
        assert environments(elsewhere) == []
        index.files["/extra/files/isohubprobe-1.0-py3-none-any.whl"] = right
        assert hub.environment(REPO).manifest.packages["isohubprobe"] == "1.0"


@pytest.mark.filterwarnings("default:the lock of")
def test_files_of_this_machine_s_are_named(
    repository: GitRepository, tmp_path: Path, path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "links", "isohubprobe", "1.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheel.parent))
    with pytest.warns(UserWarning, match="can only be built where the same files lie.*isohubprobe.*file://"):
        lock_at(path, requirements=["isohubprobe"])
    monkeypatch.delenv("UV_FIND_LINKS")
    with isohub.Hub(home=elsewhere, lock=path) as hub:
        assert hub.environment(REPO, trust_repo=True).manifest.packages["isohubprobe"] == "1.0"


# ---- what a Hub with a lock refuses


def test_what_is_not_locked_is_refused(locked: LockedRepository, path: Path, github: GitHubServer) -> None:
    with github.nobody_asks(), isohub.Hub(lock=path) as hub:
        for call in (hub.list, hub.environment, hub.explain, hub.tree):
            with pytest.raises(
                ConfigError,
                match=rf"isohub\.lock does not have {REPO}:dev; it has 127.0.0.1:\d+/{REPO} at main",
            ):
                call(f"{REPO}:dev")
        with pytest.raises(ConfigError, match="nothing new to lock"):
            hub.lock(REPO)
        assert hub.tree(REPO).pin == locked.pin
    with pytest.raises(HubClosed):
        hub.list(REPO)


def test_a_lock_trusts_nobody(
    locked: LockedRepository, path: Path, elsewhere: Path, github: GitHubServer
) -> None:
    with github.nobody_asks(), isohub.Hub(home=elsewhere, lock=path) as hub, pytest.raises(UntrustedRepo):
        hub.list(REPO)


@pytest.mark.parametrize(
    "options",
    [{"requirements": ["six"]}, {"constraints": ["six<2"]}, {"torch_backend": "cpu"}, {"recipe": "x.toml"}],
)
def test_what_a_lock_says_already_cannot_be_said(path: Path, home: Path, options: dict[str, Any]) -> None:
    write_lockfile(path, [])
    with pytest.raises(ConfigError, match=f"lock and {next(iter(options))} are both given"):
        isohub.Hub(lock=path, **options)
