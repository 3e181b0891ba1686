from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.errors import ConfigError, HubconfError, RefError
from isohub.progress import Progress
from isohub.sources import builtin, catalog
from isohub.sources.tree import Pin, Tree

QUIET = Progress(False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", offline=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my hub"
    folder.mkdir()
    (folder / "hubconf.py").write_text("dependencies = []\n")
    return folder


def load(repo: str | os.PathLike[str], settings: Settings, source: str = "local") -> Tree:
    pin = catalog.resolve(repo, source=source, settings=settings, progress=QUIET)
    return catalog.fetch(pin, settings=settings, progress=QUIET)


def test_a_folder_is_its_own_tree_and_its_content_is_its_commit(folder: Path, settings: Settings) -> None:
    tree = load(str(folder), settings)
    assert tree == Tree(Pin("local", str(folder), None, tree.pin.commit), folder)
    assert len(tree.pin.commit) == 64
    assert load(folder, settings, source="LOCAL") == tree
    (folder / "hubconf.py").write_text("dependencies = ['torch']\n")
    assert load(folder, settings).pin.commit != tree.pin.commit


def test_a_folder_is_named_in_any_way(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = load(folder, settings)
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder)
    for name in (".", "../my hub", "../link", "~/my hub"):
        assert load(name, settings) == tree


@pytest.mark.parametrize(
    "name", ["missing", "hubconf.py", "owner/name:main", "", "a\0b", "~nobody-of-this-name/x", "x" * 5000]
)
def test_what_is_no_folder_is_refused(
    name: str, folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises((RefError, HubconfError)):
        load(name, settings)


def test_a_folder_without_hubconf_is_not_even_hashed(tmp_path: Path, settings: Settings) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HubconfError, match=r"no hubconf\.py in"):
        load(tmp_path, settings)
    assert not settings.home.exists()


def test_the_built_in_hubs(settings: Settings) -> None:
    tree = load("torch", settings, source="builtin")
    assert tree.pin == Pin("builtin", "torch", None, tree.pin.commit)
    assert (tree.path / "hubconf.py").is_file()
    assert "torch" in builtin.names()


@pytest.mark.parametrize(
    ("name", "hint"), [("troch", "did you mean 'torch'?"), ("../hubs/torch", ""), ("xyz", "torch"), ("", "")]
)
def test_other_names_are_no_built_in_hubs(name: str, hint: str, settings: Settings) -> None:
    with pytest.raises(RefError, match="no built-in hub") as caught:
        load(name, settings, source="builtin")
    assert hint in str(caught.value)


def test_an_unknown_source_is_a_value_error_as_in_torch_hub(settings: Settings) -> None:
    with pytest.raises(ConfigError, match='Unknown source: "svn"') as caught:
        load("x", settings, source="svn")
    assert isinstance(caught.value, ValueError)


def test_what_is_on_this_machine_needs_no_network_library(folder: Path, settings: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from isohub.config import Settings; from isohub.progress import Progress;"
        "from isohub.sources import catalog;"
        f"catalog.resolve({str(folder)!r}, source='local', settings=Settings(Path({str(settings.home)!r})),"
        " progress=Progress(False));"
        "sys.exit(any(name in sys.modules for name in ('httpx', 'rich', 'filelock')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
