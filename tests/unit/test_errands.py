"""Errands that several threads want done."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from isohub.errands import Errands

_PATIENCE = 20.0


def soon() -> float:
    return time.monotonic() + 0.01


def test_who_waits_gets_what_it_raised() -> None:
    errands = Errands()

    def errand() -> None:
        raise ValueError("not today")

    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            errands.run(errand, None)
    assert errands.run(lambda: None, None)


def test_it_goes_on_when_nobody_waits() -> None:
    errands, gate, done = Errands(), threading.Event(), threading.Event()

    def errand() -> None:
        assert gate.wait(_PATIENCE)
        done.set()

    for _ in range(3):
        assert not errands.run(errand, soon())
    gate.set()
    errands.wait()
    assert done.is_set()


def test_there_is_one_at_a_time_and_one_for_each_who_wanted_it() -> None:
    errands, inside, made = Errands(), threading.Lock(), []

    def errand() -> None:
        assert inside.acquire(blocking=False), "another is being run"
        made.append(threading.current_thread())
        inside.release()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: errands.run(errand, None), range(100)))
    assert len(made) == 100


def test_an_errand_does_not_wait_for_itself() -> None:
    errands = Errands()

    def wants_another() -> None:
        assert errands.run(pytest.fail, None)

    assert errands.run(wants_another, time.monotonic() + _PATIENCE)
    assert errands.run(errands.wait, time.monotonic() + _PATIENCE)


def test_there_may_be_none_to_wait_for() -> None:
    Errands().wait()
