"""Futures and awaited calls, whoever reads the answers: nobody, a thread, the event loop, or several of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isohub.errors import CallTimeout, RemoteError, StaleObject, WorkerDied
from isohub.rpc.aio import acall
from isohub.rpc.proxy import submit
from tests.workers import PATIENCE, PYTHONS, WIRE, Remote, environment, start, until


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "objects", tmp_path) as remote:
        yield remote


@pytest.fixture
def threaded(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "objects", tmp_path, threads=4) as remote:
        yield remote


def test_several_can_be_waited_for_at_once(remote: Remote) -> None:
    same = remote.load("gate_keeper").same
    futures = [submit(same, number) for number in range(100)]
    done, waiting = concurrent.futures.wait(futures, PATIENCE)
    assert (len(done), waiting) == (100, set())
    futures = [submit(same, number) for number in range(100)]
    answers = [future.result() for future in concurrent.futures.as_completed(futures, PATIENCE)]
    assert sorted(answers) == [*range(100)]


def test_what_was_waited_for_in_one_way_can_be_asked_in_another(remote: Remote) -> None:
    same = remote.load("gate_keeper").same
    future = submit(same, 1)
    assert future.result(PATIENCE) == 1
    assert concurrent.futures.wait([future], PATIENCE).done == {future}
    told: list[Any] = []
    future.add_done_callback(told.append)
    assert told == [future]
    assert future.result() == 1
    assert not future.cancel()
    assert not future.running()


def test_a_callback_that_comes_late_is_called_too(remote: Remote) -> None:
    future = submit(remote.load("gate_keeper").same, 1)
    assert future.result(PATIENCE) == 1
    told = threading.Event()
    future.add_done_callback(lambda future: told.set())
    assert told.wait(PATIENCE)


def test_it_becomes_done_although_nobody_waits(remote: Remote) -> None:
    future = submit(remote.load("gate_keeper").same, 1)
    until(future.done)
    assert future.result(0) == 1


def test_a_result_that_takes_longer_than_one_waits_comes_later(threaded: Remote) -> None:
    keeper = threaded.load("gate_keeper")
    future = submit(keeper.wait)
    for wait in (future.result, future.exception):
        with pytest.raises(concurrent.futures.TimeoutError):
            wait(0.05)
    assert not future.done()
    keeper.open()
    assert future.result(PATIENCE)


def test_a_future_ends_at_its_deadline_though_nobody_waits(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path, timeout=0.2) as remote:
        wait = remote.load("gate_keeper").wait
        future = submit(wait)
        until(future.done)
        assert isinstance(future.exception(), CallTimeout)
        with pytest.raises(CallTimeout):
            submit(wait).result(PATIENCE)
        told: list[Any] = []
        submit(wait).add_done_callback(told.append)
        until(lambda: told)
        assert isinstance(told[0].exception(), CallTimeout)


def test_what_was_sent_is_done_although_nobody_asks(remote: Remote) -> None:
    """The first few calls leave at once, and the others together with them or a moment later."""
    for count in (3, 200):
        items = remote.load("items")
        for number in range(count):
            submit(items.append, number)
        gc.collect()
        until(lambda items=items, count=count: len(items) == count)  # type: ignore[misc]
        assert [items[at] for at in range(count)] == [*range(count)]


def test_an_answer_waits_for_others_and_not_for_a_call_that_takes_long(remote: Remote) -> None:
    keeper = remote.load("gate_keeper")
    futures = [submit(keeper.same, number) for number in range(100)]
    waiting = submit(keeper.wait)
    futures_after = [submit(keeper.same, number) for number in range(20)]
    assert [future.result(PATIENCE) for future in futures] == [*range(100)]
    assert not waiting.done()
    assert not any(future.done() for future in futures_after)


def test_calls_of_all_kinds_keep_their_order(remote: Remote) -> None:
    items = remote.load("items")
    futures = []
    for number in range(300):
        if number % 7:
            futures.append(submit(items.append, number))
        else:
            items.append(number)
    assert [items[at] for at in range(300)] == [*range(300)]
    assert [future.result(PATIENCE) for future in futures] == [None] * len(futures)


def test_many_threads_may_ask_for_the_same_futures(remote: Remote) -> None:
    same = remote.load("gate_keeper").same
    futures = [submit(same, number) for number in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: [future.result(PATIENCE) for future in futures], range(8))]
    assert answers == [[*range(200)]] * 8


def test_a_worker_that_dies_ends_all_futures(remote: Remote) -> None:
    wait = remote.load("gate_keeper").wait
    futures = [submit(wait) for _ in range(50)]
    told: list[Any] = []
    futures[0].add_done_callback(told.append)
    remote.worker._kill()
    for future in futures:
        assert isinstance(future.exception(PATIENCE), WorkerDied)
    until(lambda: told)


# ---- asyncio


async def test_awaited_calls_and_threads_share_one_worker(remote: Remote) -> None:
    same = remote.load("gate_keeper").same
    ended = threading.Event()
    failed: list[BaseException] = []

    def call() -> None:
        try:
            number = 0
            while not ended.is_set():
                number += 1
                assert same(number) == number
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            answers = await asyncio.wait_for(
                asyncio.gather(*(acall(same, number) for number in range(50))), PATIENCE
            )
            assert answers == [*range(50)]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failed == []


def test_several_event_loops_share_one_worker(remote: Remote) -> None:
    same = remote.load("gate_keeper").same

    async def calls() -> list[int]:
        return [*await asyncio.gather(*(acall(same, number) for number in range(100)))]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda _: asyncio.run(calls()), range(12))]
    assert answers == [[*range(100)]] * 12


async def test_an_awaited_call_ends_with_its_worker(remote: Remote) -> None:
    wait = remote.load("gate_keeper").wait
    waiting = [asyncio.create_task(acall(wait)) for _ in range(20)]
    await asyncio.sleep(0)
    remote.worker._kill()
    for task in waiting:
        with pytest.raises(WorkerDied):
            await asyncio.wait_for(task, PATIENCE)


async def test_an_awaited_call_of_a_worker_that_has_ended_is_refused(remote: Remote) -> None:
    same = remote.load("gate_keeper").same
    remote.worker._kill()
    until(lambda: not remote.worker.alive and remote.worker.channel.ended)
    for _ in range(2):
        with pytest.raises(StaleObject):
            await acall(same, 1)
    remote.worker.close()
    with pytest.raises(StaleObject):
        await acall(same, 1)


async def test_an_awaited_call_ends_at_its_deadline(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path, timeout=0.2, threads=2) as remote:
        keeper = remote.load("gate_keeper")
        with pytest.raises(CallTimeout):
            await asyncio.wait_for(acall(keeper.wait), PATIENCE)
        await acall(keeper.open)
        assert await acall(keeper.same, 1) == 1


def test_an_event_loop_that_ends_early_leaves_nothing_behind(threaded: Remote) -> None:
    keeper = threaded.load("gate_keeper")

    async def leave() -> None:
        waiting = asyncio.ensure_future(acall(keeper.wait))
        await acall(keeper.same, 1)
        waiting.cancel()

    for _ in range(3):
        asyncio.run(leave())
    keeper.open()
    assert keeper.same(2) == 2
    with pytest.raises(RemoteError):
        asyncio.run(_raise(keeper))


async def _raise(keeper: Any) -> None:
    await acall(keeper.same)
