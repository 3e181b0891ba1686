"""Interpreters are found where people keep them, and only those that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs import interpreters
from isohub.envs.interpreters import Interpreter, Interpreters, host_interpreter
from isohub.envs.pythons import find_python, found_pythons, matcher
from isohub.errors import ConfigError, PythonNotFound

VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no interpreter is found but the host's: PATH is one folder below the path."""
    for name in (
        "PYENV_ROOT",
        "UV_PYTHON_INSTALL_DIR",
        "CONDA_PREFIX",
        "CONDA_EXE",
        "MAMBA_ROOT_PREFIX",
        "XDG_DATA_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def processes() -> Iterator[list[str]]:
    started: list[str] = []
    active = True

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if active and event == "subprocess.Popen":
            started.append(str(arguments[0]))

    sys.addaudithook(audit)
    yield started
    active = False


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Interpreter]:
    """The interpreters of this machine that are not of the host's version."""
    found = found_pythons(Settings(home=tmp_path_factory.mktemp("home")))
    return [item for item in found if item.version[:2] != sys.version_info[:2]]


def host() -> Interpreter:
    found = host_interpreter()
    assert found is not None
    return found


def test_the_host_s_own_version_without_asking_anybody(settings: Settings, processes: list[str]) -> None:
    found = find_python(None, settings)
    assert found.version == sys.version_info[:3]
    # Never the virtual environment's.
    assert not found.path.is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix
    assert processes == []
    assert Interpreters(settings.home).ask(found.path) == found


@pytest.mark.parametrize("request_", [MINOR, VERSION, f"=={VERSION}", f">={MINOR},<4", sys.executable, "3"])
def test_ways_to_ask_for_the_host_s(settings: Settings, machine: Path, request_: str) -> None:
    assert find_python(request_, settings) == host()


def test_a_shim_that_does_not_run_is_no_interpreter(
    settings: Settings, machine: Path, others: list[Interpreter]
) -> None:
    for other in others:
        minor = ".".join(map(str, other.version[:2]))
        shim = script(
            machine / f"bin/python{minor}", f"echo 'pyenv: python{minor}: command not found' >&2; exit 127"
        )
        with pytest.raises(PythonNotFound, match=f"no Python {minor} on this machine; found: {VERSION}"):
            find_python(minor, settings)
        script(shim, f'exec {other.path} "$@"')
        assert find_python(minor, settings) == other
        shim.unlink()


@pytest.mark.parametrize(
    "text",
    [
        "exit 0",
        "echo 3.99.0",
        "echo 'isohub:{'",
        "echo 'isohub:[]'",
        "echo 'isohub:{\"path\": 1}'",
        "kill -9 $$",
    ],
)
def test_what_answers_nonsense_is_no_interpreter(settings: Settings, machine: Path, text: str) -> None:
    script(machine / "bin/python3.99", text)
    with pytest.raises(PythonNotFound):
        find_python("3.99", settings)


def test_what_hangs_is_no_interpreter(
    settings: Settings, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_LIMIT", 0.3)
    # The child keeps the output open, and outlives a parent that is killed alone.
    script(machine / "bin/python3.99", "/bin/sleep 600 & wait")
    with pytest.raises(PythonNotFound):
        find_python("3.99", settings)


def test_what_cannot_be_executed_is_no_interpreter(settings: Settings, machine: Path) -> None:
    (machine / "bin/python3.99").write_text("text")
    (machine / "bin/python3.98").mkdir()
    (machine / "bin/python3.97").symlink_to("nowhere")
    for minor in ("3.99", "3.98", "3.97"):
        with pytest.raises(PythonNotFound):
            find_python(minor, settings)


def test_the_working_directory_names_no_interpreter(
    settings: Settings, machine: Path, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    script(machine / "checkout/bin/python3.99", "exit 0")
    monkeypatch.chdir(machine / "checkout")
    monkeypatch.setenv("PATH", f"bin{os.pathsep}{os.pathsep}.")
    with pytest.raises(PythonNotFound):
        find_python("3.99", settings)
    assert processes == []


PLACES = {
    "pyenv": ("PYENV_ROOT", "root", "root/versions/{version}/bin/python3"),
    "pyenv's default": (None, "", ".pyenv/versions/{version}/bin/python"),
    "pyenv, by its shims": ("PATH", "else/shims", "else/versions/{version}/bin/python"),
    "uv": ("UV_PYTHON_INSTALL_DIR", "pythons", "pythons/cpython-{version}-linux-x86_64-gnu/bin/python3"),
    "uv's default": (None, "", ".local/share/uv/python/cpython-{version}-linux-x86_64-gnu/bin/python3"),
    "conda's active environment": ("CONDA_PREFIX", "active", "active/bin/python"),
    "conda's environments": ("CONDA_EXE", "conda/bin/conda", "conda/envs/torch-1.13/bin/python"),
    "miniconda": (None, "", "miniconda3/bin/python"),
    "miniforge's environments": (None, "", "miniforge3/envs/x/bin/python"),
}


@pytest.mark.parametrize("place", PLACES)
def test_places(
    settings: Settings, machine: Path, monkeypatch: pytest.MonkeyPatch, others: list[Interpreter], place: str
) -> None:
    variable, value, layout = PLACES[place]
    if variable:
        monkeypatch.setenv(variable, str(machine / value))
    for other in others[:2]:
        script(machine / layout.format(version=other.version_text), f'exec {other.path} "$@"')
        assert find_python(other.version_text, settings) == other


def test_only_names_that_can_fit_are_run(settings: Settings, machine: Path, processes: list[str]) -> None:
    for name in ("bin/python3.8", ".pyenv/versions/3.8.1/bin/python", ".pyenv/versions/3.9/bin/python"):
        script(machine / name, "exit 1")
    script(machine / "bin/python3.99", "exit 1")
    with pytest.raises(PythonNotFound):
        find_python("3.99", settings)
    # To say what was found, they are run after all; but not before it is known that nothing fits.
    assert processes[0] == str(machine / "bin/python3.99")


def test_answers_are_remembered(
    settings: Settings, machine: Path, processes: list[str], others: list[Interpreter]
) -> None:
    for other in others:
        (machine / "bin" / f"python{other.version[0]}.{other.version[1]}").symlink_to(other.path)
    first = found_pythons(settings)
    assert [item.path for item in first] == [
        item.path
        for item in sorted([host(), *others], key=lambda item: item.version, reverse=True)
        if item in first
    ]
    assert len(processes) >= len({item.version[:2] for item in others})
    processes.clear()
    assert found_pythons(settings) == first
    assert processes == []


def test_an_answer_is_forgotten_with_its_file(
    settings: Settings, machine: Path, processes: list[str]
) -> None:
    known = Interpreters(settings.home)
    found = known.ask(host().path)
    file = settings.home / "interpreters-v1.json"
    record = json.loads(file.read_text())
    record[str(host().path)]["stamp"] = [0, 0]
    record[str(host().path)]["answer"]["version"] = [3, 8, 0]
    file.write_text(json.dumps(record))
    processes.clear()
    assert Interpreters(settings.home).ask(host().path) == found
    assert len(processes) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}'])
def test_a_damaged_memory_is_no_memory(settings: Settings, machine: Path, text: str) -> None:
    settings.home.mkdir()
    (settings.home / "interpreters-v1.json").write_text(text)
    assert Interpreters(settings.home).ask(host().path) == host()


@pytest.mark.parametrize("tool", ["venv", "virtualenv", "uv"])
def test_a_virtual_environment_stands_for_its_base(settings: Settings, machine: Path, tool: str) -> None:
    commands: dict[str, list[str | Path]] = {
        "venv": [host().path, "-m", "venv", "--without-pip", machine / "v"],
        "virtualenv": [sys.executable, "-m", "virtualenv", "--no-seed", "-p", host().path, machine / "v"],
        "uv": [sys.executable, "-m", "uv", "venv", "--quiet", "--python", host().path, machine / "v"],
    }
    subprocess.run(commands[tool], check=True, timeout=60)
    assert Interpreters(settings.home).ask(machine / "v/bin/python") == host()
    # Of an environment in an environment, too.
    subprocess.run(
        [machine / "v/bin/python", "-m", "venv", "--without-pip", machine / "w"], check=True, timeout=60
    )
    assert Interpreters(settings.home).ask(machine / "w/bin/python") == host()


@pytest.mark.parametrize("request_", ["2.7", "3.6", "3.6.15", "<3.7", "==3.5.*", "2", ">=2.7,<3"])
def test_too_old(settings: Settings, machine: Path, request_: str) -> None:
    with pytest.raises(PythonNotFound, match=r"is too old: workers run on CPython 3\.7 and newer"):
        find_python(request_, settings)


@pytest.mark.parametrize("request_", ["", "three", "3.x", "==", "python", "3.10 or so", ">=3.8 <3.9"])
def test_what_is_no_request(settings: Settings, machine: Path, request_: str) -> None:
    with pytest.raises(ConfigError, match="neither a version, a range nor a path"):
        find_python(request_, settings)


def test_paths(settings: Settings, machine: Path) -> None:
    with pytest.raises(PythonNotFound, match="does not exist"):
        find_python(str(machine / "missing"), settings)
    with pytest.raises(PythonNotFound, match="is no interpreter that runs"):
        find_python(str(script(machine / "x", "exit 1")), settings)
    (machine / "link").symlink_to(sys.executable)
    assert find_python("~/link", settings) == host()


def test_what_nothing_fits_is_told(settings: Settings, machine: Path) -> None:
    with pytest.raises(PythonNotFound) as caught:
        find_python("3.99", settings)
    text = str(caught.value)
    assert f"found: {VERSION}" in text
    assert "looked at: PATH" in text
    assert "uv python install 3.99" in text


def version(text: str, prerelease: str = "") -> Interpreter:
    major, minor, patch = (int(part) for part in text.split("."))
    return Interpreter(Path("/x"), (major, minor, patch), prerelease, "cpython", "linux-x86_64")


@pytest.mark.parametrize(
    ("request_", "fits", "does_not"),
    [
        ("3.10", ["3.10.0", "3.10.13"], ["3.1.0", "3.11.0"]),
        ("3.10.1", ["3.10.1"], ["3.10.13", "3.10.0"]),
        ("3", ["3.8.0", "3.13.0"], []),
        (">=3.8,<3.11", ["3.8.0", "3.10.13"], ["3.7.16", "3.11.0"]),
        ("!=3.9.*", ["3.8.0"], ["3.9.1"]),
        ("~=3.10", ["3.10.0", "3.12.0"], ["3.9.0"]),
        ("==3.12.*", ["3.12.4"], ["3.11.9"]),
    ],
)
def test_versions_and_ranges(request_: str, fits: list[str], does_not: list[str]) -> None:
    check = matcher(request_)
    assert [text for text in [*fits, *does_not] if check(version(text))] == fits


def test_a_pre_release_has_to_be_asked_for() -> None:
    beta = version("3.15.0", "b2")
    assert not matcher("3.15")(beta)
    assert not matcher(">=3.8")(beta)
    assert matcher("3.15.0b2")(beta)
    assert not matcher("3.15.0b1")(beta)
    assert matcher(">=3.15.0b1")(beta)
