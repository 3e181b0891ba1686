"""When a worker that died is started again."""

from __future__ import annotations

import threading

import pytest

from isohub import restarts
from isohub.restarts import Restarts


class Time(threading.Event):
    """A clock that only waiting moves on, and the event that is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waited: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        self.waited.append(timeout)
        return False


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(restarts, "time", time)
    return time


def test_each_start_waits_twice_as_long_up_to_half_a_minute(time: Time) -> None:
    starts = Restarts(100)
    for _ in range(10):
        starts.wait(time)
    assert time.waited == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_worker_that_lived_is_followed_at_once(time: Time) -> None:
    starts = Restarts(100)
    for _ in range(4):
        starts.wait(time)
    time.now += 10
    starts.wait(time)
    starts.wait(time)
    assert time.waited == [0, 0.5, 1, 2, 0, 0.5]


def test_there_are_only_so_many(time: Time) -> None:
    starts = Restarts(2)
    for _ in range(2):
        assert not starts.exhausted
        starts.wait(time)
        time.now += 1000
    assert starts.exhausted
