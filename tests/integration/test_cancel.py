"""What nobody waits for any more stops in the worker, and only that; what does not stop ends with its process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.errors import CallTimeout, StaleObject, WorkerDied
from isohub.rpc.aio import acall
from isohub.rpc.proxy import submit
from tests.workers import PATIENCE, PYTHONS, WIRE, Remote, environment, exists, start, until


@pytest.fixture(scope="module", params=PYTHONS)
def any_python(request: pytest.FixtureRequest) -> Path:
    return environment(request.param, *WIRE)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "cancelled", tmp_path, grace=PATIENCE) as remote:
        yield remote


@pytest.fixture
def threaded(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "cancelled", tmp_path, threads=3, grace=PATIENCE) as remote:
        yield remote


def begun(remote: Remote, what: str) -> None:
    """Wait until it runs, with a worker that does several calls at once."""
    until(lambda: what in remote.load("what_has_begun"))


# ---- it stops


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_a_deadline_stops_the_work(any_python: Path, tmp_path: Path, what: str) -> None:
    with start(any_python, "cancelled", tmp_path, grace=PATIENCE) as remote:
        work = remote.load("work")
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.2)(getattr(work, what))(600)
        # One call after the other: this one is done when the other has ended, and in the same process.
        assert remote.load("what_was_met") == ["Cancelled"]
        assert work.same(1) == 1


def test_a_thread_that_waits_for_a_lock_stops(remote: Remote) -> None:
    work = remote.load("work")
    with pytest.raises(CallTimeout):
        isohub.options(timeout=0.2)(work.wait_for_lock)()
    assert work.same(1) == 1


def test_a_busy_thread_among_several_stops(any_python: Path, tmp_path: Path) -> None:
    with start(any_python, "cancelled", tmp_path, threads=3, grace=PATIENCE) as remote:
        work = remote.load("work")
        future = submit(work.spin)
        begun(remote, "spin")
        assert future.cancel()
        until(lambda: remote.load("what_was_met") == ["Cancelled"])
        assert [work.same(number) for number in range(20)] == [*range(20)]


def test_a_cancelled_future_stops_its_call(remote: Remote) -> None:
    work = remote.load("work")
    future = submit(work.sleep, 600)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.2)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert remote.load("what_was_met") == ["Cancelled"]
    with pytest.raises(CancelledError):
        future.result()


async def test_a_cancelled_task_stops_its_call(remote: Remote) -> None:
    work = remote.load("work")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(acall(work.sleep, 600), 0.2)
    assert await acall(work.same, 1) == 1
    assert remote.load("what_was_met") == ["Cancelled"]


async def test_an_awaited_call_that_is_late_stops(remote: Remote) -> None:
    work = remote.load("work")
    with pytest.raises(CallTimeout):
        await acall(isohub.options(timeout=0.2)(work.sleep), 600)
    assert await acall(work.same, 1) == 1


def test_an_interrupt_stops_the_call(remote: Remote) -> None:
    work = remote.load("work")
    main = threading.get_ident()

    def interrupt() -> None:
        until(lambda: remote.worker.channel._turns.reading.get("by") == main)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        work.sleep(600)
    thread.join()
    assert work.same(1) == 1


def test_what_has_not_begun_never_does(remote: Remote) -> None:
    work = remote.load("work")
    first = submit(work.sleep, 600)
    others = [submit(work.note, number) for number in range(50)]
    for future in others[::2]:
        assert future.cancel()
    assert first.cancel()
    assert [future.result(PATIENCE) for future in others[1::2]] == [None] * 25
    noted = [what for what in remote.load("what_has_begun") if what != "sleep"]
    assert noted == [*range(50)][1::2]


def test_a_call_that_waits_for_its_turn_has_all_the_time(python: Path, tmp_path: Path) -> None:
    """The grace is for what runs, not for what is behind it."""
    with start(python, "cancelled", tmp_path, grace=0.2) as remote:
        work = remote.load("work")
        first = submit(work.sleep, 1)
        behind = submit(work.note, 1)
        assert behind.cancel()
        assert first.result(PATIENCE) == 1
        assert remote.load("what_has_begun") == ["sleep"]


def test_a_worker_that_is_busy_with_itself_hears_of_all_cancels_later(remote: Remote) -> None:
    """More than the control channel has room for."""
    work = remote.load("work")
    first = submit(work.hold_the_lock, 1, 600)
    futures = [submit(work.note, number) for number in range(3000)]
    assert [future.cancel() for future in futures] == [True] * 3000
    until(lambda: not first.done() and not remote.worker.channel._cancels._watched)
    assert first.cancel()
    assert work.same(1) == 1
    assert remote.load("what_has_begun") == ["hold_the_lock"]


# ---- streams


def test_an_iterator_that_is_dropped_stops(remote: Remote) -> None:
    numbers = iter(remote.load("work").items(600))
    assert next(numbers) == 0
    # One thread does everything there, so it cannot be asked.
    until(lambda: "second" in remote.worker.log.read_text())
    del numbers
    assert remote.load("what_was_met") == ["Cancelled"]
    assert remote.load("same", 1) == 1


def test_an_iterator_that_does_not_stop_costs_the_worker(python: Path, tmp_path: Path) -> None:
    with start(python, "cancelled", tmp_path, threads=3, grace=0.2) as remote:
        numbers = iter(remote.load("work").items(600))
        assert next(numbers) == 0
        begun(remote, "second")
        del numbers
        until(lambda: not remote.worker.alive)


# ---- it does not stop


@pytest.mark.parametrize("what", ["hold_the_lock", "never_mind", "take_the_signal"])
def test_what_does_not_stop_ends_with_its_process(python: Path, tmp_path: Path, what: str) -> None:
    with start(python, "cancelled", tmp_path, grace=0.3) as remote:
        work = remote.load("work")
        pid = remote.worker.pid
        late = submit(isohub.options(timeout=0.2)(getattr(work, what)), 600)
        waiting = submit(work.same, 1)
        with pytest.raises(CallTimeout):
            late.result()
        with pytest.raises(WorkerDied, match=r"was ended: what was cancelled did not come back within 0.3 s"):
            waiting.result(PATIENCE)
        until(lambda: not exists(pid))
        with pytest.raises(StaleObject):
            work.same(1)


def test_what_stops_late_but_in_time_harms_nobody(python: Path, tmp_path: Path) -> None:
    with start(python, "cancelled", tmp_path, grace=PATIENCE) as remote:
        work = remote.load("work")
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.2)(work.never_mind)(1)
        assert work.same(1) == 1
        assert remote.load("what_was_met") == ["never mind"], "it was told once"


def test_an_answer_that_nobody_reads_is_an_answer(python: Path, tmp_path: Path) -> None:
    with start(python, "cancelled", tmp_path, grace=0.3) as remote:
        work = remote.load("work")
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.1)(work.sleep)(600)
        # Nothing is asked meanwhile, and nobody looks.
        assert not threading.Event().wait(1)
        assert remote.worker.alive
        assert work.same(1) == 1


# ---- its neighbours


@pytest.mark.parametrize("threads", [1, 4])
def test_quick_calls_and_cancels_never_hit_a_neighbour(
    any_python: Path, tmp_path: Path, threads: int
) -> None:
    """Cancels come before, in and just after their calls; all that is not cancelled has its own answer."""
    with start(any_python, "cancelled", tmp_path, threads=threads, grace=PATIENCE) as remote:
        work = remote.load("work")

        def hammer(seed: int) -> int:
            chance = random.Random(seed)
            cancelled = 0
            for turn in range(400):
                values = [chance.randrange(1000) for _ in range(5)]
                futures = [submit(work.quick, value) for value in values]
                doomed = chance.randrange(5)
                time.sleep(chance.random() / 1000)
                cancelled += futures[doomed].cancel()
                for at, (value, future) in enumerate(zip(values, futures, strict=True)):
                    if at != doomed or not future.cancelled():
                        assert future.result(PATIENCE) == value * 3, turn
                assert work.same(turn) == turn
                try:
                    assert isohub.options(timeout=0.0005)(work.quick)(turn) == turn * 3
                except CallTimeout:
                    cancelled += 1
            return cancelled

        with ThreadPoolExecutor(3) as pool:
            assert all([*pool.map(hammer, range(3))])
        assert work.same(1) == 1
        assert remote.worker.alive


def test_streams_and_cancels_share_a_worker(threaded: Remote) -> None:
    work = threaded.load("work")
    for turn in range(30):
        numbers = iter(work.items(0))
        future = submit(work.spin)
        assert next(numbers) == 0
        future.cancel()
        assert [*numbers] == [1]
        dropped: Any = iter(work.items(0))
        assert next(dropped) == 0
        del dropped
        assert work.same(turn) == turn
