"""What environments are made of and described by, as values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from isohub.envs.buildlog import BuildLog
from isohub.envs.folder import folder_name
from isohub.envs.lock import LockedPackage, parse_lock
from isohub.envs.manifest import EntryPoint, Manifest, Planned, read_manifest, write_manifest
from isohub.envs.request import EnvironmentRequest
from isohub.errors import BuildError, ConfigError

LOCK = """\
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "PyYAML"
version = "6.0"
sdist = { url = "https://example.com/a.tar.gz", hashes = { sha256 = "00" } }
wheels = [{ url = "https://example.com/a.whl", hashes = { sha256 = "00" } }]

[[packages]]
name = "local"
directory = { path = "/x" }

[[packages]]
name = "attrs"
version = "1.0"
wheels = [{ url = "https://example.com/b.whl", hashes = { sha256 = "00" } }]
"""

MANIFEST = Manifest(
    key="x-1",
    source="github",
    repo="github.com/o/r",
    ref=None,
    commit="0" * 40,
    python="3.10.13",
    interpreter="/usr/bin/python3.10",
    versions={"torch": None, "numpy": "1.0"},
    packages={"numpy": "1.0"},
    requirements=(Planned("numpy", "hubconf.py:1"),),
    constraints=(),
    entry_points=(EntryPoint("a.b", "(x=1)", None), EntryPoint("c", None, "é \U0001f600")),
    built=1.5,
    seconds=0.5,
)


def test_a_lock() -> None:
    lock = parse_lock(LOCK)
    assert lock.packages == (
        LockedPackage("attrs", "1.0"),
        LockedPackage("local", "", built=True),
        LockedPackage("pyyaml", "6.0"),
    )
    assert lock.version("PyYAML") == "6.0"
    assert lock.version("six") is None
    assert lock.digest != parse_lock(LOCK + "# another\n").digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not TOML",
        'lock-version = "2.0"',
        LOCK.replace(', hashes = { sha256 = "00" } }]', " }]", 1),
        LOCK.replace(', hashes = { sha256 = "00" } }\n', " }\n", 1),
        LOCK.replace('directory = { path = "/x" }', ""),
    ],
)
def test_what_is_no_lock(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_lock(text)


def test_a_log(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "logs" / "a.log")
    assert not log.path.exists()
    log.command(["uv", "--index", "https://u:p@example.com", Path("/a b")])
    log.write("\n".join(map(str, range(100))))
    assert log.tail(2) == "98\n99"
    assert "u:p" not in log.path.read_text()
    assert "'/a b'" in log.path.read_text()
    log.discard()
    log.discard()
    assert not log.path.exists()


@pytest.mark.parametrize(
    ("repo", "readable"),
    [
        ("github.com/snakers4/silero-vad", "silero-vad"),
        ("https://example.com/x/Y_z.git", "y-z"),
        ("C:\\models\\net", "net"),
        ("/", "repo"),
        ("/" + "long" * 20, "long" * 6),
    ],
)
def test_names_of_folders(repo: str, readable: str) -> None:
    assert folder_name(repo, "0" * 64) == f"{readable}-{'0' * 24}"


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="was never finished"):
        read_manifest(tmp_path)


def test_half_a_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BuildError, match="damaged"):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"extra": 1},
        {"entry_points": [1]},
        {"entry_points": [{"name": "x"}]},
        {"requirements": None},
    ],
)
def test_a_manifest_of_another_kind(tmp_path: Path, change: dict[str, object]) -> None:
    write_manifest(tmp_path, replace(MANIFEST))
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BuildError, match="damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("backend", [None, "auto", "cpu", "cu126", "cu92", "rocm6.4", "rocm6.2.4", "xpu"])
def test_builds_of_torch(backend: str | None) -> None:
    assert EnvironmentRequest(torch_backend=backend).torch_backend == backend


@pytest.mark.parametrize("backend", ["", "gpu", "cuda", "cu", "CPU", "--index-url", "cu126 "])
def test_what_is_no_build_of_torch(backend: str) -> None:
    with pytest.raises(ConfigError, match="torch_backend"):
        EnvironmentRequest(torch_backend=backend)
