"""A repository that replaces what a worker relies on, while it is imported or later: in its process that is its right."""

from __future__ import annotations

import time
from pathlib import Path

import numpy
import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import CallTimeout, RemoteError, WorkerDied
from tests.workers import PYTHONS, WIRE, Remote, environment, start

# What it can do without.
HARMLESS = [
    "sockets",
    "default_timeout",
    "sleep",
    "no_sleep",
    "frozen_clock",
    "clock",
    "text",
    "polling",
    "signals",
    "wire",
    "everything",
]


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE, "numpy")


def use(remote: Remote) -> None:
    """Everything that a worker does, and its end."""
    assert remote.load("same", {"a": [1, (2.5, None)]}) == {"a": [1, (2.5, None)]}
    with pytest.raises(LookupError, match="nowhere"):
        remote.load("fail")
    assert [*remote.load("numbers")] == [*range(300)]
    row = remote.load("row", 100_000)
    assert remote.load("same", row).sum() == row.sum()
    assert remote.load("same", numpy.ones(100_000)).sum() == 100_000
    futures = [remote.worker.channel.submit("load", None, ("same", number)) for number in range(100)]
    assert [future.result(30) for future in futures] == [*range(100)]
    with pytest.raises(CallTimeout):
        remote.worker.channel.call("load", None, ("wait",), timeout=0.2)
    assert remote.load("same", 1) == 1, "what was given up was stopped"
    began = time.monotonic()
    remote.worker.close()
    assert time.monotonic() - began < 2.5, "nobody had to be killed"
    assert remote.worker.returncode == 0


@pytest.mark.parametrize("when", ["import", "call"])
@pytest.mark.parametrize("patch", HARMLESS)
def test_calls_go_on(patch: str, when: str, python: Path, tmp_path: Path) -> None:
    environ = scrubbed_environ({"PATCH": patch} if when == "import" else {})
    with start(python, "patched", tmp_path, environ=environ, shared_memory=16 << 20, grace=5) as remote:
        if when == "call":
            remote.load(patch)
        use(remote)


@pytest.mark.parametrize("when", ["import", "call"])
@pytest.mark.parametrize("patch", ["threads", "files"])
def test_what_python_itself_needs_is_an_error_at_once(
    patch: str, when: str, python: Path, tmp_path: Path
) -> None:
    environ = scrubbed_environ({"PATCH": patch} if when == "import" else {})

    def run() -> None:
        with start(python, "patched", tmp_path, environ=environ, shared_memory=16 << 20, grace=0.5) as remote:
            remote.load(patch)
            use(remote)

    began = time.monotonic()
    with pytest.raises((WorkerDied, RemoteError)) as caught:
        run()
    assert time.monotonic() - began < 10
    assert "this was replaced" in str(caught.value)
