"""Fixtures for tests against real servers and processes. The servers themselves are in ``tests/servers.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.config import Settings, load_settings
from tests.servers import FileServer, GitHubServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for isohub, and for torch.hub's files."""
    home = tmp_path / "home"
    monkeypatch.setenv("ISOHUB_HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return home


@pytest.fixture
def github(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    """A stand-in for GitHub, which isohub takes for the real one in this test and in its child processes."""
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    with GitHubServer(tmp_path / "github") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of plain files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        yield server


@pytest.fixture
def settings(github: GitHubServer) -> Settings:
    """The settings that a Hub would have now."""
    return load_settings()
