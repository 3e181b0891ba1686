"""Repositories for tests, a folder each: ``main`` and ``dev-next`` are two branches of one, ``torch`` is another.

They are what isohub loads, never what a test imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import GitHubServer

__all__ = ["DEV_NEXT", "MAIN", "TORCH", "read_files", "served"]

MAIN, DEV_NEXT, TORCH = "somebody/bestiary", "somebody/bestiary:dev/next", "somebody/nets"


def read_files(folder: Path) -> dict[str, bytes]:
    """The files below the folder, as a commit wants them."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def served(folder: Path) -> Iterator[GitHubServer]:
    """A stand-in for GitHub with these repositories, which isohub takes for the real one, and a home of its own for isohub.

    The fixtures ``github`` and ``home`` are made anew for each test; this is for tests that share environments.
    """
    here = Path(__file__).parent
    with GitHubServer(folder / "github") as server, pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_TOKEN", raising=False)
        patch.setenv("ISOHUB_HOME", str(folder / "home"))
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        for name, value in server.environment().items():
            patch.setenv(name, value)
        repository = server.create(MAIN, read_files(here / "main"))
        repository.branch("dev/next")
        repository.commit(read_files(here / "dev-next"), branch="dev/next")
        server.create(TORCH, read_files(here / "torch"))
        yield server
