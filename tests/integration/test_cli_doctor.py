"""``isohub doctor``, as a process on machines that lack this and that."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command


@pytest.fixture
def isohub(tmp_path: Path) -> Command:
    # Its sizes are looked at, and the real one may be large.
    return Command(tmp_path / "home", tmp_path, UV_CACHE_DIR=str(tmp_path / "uv"))


def program(folder: Path, name: str, text: str) -> Path:
    """A shell script; its folder is first on the PATH of who asks for it by `with_programs`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def examined(isohub: Command, code: int, **environ: str) -> dict[str, Any]:
    done = isohub("doctor", "--json", **environ)
    assert (done.code, done.err) == (code, "")
    answer: dict[str, Any] = json.loads(done.out)
    assert answer["healthy"] is (code == 0)
    return answer


def with_programs(folder: Path) -> str:
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def problem(answer: dict[str, Any], words: str) -> dict[str, Any]:
    (found,) = [item for item in answer["problems"] if words in item["what"]]
    assert found["do"]
    assert isinstance(found, dict)
    return found


def test_a_healthy_machine(isohub: Command) -> None:
    answer = examined(isohub, 0)
    names = "isohub python pythons uv git sandbox gpus caches network terminal problems healthy"
    assert sorted(answer) == sorted(names.split())
    assert answer["python"]["version"] in [item["version"] for item in answer["pythons"]["found"]]
    assert answer["uv"]["version"].startswith("uv ")
    assert answer["git"]["version"].startswith("git version ")
    assert answer["caches"]["home"] == {
        "path": str(isohub.home),
        "size_bytes": answer["caches"]["home"]["size_bytes"],
    }
    assert answer["terminal"]["stdout"] is False
    assert answer["network"]["offline"] is False
    assert not any(item["fatal"] for item in answer["problems"])


def test_a_healthy_machine_for_people(isohub: Command) -> None:
    done = isohub("doctor")
    assert (done.code, done.err) == (0, "")
    titles = [line for line in done.out.splitlines() if not line.startswith(" ")]
    expected = [
        "isohub",
        "Pythons",
        "uv",
        "uv is told",
        "git",
        "sandbox",
        "GPUs",
        "folders",
        "network",
        "terminal",
    ]
    assert titles[: len(expected)] == expected
    assert titles[-1] in ("nothing is wrong", "what is wrong")


def test_a_shim_that_does_not_run_is_no_python(isohub: Command, tmp_path: Path) -> None:
    shim = program(tmp_path / "bin", "python3.9", "echo 'pyenv: version 3.9 is not installed' >&2; exit 1")
    (tmp_path / "bin" / "python3.10").symlink_to(tmp_path / "gone")
    answer = examined(isohub, 0, PATH=with_programs(tmp_path / "bin"))
    assert problem(answer, f"{shim} is no Python that runs")["fatal"] is False
    assert problem(answer, f"{tmp_path}/bin/python3.10 is no Python that runs")
    assert answer["pythons"]["broken"][-2:] == [f"{tmp_path}/bin/python3.10", str(shim)]
    assert str(shim) not in [item["path"] for item in answer["pythons"]["found"]]
    done = isohub("doctor", PATH=with_programs(tmp_path / "bin"))
    assert (
        f"  warning: {shim} is no Python that runs\n    try: see what it says ({shim} --version)" in done.out
    )


def test_settings_that_cannot_be_read(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "isohub.toml").write_text("offline = 'perhaps'\n")
    answer = examined(isohub, 1)
    assert problem(answer, "isohub.toml: offline is 'perhaps'")["fatal"] is True
    assert answer["caches"]["home"]["path"] == str(isohub.home)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    isohub = Command(tmp_path / "file" / "home", tmp_path, UV_CACHE_DIR=str(tmp_path / "uv"))
    answer = examined(isohub, 1)
    assert "--home" in problem(answer, f"cannot write to {tmp_path}/file/home")["do"]
    assert answer["uv"]["version"]
    assert "error: isohub cannot write to" in isohub("doctor").out


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_not_there(isohub: Command, name: str) -> None:
    answer = examined(isohub, 1, **{name: "/nowhere/ca.pem"})
    assert problem(answer, f"{name} names '/nowhere/ca.pem'")["do"] == f"correct or unset {name}"


def test_pips_settings_that_cannot_be_read(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("not a section\n")
    answer = examined(isohub, 1, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert problem(answer, "pip's configuration cannot be read")


def test_what_uv_is_told_is_shown_without_credentials(isohub: Command) -> None:
    secrets = {
        "PIP_EXTRA_INDEX_URL": "https://me:hunter2@index.example/simple https://other.example/simple?key=hunter2",
        "UV_INDEX_OURS_PASSWORD": "hunter2",
        "HTTPS_PROXY": "http://me:hunter2@proxy.example:3128",
        "http_proxy": "me:hunter2@proxy.example:3128",
        "GITHUB_TOKEN": "hunter2",
    }
    for done in (isohub("doctor", "--json", **secrets), isohub("doctor", **secrets)):
        assert "hunter2" not in done.out + done.err
        assert "https://***@index.example/simple https://other.example/simple?***" in done.out
        assert "http://***@proxy.example:3128" in done.out
        assert "UV_INDEX_OURS_PASSWORD" in done.out
    assert examined(isohub, 0, **secrets)["network"]["github_token"] is True


def test_a_sandbox_that_is_asked_for_and_cannot_be_made(isohub: Command, tmp_path: Path) -> None:
    program(tmp_path / "bin", "bwrap", "echo 'no permissions' >&2; exit 1")
    path = with_programs(tmp_path / "bin")
    assert examined(isohub, 0, PATH=path)["sandbox"]["works"] is False, "nobody asks for one"
    assert problem(examined(isohub, 1, PATH=path, ISOHUB_SANDBOX="bwrap"), "no permissions")["fatal"]
    assert not problem(examined(isohub, 0, PATH=path, ISOHUB_SANDBOX="auto"), "no permissions")["fatal"]


def test_gpus(isohub: Command, tmp_path: Path) -> None:
    program(tmp_path / "bin", "nvidia-smi", "echo '0, GPU-aa, Some GPU, 81559, 550.54'")
    answer = examined(isohub, 0, PATH=with_programs(tmp_path / "bin"))
    assert answer["gpus"] == [
        {"index": 0, "uuid": "GPU-aa", "name": "Some GPU", "memory_mib": 81559, "driver": "550.54"}
    ]


def test_a_driver_that_does_not_work(isohub: Command, tmp_path: Path) -> None:
    program(tmp_path / "bin", "nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    answer = examined(isohub, 0, PATH=with_programs(tmp_path / "bin"))
    assert answer["gpus"] == []
    assert problem(answer, "nvidia-smi fails")["fatal"] is False


def test_without_git(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = examined(isohub, 0, PATH=str(tmp_path / "empty"))
    assert answer["git"] == {"path": None, "version": None}
    assert "--source git" in problem(answer, "no git on PATH")["do"]


def test_caches_on_two_file_systems(isohub: Command) -> None:
    # /dev/shm is a file system of its own, and nothing is written there.
    answer = examined(isohub, 0, UV_CACHE_DIR="/dev/shm/isohub-no-such-folder")
    assert answer["caches"]["one_file_system"] is False
    assert "UV_CACHE_DIR" in problem(answer, "different file systems")["do"]
