"""Large arrays that came from a worker and go back to it: nothing is copied, and yet each side has its own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.errors import CallTimeout
from isohub.rpc.proxy import submit
from tests.workers import PATIENCE, PYTHONS, WIRE, Remote, environment, start

_COUNT = 100_000


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE, "numpy")


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "numbers", tmp_path, shared_memory=64 << 20) as remote:
        yield remote


def used(remote: Remote) -> tuple[int, int]:
    """How many blocks of the host's arena are given out, and how many of the worker's are looked at here."""
    channel = remote.worker.channel
    assert channel._arena is not None
    outlet, inlet = channel._arena
    return len(outlet._used), len(inlet._views)


def test_nothing_is_copied_for_what_came_from_there(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    assert used(remote) == (0, 1)
    assert remote.load("ends", row) == [0, _COUNT - 1]
    assert used(remote) == (0, 1)


def test_what_was_written_here_is_seen_there(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    for value in (7, 8):
        row[0] = value
        assert remote.load("ends", row) == [value, _COUNT - 1]
        assert remote.load("ends", row[1:]) == [1, _COUNT - 1]


def test_what_is_written_there_is_not_seen_here(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    changed = remote.load("change", row)
    assert changed.sum() == 0
    assert row.tolist() == [*range(_COUNT)]
    assert remote.load("ends", row) == [0, _COUNT - 1]


def test_what_is_kept_there_is_its_own(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    remote.load("keep", row)
    row[0] = 5
    assert remote.load("kept", 0) == [0, _COUNT - 1]
    remote.load("change_kept", 0)
    assert row[0] == 5
    assert remote.load("ends", row) == [5, _COUNT - 1]
    remote.load("keep", row)
    row[0] = 6
    assert remote.load("kept", 1) == [5, _COUNT - 1]
    del row
    gc.collect()
    assert remote.load("kept", 0) == [-1, _COUNT - 1]
    # Space that was lent, kept and given back is whole again.
    remote.load("drop")
    again = remote.load("row", _COUNT)
    assert again.tolist() == [*range(_COUNT)]
    again[0] = 3
    assert remote.load("ends", again) == [3, _COUNT - 1]


def test_a_future_gets_what_was_there_when_it_was_asked_for(remote: Remote, tmp_path: Path) -> None:
    row = remote.load("row", _COUNT)
    gate = tmp_path / "gate"
    future = submit(remote.load("looker"), row, str(gate))
    row[0] = 9
    gate.touch()
    assert future.result(PATIENCE) == [0, _COUNT - 1]


def test_a_call_that_nobody_waits_for_any_more_sees_what_it_was_given(python: Path, tmp_path: Path) -> None:
    with start(python, "numbers", tmp_path, shared_memory=64 << 20, timeout=0.3) as remote:
        row = remote.load("row", _COUNT)
        gate = tmp_path / "gate"
        with pytest.raises(CallTimeout):
            remote.load("keep_looked_at", row, str(gate))
        row[0] = 9
        gate.touch()
        assert remote.load("kept", 0) == [0, _COUNT - 1]
        assert remote.load("ends", row) == [9, _COUNT - 1]


def test_threads_may_lend_one_array_at_once(python: Path, tmp_path: Path) -> None:
    with start(python, "numbers", tmp_path, shared_memory=64 << 20, threads=4) as remote:
        row = remote.load("row", _COUNT)
        sums = []

        def change() -> None:
            for _ in range(20):
                sums.append(remote.load("change", row).sum())

        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sums == [0] * 80
        assert row.tolist() == [*range(_COUNT)]
