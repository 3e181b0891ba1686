"""Sandboxes from the outside: what a Hub says where it cannot have one, and environments that are built in one."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import isohub
from isohub.envs.buildlog import BuildLog
from isohub.envs.describe import describe
from isohub.errors import BuildError, ConfigError, ResolveError, SandboxError
from isohub.sandbox import Sandbox, bubblewrap
from tests.workers import PYTHONS, WIRE, environment

PROGRAM, MISSING = bubblewrap()
needs_bubblewrap = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
# It tries things while it is imported, so while its environment is built, too.
HUBCONF = """
import os, sys

def _could(path, mode):
    try:
        with open(path, mode) as file:
            file.write("mine") if "w" in mode else file.read()
        return True
    except OSError:
        return False

home = os.path.expanduser("~")
outside, own = os.path.join(home, "secret"), os.path.join(os.path.dirname(__file__), "built_in_place")
found = {
    "reads": _could(outside, "r"), "writes home": _could(os.path.join(home, "mine"), "w"), "builds": _could(own, "w"),
    "writes environment": _could(os.path.join(sys.prefix, "mine"), "w"),
}
print("while importing", found)
os.system("pip install something-else")

def tried():
    return found
"""


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a secret in it, and a repository."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "secret").write_text("swordfish")
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "hubconf.py").write_text(HUBCONF)
    return tmp_path


@pytest.fixture
def no_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has none."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*"):
            if program.name != "bwrap" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(programs))
    bubblewrap.cache_clear()
    yield
    bubblewrap.cache_clear()


# ---- where there is none


def test_no_bubblewrap_is_an_error(home: Path, no_bubblewrap: None) -> None:
    with pytest.raises(SandboxError, match=r"bwrap.* is not on PATH") as caught:
        isohub.Hub(sandbox="bwrap")
    assert caught.value.hint is not None
    assert "auto" in caught.value.hint


def test_bubblewrap_that_cannot_make_a_sandbox_is_an_error(
    home: Path, tmp_path: Path, no_bubblewrap: None
) -> None:
    broken = tmp_path / "programs" / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(SandboxError, match="No permissions to create a new namespace"):
        isohub.Hub(sandbox="bwrap")


def test_auto_goes_without_and_says_so(here: Path, no_bubblewrap: None) -> None:
    with isohub.Hub(sandbox="auto") as hub:
        tried = hub.load(here / "repo", "tried", source="local", trust_repo=True)
        (worker,) = isohub.workers()
    assert tried["reads"]
    assert "isohub: no sandbox: bubblewrap (bwrap) is not on PATH\n" in worker.log.read_text()


def test_what_a_sandbox_lets_through_needs_one(home: Path, tmp_path: Path) -> None:
    for name, value in {"network": True, "readable": [tmp_path], "writable": [tmp_path]}.items():
        with pytest.raises(ConfigError, match="there is none"):
            isohub.Hub(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="sandbox is 'docker'"):
        isohub.Hub(sandbox="docker")
    with pytest.raises(ConfigError, match="readable is one text"):
        isohub.Hub(sandbox="auto", readable="/tmp")
    with pytest.raises(SandboxError, match="missing, which a sandbox is to let through, is not there"):
        isohub.Hub(sandbox="auto", writable=[tmp_path / "missing"])


def test_settings_can_ask_for_one_and_a_project_cannot_do_away_with_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_bubblewrap: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOHUB_SANDBOX", "bwrap")
    with pytest.raises(SandboxError):
        isohub.Hub()
    isohub.Hub(sandbox="none").close()
    Path("isohub.toml").write_text('sandbox = "none"\n')
    with pytest.raises(ConfigError, match="cannot be set by a project"):
        isohub.Hub()


# ---- builds


@needs_bubblewrap
def test_the_first_import_is_in_the_sandbox_too(here: Path) -> None:
    with isohub.Hub(sandbox="bwrap") as hub:
        environment = hub.environment(here / "repo", source="local", trust_repo=True, verbose=False)
        built = (environment.path / "build.log").read_text()
        tried = hub.load(here / "repo", "tried", source="local", verbose=False)
    assert f"isohub: in a sandbox of {PROGRAM}, without network" in built
    assert (environment.path / "build.log").stat().st_mode & 0o077 == 0
    nothing = {"reads": False, "writes environment": False, "writes home": True}
    assert (
        f"while importing { {'reads': False, 'writes home': True, 'builds': True, 'writes environment': False} }"
        in built
    )
    assert tried == {**nothing, "builds": False}, "a finished environment is nobody's to write"
    assert (environment.repo_dir / "built_in_place").exists()
    assert not (here / "user" / "mine").exists()
    assert environment.asked_of_pip == ("something-else",)
    assert not (environment.path / "answer").exists()


@needs_bubblewrap
def test_nothing_is_built_from_source_without_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = here / "setup-ran"
    setup = f"open({str(ran)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='isohub-test-sourced', version='1.0')\n"
    links = here / "links"
    links.mkdir()
    with tarfile.open(links / "isohub_test_sourced-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "isohub_test_sourced-1.0/setup.py": setup,
            "isohub_test_sourced-1.0/PKG-INFO": "Metadata-Version: 1.0\nName: isohub-test-sourced\nVersion: 1.0\n",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    for requirement in (
        "isohub-test-sourced",
        f"isohub-test-sourced @ {(links / 'isohub_test_sourced-1.0.tar.gz').as_uri()}",
    ):
        with isohub.Hub(sandbox="bwrap", requirements=[requirement], python=PYTHONS[-1]) as hub:
            with pytest.raises((ResolveError, BuildError)) as caught:
                hub.environment(here / "repo", source="local", trust_repo=True, verbose=False)
            assert caught.value.hint is not None
            assert "nothing is built from source" in caught.value.hint
    assert not ran.exists()


@needs_bubblewrap
def test_what_was_built_without_is_used_with(here: Path) -> None:
    with isohub.Hub() as without:
        built = without.environment(here / "repo", source="local", trust_repo=True, verbose=False)
    with isohub.Hub(sandbox="bwrap") as hub:
        assert hub.environment(here / "repo", source="local", verbose=False) == built
        assert not hub.load(here / "repo", "tried", source="local", verbose=False)["reads"]


@pytest.mark.parametrize(
    "trick", ["os.symlink('/etc/hostname', answer)", "os.mkfifo(answer)", "os.mkdir(answer)"]
)
def test_an_answer_that_is_no_file_is_not_read(tmp_path: Path, trick: str) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "hubconf.py").write_text(
        f"import os, sys\nanswer = {str(tmp_path / 'answer' / 'describe.json')!r}\n{trick}\nos._exit(0)\n"
    )
    sandbox = None if PROGRAM is None else Sandbox(PROGRAM)
    with pytest.raises(BuildError, match="usable answer"):
        describe(
            environment(PYTHONS[-1], *WIRE),
            repo,
            tmp_path / "answer",
            BuildLog(tmp_path / "log"),
            sandbox=sandbox,
        )
    assert stat.S_ISREG((tmp_path / "log").stat().st_mode)
