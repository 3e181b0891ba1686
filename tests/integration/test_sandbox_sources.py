"""What has no wheel, where there is a sandbox: it is built in there if that may reach the network."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.envs.boxed import Box
from isohub.errors import BuildError, ResolveError
from isohub.sandbox import Sandbox, bubblewrap
from tests.workers import PYTHONS

PROGRAM, MISSING = bubblewrap(network=True)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
NAME = "isohub-test-sourced"
# What it tries, and what it can tell of that in a module of its own.
SETUP = """
import os, subprocess, sys
from setuptools import setup

def could(act):
    try:
        act()
        return True
    except OSError:
        return False

found = {
    "reads home": could(lambda: open(SECRET).read()),
    "writes shared cache": could(lambda: open(os.path.join(CACHE, "mine"), "w").write("x")),
    "writes isohub's home": could(lambda: open(os.path.join(HOME, "mine"), "w").write("x")),
    "sees programs": any(b"outside-of-it" in open(f"/proc/{n}/cmdline", "rb").read() for n in os.listdir("/proc") if n.isdigit()),
    "has secrets": "HF_TOKEN" in os.environ,
}
nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "left-by-setup"], start_new_session=True, **nothing)
with open("sourced.py", "w") as file:
    file.write(f"found = {found}\\n")
print("setup.py found", found)
MORE
setup(name=NAME, version="1.0", py_modules=["sourced"])
"""
HUBCONF = "import sourced\n\ndef found():\n    return sourced.found\n"


@pytest.fixture
def user(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home folder, with a secret in it."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "secret").write_text("swordfish")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("HF_TOKEN", "swordfish")
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    return folder


def sdist(folder: Path, home: Path, user: Path, more: str = "", name: str = NAME) -> None:
    """Put a source distribution into a folder."""
    folder.mkdir(exist_ok=True)
    values = {
        "SECRET": user / "secret",
        "CACHE": os.environ.get("UV_CACHE_DIR", user / ".cache" / "uv"),
        "HOME": home,
    }
    setup = SETUP.replace("MORE", more).replace("NAME", repr(name))
    for word, value in values.items():
        setup = (
            setup.replace(word, repr(str(value)), 1)
            if word == "SECRET"
            else setup.replace(f"({word},", f"({str(value)!r},")
        )
    with tarfile.open(folder / f"{NAME.replace('-', '_')}-1.0.tar.gz", "w:gz") as archive:
        for path, text in {
            "setup.py": setup,
            "PKG-INFO": f"Metadata-Version: 1.0\nName: {NAME}\nVersion: 1.0\n",
        }.items():
            info = tarfile.TarInfo(f"{NAME.replace('-', '_')}-1.0/{path}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


@contextmanager
def outside() -> Iterator[None]:
    """A program of the same user's."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()", "outside-of-it"], stdin=subprocess.PIPE
    ) as program:
        yield
        program.communicate(b"\n")


def left_by_setup() -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"left-by-setup" in (folder / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def test_it_is_built_in_the_sandbox_and_works(
    home: Path, user: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_workers = tmp_path / "of_workers"
    of_workers.mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    places = [of_workers, tmp_path / "torch" / "hub" / "checkpoints", tmp_path / "huggingface" / "hub"]
    writes = "".join(f"could(lambda: open({str(place / 'mine')!r}, 'w'))\n" for place in places)
    sdist(tmp_path / "links", home, user, writes)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))
    left = home / "tools-v1" / "boxes" / "box-left"  # by somebody who was killed
    (left / "closed").mkdir(parents=True)
    left.with_suffix(".lock").touch()
    options: dict[str, Any] = {"requirements": [NAME], "python": PYTHONS[-1]}
    with outside(), isohub.Hub(sandbox="bwrap", network=True, writable=[of_workers], **options) as hub:
        environment = hub.environment(repo, source="local", trust_repo=True, verbose=False)
        assert environment.manifest.packages[NAME] == "1.0"
        found = hub.load(repo, "found", source="local", verbose=False)
        # A home below /tmp is in there an empty folder of the sandbox's own.
        assert {**found, "writes isohub's home": False} == dict.fromkeys(found, False)
        assert not [*tmp_path.rglob("mine")]
        built = (environment.path / "build.log").read_text()
        assert f"isohub: in a sandbox of {PROGRAM}, with network" in built
        assert hub.environment(repo, source="local", verbose=False) == environment, "it is built once"
        assert not [*hub.verify([environment])]
    assert not left_by_setup()
    assert not [*(home / "tools-v1" / "boxes").glob("box-*")]


@pytest.mark.parametrize(
    ("more", "name", "words"),
    [
        ("raise SystemExit('I do not build')", NAME, "I do not build"),
        ("", "isohub-test-another", "isohub"),
    ],
    ids=["fails", "another name"],
)
def test_what_does_not_build_is_an_error(
    home: Path,
    user: Path,
    repo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    name: str,
    words: str,
) -> None:
    sdist(tmp_path / "links", home, user, more, name)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))
    with isohub.Hub(sandbox="bwrap", network=True, requirements=[NAME], python=PYTHONS[-1]) as hub:
        with pytest.raises((ResolveError, BuildError)) as caught:
            hub.environment(repo, source="local", trust_repo=True, verbose=False)
        assert words in str(caught.value)
        assert caught.value.log is not None
        assert not hub.environments()
    assert not [*(home / "tools-v1" / "boxes").glob("box-*")]


def test_only_the_users_own_words_let_files_in(tmp_path: Path) -> None:
    """What is required can name files, too, and that may be a stranger's word."""
    wanted, secret, links = tmp_path / "requirements.in", tmp_path / "secret", tmp_path / "links"
    secret.touch()
    links.mkdir()
    wanted.write_text(f"secret @ {secret.as_uri()}\n")
    words = Box(Sandbox(PROGRAM), tmp_path / "scratch").words(
        [Path("/usr/bin/true"), "pip", "compile", wanted],
        {"HOME": str(tmp_path / "user"), "UV_FIND_LINKS": str(links)},
        folder=tmp_path,
        python=Path(sys.executable),
    )
    assert str(wanted) in words
    assert str(links) in words
    assert str(secret) not in words
