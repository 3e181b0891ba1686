"""What a plan removes: a table of cases."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from isohub.disk import Footprint
from isohub.errors import ConfigError
from isohub.pruning import Candidate, as_bytes, as_seconds, decide

NOW = 1_000_000.0
SHARED = {(1, 1): (100, 3, 1)}


def candidate(key: str, age: float, size: int = 10, **more: Any) -> Candidate:
    linked = more.pop("linked", {})
    return Candidate("environment", key, Path(key), Footprint(size, linked), NOW - age, **more)


THREE = [candidate("old", 300), candidate("new", 1), candidate("middle", 50)]


@pytest.mark.parametrize(
    ("older_than", "max_size", "removed"),
    [
        (None, None, ["new", "middle", "old"]),
        (100, None, ["old"]),
        (0, None, ["new", "middle", "old"]),
        (300, None, []),
        (None, 30, []),
        (None, 29, ["old"]),
        (None, 10, ["middle", "old"]),
        (None, 0, ["new", "middle", "old"]),
        (100, 15, ["middle", "old"]),
        (100, 1000, ["old"]),
    ],
)
def test_limits(older_than: float | None, max_size: int | None, removed: list[str]) -> None:
    plan = decide(THREE, older_than=older_than, max_size=max_size, now=NOW)
    assert [item.key for item in plan.verdicts] == ["new", "middle", "old"]
    assert [item.key for item in plan.removed] == removed
    assert {item.key for item in plan.kept} == {"new", "middle", "old"} - set(removed)
    assert (plan.disk.size, plan.freed) == (30, 10 * len(removed))
    assert all(item.reason for item in plan.verdicts)


def test_what_is_held_stays_and_counts() -> None:
    held = candidate("held", 500, 25, held="a worker uses it")
    plan = decide([*THREE, held], older_than=None, max_size=40, now=NOW)
    assert {item.key: item.reason for item in plan.kept} == {
        "new": "fits the limit",
        "held": "a worker uses it",
    }
    plan = decide([held], older_than=0, max_size=0, now=NOW)
    assert plan.removed == ()


def test_what_is_broken_goes_unless_it_is_held() -> None:
    broken = candidate("broken", 0, broken="never finished")
    plan = decide([broken], older_than=1000, max_size=1000, now=NOW)
    assert [item.reason for item in plan.removed] == ["never finished"]
    building = candidate("broken", 0, broken="never finished", held="another process builds or removes it")
    assert decide([building], older_than=None, max_size=None, now=NOW).removed == ()


def test_a_time_in_the_future_is_now() -> None:
    assert decide([candidate("ahead", -5000)], older_than=10, max_size=None, now=NOW).removed == ()


def test_a_shared_file_counts_once_and_is_freed_by_the_last() -> None:
    two = [candidate("one", 1, linked=SHARED), candidate("other", 2, linked=SHARED)]
    assert decide(two, older_than=None, max_size=120, now=NOW).removed == ()
    plan = decide(two, older_than=None, max_size=119, now=NOW)
    assert [item.key for item in plan.removed] == ["other"]
    assert (plan.disk.size, plan.freed, plan.removed[0].disk.shared) == (120, 10, 100)
    # The third name is in nobody's folder: it is uv's cache that keeps it.
    assert decide(two, older_than=None, max_size=None, now=NOW).freed == 20
    three = [*two, candidate("third", 3, linked=SHARED)]
    assert decide(three, older_than=None, max_size=None, now=NOW).freed == 130


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf"), "30d"])
def test_an_age_that_is_none(limit: Any) -> None:
    with pytest.raises(ConfigError, match="older_than is"):
        as_seconds(limit)
    assert as_seconds(datetime.timedelta(days=1)) == 86400


@pytest.mark.parametrize("limit", [-1, 1.5, "20GB"])
def test_a_size_that_is_none(limit: Any) -> None:
    with pytest.raises(ConfigError, match="max_size is"):
        as_bytes(limit)
