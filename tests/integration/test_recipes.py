"""Recipes at work: what they say reaches the resolver, the builds, the environment and its workers."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import isohub
from isohub.cli.main import main
from isohub.envs.pip_settings import read_pip_settings
from isohub.envs.recipe_reader import read_recipe
from isohub.errors import BuildError, ConfigError
from tests.environments import make_wheel

HUBCONF = """\
dependencies = ["isohubprobe_wrong"]
import builtins, os
import isohubprobe

def answer(reader="plain"):
    return [isohubprobe.version, os.environ.get("PROBE"), builtins.from_prelude]
"""
RECIPE = """\
requirements = ["isohubprobe"]
exclude = ["isohubprobe_wrong"]
prelude = '''
import builtins
import os

builtins.from_prelude = "before, with " + os.environ["PROBE"]
'''

[env]
PROBE = "1"

[match]
files = ["hubconf.py"]
"""
# A build that runs what its own files do not ask for.
BACKEND = """\
import base64, os, zipfile
import isohubtool

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "isohubsource-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("isohubsource.py", "built_with = %r" % [isohubtool.version, os.environ.get("FLAVOUR")])
        info = "isohubsource-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: isohubsource\\nVersion: 1.0\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return name
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    return folder


@pytest.fixture
def links(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of distributions that are found beside those of the index, and no recipes of the user's."""
    folder = tmp_path / "links"
    make_wheel(folder, "isohubprobe")
    known = read_pip_settings().find_links
    monkeypatch.setenv("PIP_FIND_LINKS", " ".join([*known, str(folder)]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_sdist(folder: Path) -> None:
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "isohubsource"\nversion = "1.0"\n',
        "PKG-INFO": "Metadata-Version: 2.2\nName: isohubsource\nVersion: 1.0\n",
        "backend.py": BACKEND,
    }
    with tarfile.open(folder / "isohubsource-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"isohubsource-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def test_what_a_recipe_says_reaches_the_environment_and_its_workers(
    repo: Path, links: Path, tmp_path: Path
) -> None:
    recipe = write(tmp_path / "mine.toml", RECIPE)
    with isohub.Hub(recipe=recipe) as hub:
        assert hub.load(repo, "answer", source="local") == ["1.0", "1", "before, with 1"]
        manifest = hub.environment(repo, source="local").manifest
    assert ("isohubprobe", "mine.toml:1") in [(item.text, item.origin) for item in manifest.requirements]
    assert "isohubprobe-wrong" not in manifest.packages
    with isohub.Hub(recipe=recipe, env={"PROBE": "2"}) as hub:
        assert hub.load(repo, "answer", source="local") == ["1.0", "2", "before, with 2"]
        assert hub.environment(repo, source="local").manifest.key == manifest.key


def test_one_of_the_users_is_found_by_itself_and_counts_anew_when_it_changes(
    repo: Path, links: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "config" / "isohub" / "recipes" / "mine.toml"
    keys = []
    for text in (RECIPE, f"# why\n{RECIPE}", RECIPE.replace('PROBE = "1"', 'PROBE = "3"')):
        write(mine, text)
        with isohub.Hub() as hub:
            keys.append(hub.environment(repo, source="local").manifest.key)
    assert keys[0] == keys[1] != keys[2]
    with isohub.Hub() as hub:
        assert hub.load(repo, "answer", source="local")[1:] == ["3", "before, with 3"]


@pytest.mark.parametrize("named", [False, True], ids=["searched settings", "named settings"])
def test_a_build_gets_what_its_recipe_says(
    named: bool, repo: Path, links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    if named:
        monkeypatch.setenv("UV_CONFIG_FILE", str(write(tmp_path / "uv.toml", "# nothing\n")))
    make_sdist(links)
    make_wheel(links, "isohubtool")
    (repo / "hubconf.py").write_text("import isohubsource\ndef built(): return isohubsource.built_with\n")
    wanted = 'requirements = ["isohubsource"]\n'
    build = '[build.isohubsource]\nrequires = ["isohubtool"]\nenv = { FLAVOUR = "sweet" }\n'
    with isohub.Hub(recipe=write(tmp_path / "bare.toml", wanted)) as hub, pytest.raises(BuildError):
        hub.environment(repo, source="local")
    with isohub.Hub(recipe=write(tmp_path / "whole.toml", wanted + build)) as hub:
        assert hub.load(repo, "built", source="local") == ["1.0", "sweet"]


def test_a_prelude_that_fails_is_shown_with_its_line(repo: Path, links: Path, tmp_path: Path) -> None:
    recipe = RECIPE.replace("import os\n", "raise LookupError('no such thing')\n")
    with isohub.Hub(recipe=write(tmp_path / "mine.toml", recipe)) as hub, pytest.raises(BuildError) as caught:
        hub.environment(repo, source="local")
    assert "LookupError: no such thing" in str(caught.value)
    assert "prelude.py" in str(caught.value)


def test_a_fault_in_a_recipe_builds_nothing(repo: Path, links: Path, tmp_path: Path, home: Path) -> None:
    recipe = write(tmp_path / "mine.toml", 'requirments = ["isohubprobe"]\n')
    with (
        isohub.Hub(recipe=recipe) as hub,
        pytest.raises(
            ConfigError, match=r"mine\.toml, line 1: requirments: unknown key\n.*did you mean requirements"
        ),
    ):
        hub.environment(repo, source="local")
    assert not (home / "envs-v1").exists()


def test_check_builds_and_runs_the_smoke_check(
    repo: Path, links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = 'smoke = \'print("it runs"); assert load("answer")[0] == hubconf.isohubprobe.version == "%s"\'\n'
    good, bad = (write(tmp_path / f"{version}.toml", smoke % version + RECIPE) for version in ("1.0", "2.0"))
    assert main(["recipe", "check", str(good), str(repo)]) == 0
    told = capsys.readouterr().err
    assert "with 1 entry points" in told
    assert "the smoke check passed" in told
    assert main(["recipe", "check", str(bad), str(repo)]) == 5
    told = capsys.readouterr().err
    assert f"the smoke check of {bad} failed: exit status 1" in told
    assert "it runs" in told
    assert "AssertionError" in told


def test_check_of_a_fault_names_it(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "check", str(write(tmp_path / "mine.toml", "[env]\nA = 1\n"))]) == 2
    assert "mine.toml, line 2: env.A: 1 is not a text" in capsys.readouterr().err


def test_check_warns_of_a_match_that_does_not_mean_the_repository(
    repo: Path, links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.replace('files = ["hubconf.py"]', 'repositories = ["some/other"]')
    assert main(["recipe", "check", str(write(tmp_path / "mine.toml", recipe)), str(repo)]) == 0
    assert f"warning: [match] does not mean {repo}" in capsys.readouterr().err


def test_new_writes_one_that_can_be_read_and_changes_nothing(
    repo: Path, links: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "requirements.txt").write_text("isohubprobe>=0.5\n")
    path = tmp_path / "new.toml"
    assert main(["recipe", "new", str(repo), "-o", str(path)]) == 0
    assert f"isohub recipe check {path}" in capsys.readouterr().err
    recipe, text = read_recipe(path), path.read_text()
    assert (recipe.all_requirements, recipe.constraints, recipe.match.files) == ((), (), ("hubconf.py",))
    assert "requirements.txt:1" in text
    assert main(["recipe", "new", str(repo), "-o", str(path)]) == 2
    assert path.read_text() == text
    assert main(["recipe", "new", str(repo)]) == 0
    assert capsys.readouterr().out.rstrip() == text.rstrip()
