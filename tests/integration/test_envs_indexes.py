"""Where distributions come from: what pip was told reaches uv, with the candidates that pip would have seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.pip_settings import read_pip_settings
from isohub.envs.store import EnvironmentRequest
from isohub.errors import ResolveError
from isohub.sources.tree import Tree
from tests.environments import PackageIndex, make_tree, make_wheel, provide


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(
        tmp_path / "repo", {"hubconf.py": "dependencies = ['isohubprobe']\nimport isohubprobe\n"}
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """A further index; what uv downloaded for another test is not known."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with PackageIndex() as server:
        yield server


def also(monkeypatch: pytest.MonkeyPatch, variable: str, *values: str) -> None:
    """Tell pip these, in addition to what it is told on this machine."""
    known = read_pip_settings()
    before = {"PIP_EXTRA_INDEX_URL": known.extra_index_urls, "PIP_FIND_LINKS": known.find_links}
    monkeypatch.setenv(variable, " ".join([*values, *before.get(variable, known.constraints)]))


def test_a_folder_of_distributions(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links", "isohubprobe", "1.5", requires=["isohubother>=2"])
    make_wheel(tmp_path / "links", "isohubother", "2.0")
    also(monkeypatch, "PIP_FIND_LINKS", str(tmp_path / "links"), str(tmp_path / "missing"))
    packages = provide(settings, tree).manifest.packages
    assert (packages["isohubprobe"], packages["isohubother"]) == ("1.5", "2.0")


def test_the_best_candidate_of_all_indexes(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [
        index.offer(name, make_wheel(tmp_path / name, "isohubprobe", version))
        for name, version in (("one", "1.0"), ("two", "3.0"), ("three", "2.0"))
    ]
    also(monkeypatch, "PIP_EXTRA_INDEX_URL", *urls)
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "3.0"


def test_a_folder_as_an_index(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "files", "isohubprobe", "1.0")
    page = tmp_path / "simple/isohubprobe/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<!DOCTYPE html><a href="../../files/{wheel.name}">{wheel.name}</a>')
    # The other distributions have no folder there, which is no failure.
    also(monkeypatch, "PIP_EXTRA_INDEX_URL", (tmp_path / "simple").as_uri())
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"


def test_a_file_of_constraints(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "links", "isohubprobe", version)
    also(monkeypatch, "PIP_FIND_LINKS", str(tmp_path / "links"))
    (tmp_path / "bounds.txt").write_text("isohubprobe<2\n")
    also(monkeypatch, "PIP_CONSTRAINT", str(tmp_path / "bounds.txt"))
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"


def test_pip_s_file(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links", "isohubprobe", "1.0")
    known = read_pip_settings()
    (tmp_path / "pip.conf").write_text(
        f"[install]\nfind-links = {tmp_path}/links {' '.join(known.find_links)}\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", " ".join(known.extra_index_urls))
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"


def test_no_index_is_asked_when_pip_asks_none(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links", "isohubprobe", "1.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ResolveError, match="isohub's worker"):
        provide(settings, tree)


def test_uv_s_own_settings_come_first(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "pip", "isohubprobe", "2.0")
    make_wheel(tmp_path / "uv", "isohubprobe", "1.0")
    also(monkeypatch, "PIP_FIND_LINKS", str(tmp_path / "pip"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "uv"))
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"


def test_a_stranger_s_checkout_does_not_steer_uv(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links", "isohubprobe", "1.0")
    also(monkeypatch, "PIP_FIND_LINKS", str(tmp_path / "links"))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "uv.toml").write_text(
        f'find-links = ["{tmp_path}/evil"]\nindex-url = "http://127.0.0.1:9/simple"\n'
    )
    (checkout / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\n[tool.uv]\nno-index = true\n'
    )
    (checkout / ".python-version").write_text("3.99\n")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "nowhere"))
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"


def test_other_indexes_are_another_resolution(
    settings: Settings, tree: Tree, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "one", "isohubprobe", "1.0")
    make_wheel(tmp_path / "two", "isohubprobe", "2.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "one"))
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "two"))
    # What is built answers; what has to be built is resolved by what is set now.
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.0"
    request = EnvironmentRequest(requirements=("isohubprobe",))
    assert provide(settings, tree, request).manifest.packages["isohubprobe"] == "2.0"


def test_a_file_of_the_user_s(settings: Settings, tmp_path: Path, index: PackageIndex) -> None:
    wheel = make_wheel(tmp_path / "wheels", "isohubprobe", "4.0")
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "import isohubprobe\ndef f(): pass\n"})
    request = EnvironmentRequest(requirements=(f"isohubprobe @ {wheel.as_uri()}",))
    assert provide(settings, tree, request).manifest.packages["isohubprobe"] == "4.0"
    assert provide(settings, tree, EnvironmentRequest(requirements=(str(wheel),))).manifest.packages == {
        **provide(settings, tree, request).manifest.packages
    }
