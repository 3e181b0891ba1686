"""Variables that workers keep, whatever their repository does to them, under the interpreters that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.environ import scrubbed_environ
from tests.workers import PYTHONS, WIRE, Remote, environment, found, start

GPU = "GPU-00000000-1111-2222-3333-444444444444"
PINNED = {"CUDA_VISIBLE_DEVICES": GPU, "ISOHUB_PINNED": "CUDA_VISIBLE_DEVICES"}


@pytest.fixture(scope="module", params=[*found("3.7"), *PYTHONS])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    python = environment(request.param, *WIRE)
    folder = tmp_path_factory.mktemp("pins")
    with start(python, "pinned", folder, environ=scrubbed_environ(PINNED)) as remote:
        yield remote


def test_no_import_changes_it(remote: Remote) -> None:
    # The hubconf has tried everything by then, native code included.
    assert remote.load("seen") == (GPU, GPU)


def test_no_call_changes_it(remote: Remote) -> None:
    ways = remote.load("ways")
    assert {way: remote.load("try_way", way) for way in ways} == dict.fromkeys(ways, (GPU, GPU))


def test_what_is_tried_is_in_the_log_with_its_place_and_once(remote: Remote) -> None:
    for _ in range(3):
        remote.load("try_way", "_set")
    lines = [line for line in remote.worker.log.read_text().splitlines() if line.startswith("isohub: ")]
    hubconf = Path(__file__).parents[1] / "hubconfs" / "pinned" / "hubconf.py"
    source = hubconf.read_text().splitlines()
    line = source.index("    os.environ[NAME] = OTHER") + 1
    expected = f"isohub: {hubconf}:{line}: CUDA_VISIBLE_DEVICES stays {GPU!r}, as this worker was told, and is not set to '3'"
    assert lines.count(expected) == 1
    assert [line for line in lines if f": CUDA_VISIBLE_DEVICES stays {GPU!r}" not in line] == []
    assert any(line.endswith("is not deleted") for line in lines)


def test_programs_that_are_started_from_there_have_it(remote: Remote) -> None:
    seen = remote.load("children")
    assert seen == dict.fromkeys(seen, GPU)
    assert len(seen) >= 8


def test_everything_else_is_as_ever(python: Path, tmp_path: Path) -> None:
    with start(python, "pinned", tmp_path) as free:
        assert free.load("seen") == ("3", "3")
        assert free.load("try_way", "_delete") == (None, None)
        assert free.load("children")["run with none"] == "None"
        assert "isohub: " not in free.worker.log.read_text()


@pytest.fixture
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)
