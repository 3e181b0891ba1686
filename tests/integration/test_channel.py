"""The connection to a worker: many threads, futures, asyncio, deadlines, and workers that break the protocol."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import CallTimeout, IsohubError, ProtocolError, RemoteError, UnsupportedValue, WorkerDied
from isohub.rpc.aio import acall
from isohub.rpc.proxy import RemoteObject, submit
from isohub.supervise.worker import Worker
from tests import fake_worker
from tests.workers import (
    PATIENCE,
    PYTHONS,
    WIRE,
    Remote,
    environment,
    exists,
    fake_python,
    host,
    start,
    until,
)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture(scope="module", params=[1, 4], ids=["one at a time", "four at once"])
def remote(
    request: pytest.FixtureRequest, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    with start(python, "objects", tmp_path_factory.mktemp("channel"), threads=request.param) as remote:
        yield remote


@pytest.fixture
def concurrent(python: Path, tmp_path: Path) -> Iterator[Remote]:
    """A worker that does four calls at once."""
    with start(python, "objects", tmp_path, threads=4) as remote:
        yield remote


# ---- threads of the host


def test_many_threads_call_at_once(remote: Remote) -> None:
    caller = remote.load("caller")

    def call(thread: int) -> int:
        thing = remote.load("thing", thread)
        for turn in range(60):
            assert caller(thread, turn=turn) == ((thread,), {"turn": turn})
            assert thing.number == thread
            assert list(remote.load("numbers_in_parallel", turn % 7)) == list(range(turn % 7))
            if turn % 10 == 0:
                with pytest.raises(ValueError, match=f"{thread}-{turn}"):
                    remote.load("fail", "ValueError", f"{thread}-{turn}")
        return thread

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(16))) == list(range(16))


def test_threads_may_share_one_iterator(remote: Remote) -> None:
    for _ in range(5):
        numbers = remote.load("numbers_in_parallel", 2000)

        def take(numbers: Any = numbers) -> list[int]:
            return list(numbers)

        with ThreadPoolExecutor(8) as pool:
            taken = [future.result(PATIENCE) for future in [pool.submit(take) for _ in range(8)]]
        assert sorted(number for part in taken for number in part) == list(range(2000))
        assert all(part == sorted(part) for part in taken)


def test_calls_overlap_where_the_worker_does_several_at_once(concurrent: Remote) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: concurrent.load("meet"), range(3))) == ["met"] * 3


def test_calls_do_not_overlap_by_default(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path) as remote, ThreadPoolExecutor(4) as pool:
        threads = set(pool.map(lambda _: remote.load("thread_id"), range(8)))
    assert len(threads) == 1


def test_what_a_thread_holds_is_not_held_by_the_one_that_read_it(concurrent: Remote) -> None:
    """The thread that reads takes in the answers of the others, and must not keep them."""
    before = concurrent.holds()
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(concurrent.load, "wait_at_gate")
        for _ in range(5):
            thing = pool.submit(concurrent.load, "thing").result(PATIENCE)
            assert thing.number == 0
        del thing
        until(lambda: concurrent.holds() == before)
        concurrent.load("open_gate")
        assert reading.result(PATIENCE)


# ---- futures


def test_futures_answer_as_calls_do(remote: Remote) -> None:
    thing, caller = remote.load("thing"), remote.load("caller")
    futures = [submit(caller, number) for number in range(100)]
    assert [future.result(PATIENCE) for future in futures] == [((number,), {}) for number in range(100)]
    assert submit(thing.add, 5).result(PATIENCE) == 5
    assert submit(thing.me).result(PATIENCE) is thing
    failing = submit(remote.load("classes").add)
    assert isinstance(failing.exception(PATIENCE), TypeError)
    assert isinstance(failing.exception(), RemoteError)


def test_what_cannot_be_sent_is_told_at_once(remote: Remote) -> None:
    caller = remote.load("caller")
    with pytest.raises(UnsupportedValue, match="argument 1"):
        submit(caller, object())
    others: list[Any] = [remote.load("thing"), len, None]
    for what in others:
        with pytest.raises(TypeError, match="remote callable"):
            submit(what)


def test_what_was_dropped_is_told_even_if_the_next_call_cannot_be_sent(remote: Remote) -> None:
    caller = remote.load("caller")
    before = remote.holds()
    for _ in range(20):
        thing = remote.load("thing")
        del thing
        with pytest.raises(UnsupportedValue):
            caller(object())
    until(lambda: remote.holds() == before)


def test_a_callback_may_call_the_worker_again(remote: Remote) -> None:
    caller, seen, done = remote.load("caller"), [], threading.Event()

    def again(future: Future[Any]) -> None:
        seen.append(caller(future.result()))
        if len(seen) < 5:
            submit(caller, len(seen)).add_done_callback(again)
        else:
            done.set()

    submit(caller, 0).add_done_callback(again)
    assert done.wait(PATIENCE)
    assert seen[4] == ((((4,), {}),), {})


def test_a_callback_never_runs_in_the_thread_of_a_caller(concurrent: Remote) -> None:
    """Who may hold a lock that the callback needs."""
    lock, ran = threading.Lock(), threading.Event()

    def needs_lock(future: Future[Any]) -> None:
        with lock:
            ran.set()

    with lock:
        future = concurrent.worker.channel.submit("load", None, ("wait_at_gate",))
        future.add_done_callback(needs_lock)
        # From here on the answer may come, and it is this thread that reads it.
        concurrent.load("open_gate")
        for _ in range(20):
            concurrent.load("nothing")
        assert future.result(PATIENCE)
    assert ran.wait(PATIENCE)


def test_a_cancelled_future_drops_its_answer(concurrent: Remote) -> None:
    before = concurrent.holds()
    waiting = concurrent.load("classes")
    future = submit(waiting, 1)
    gate = concurrent.worker.channel.submit("load", None, ("wait_at_gate",))
    assert gate.cancel()
    with pytest.raises(CancelledError):
        gate.result(PATIENCE)
    concurrent.load("open_gate")
    assert future.result(PATIENCE).number == 1
    del future, waiting
    until(lambda: concurrent.holds() == before)


def test_the_result_of_a_future_dies_with_it(remote: Remote) -> None:
    cls = remote.load("classes")
    before = remote.holds()
    future = submit(cls, 1)
    alive = weakref.ref(future.result(PATIENCE))
    assert remote.holds() == before + 1
    del future
    gc.collect()
    until(lambda: alive() is None and remote.holds() == before)


def test_a_callback_that_fails_harms_no_other(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    caller = remote.load("caller")
    submit(caller).add_done_callback(lambda future: 1 / 0)
    assert submit(caller, 1).result(PATIENCE) == ((1,), {})


# ---- asyncio


async def test_calls_can_be_awaited(remote: Remote) -> None:
    caller, thing = remote.load("caller"), remote.load("thing")
    answers = await asyncio.gather(*(acall(caller, number) for number in range(50)))
    assert answers == [((number,), {}) for number in range(50)]
    assert await acall(thing.me) is thing
    with pytest.raises(TypeError):
        await acall(remote.load("builtin"), 5)
    with pytest.raises(UnsupportedValue):
        await acall(caller, object())


async def test_the_event_loop_goes_on_meanwhile(concurrent: Remote) -> None:
    # One call waits over there until another one, made by the same event loop, comes by.
    gate = concurrent.load("gate_keeper")
    waiting = asyncio.create_task(acall(gate.wait))
    await acall(gate.open)
    assert await asyncio.wait_for(waiting, PATIENCE)


async def test_a_cancelled_task_drops_its_answer(concurrent: Remote) -> None:
    gate = concurrent.load("gate_keeper")
    waiting = asyncio.create_task(acall(gate.wait))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(waiting, 0.05)
    assert waiting.cancelled()
    # Its answer is on its way now, and nobody waits for it.
    await acall(gate.open)
    assert [await acall(gate.same, number) for number in range(50)] == [*range(50)]


# ---- deadlines


def test_a_call_that_takes_too_long_ends_and_its_late_answer_disturbs_nothing(
    python: Path, tmp_path: Path
) -> None:
    with start(python, "objects", tmp_path, threads=4, timeout=0.3) as remote:
        began = time.monotonic()
        with pytest.raises(CallTimeout, match=r"did not answer within 0.3 s \(load\)") as caught:
            remote.load("wait_at_gate")
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.log == remote.worker.log
        assert 0.25 < time.monotonic() - began < PATIENCE
        assert remote.load("thing", 1).number == 1
        assert remote.load("open_gate") == "opened"
        for number in range(50):
            assert remote.load("thing", number).number == number


def test_deadlines_hold_for_futures_streams_and_followers(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path, threads=4, timeout=0.3) as remote:
        future = remote.worker.channel.submit("load", None, ("wait_at_gate",))
        with pytest.raises(CallTimeout):
            future.result(PATIENCE)
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(remote.load, "wait_at_gate") for _ in range(2)]
            for call in waiting:
                with pytest.raises(CallTimeout):
                    call.result(PATIENCE)
        remote.load("open_gate")
        slow = iter(remote.load("slow", 0.5, 3))
        with pytest.raises(CallTimeout):
            next(slow)
        # The item is not lost: who asks again gets it.
        got: list[int] = []

        def ask_again() -> bool:
            try:
                got.append(next(slow))
            except CallTimeout:
                return False
            return len(got) == 2

        until(ask_again)
        assert got == [0, 1]


def test_an_interrupted_call_is_dropped_and_nothing_else(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path, threads=4) as remote:
        main = threading.get_ident()

        def interrupt() -> None:
            until(lambda: remote.worker.channel._turns.reading.get("by") == main)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            remote.load("wait_at_gate")
        thread.join()
        assert remote.load("open_gate") == "opened"
        assert remote.load("thing", 3).number == 3


INTERRUPTED = """
    import numpy, random, signal

    ready, ended, main, failed = threading.Event(), threading.Event(), threading.get_ident(), []

    def call():
        first, second = numpy.zeros(1000), numpy.ones(2000)
        back = load("same", [first, second])
        assert [array.sum() for array in back] == [0, 2000]

    def others():
        try:
            while not ended.is_set():
                call()
        except BaseException as error:
            failed.append(error)

    def interrupt():
        chance = random.Random(7)
        ready.wait()
        for _ in range(150):
            time.sleep(chance.random() / 200)
            signal.pthread_kill(main, signal.SIGINT)
        ended.set()

    threads = [threading.Thread(target=target) for target in (others, others, interrupt)]
    for thread in threads:
        thread.start()
    interrupts = 0
    while True:
        try:
            while not ended.is_set():
                ready.set()
                call()
            break
        except KeyboardInterrupt:
            interrupts += 1
        except BaseException as error:
            failed.append(error)
            break
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for thread in threads:
        thread.join()
    call()
    print(interrupts > 50, failed)
    worker.close()
"""


def test_interrupts_tear_nothing(tmp_path: Path) -> None:
    """A KeyboardInterrupt in the middle of a message would cost the worker, or another thread its answer."""
    process = host(environment(PYTHONS[-1], *WIRE, "numpy"), tmp_path, "numbers", INTERRUPTED)
    out, err = process.communicate(timeout=PATIENCE)
    assert out == "True []\n", err


# ---- what runs in the middle of everything


def test_a_finalizer_that_uses_a_remote_object_holds_nothing_up(python: Path, tmp_path: Path) -> None:
    """The garbage collector may run it in a thread that is just taking in an answer, or sending one."""

    class Careless:
        def __init__(self, thing: Any) -> None:
            self.me = self
            self.thing = thing

        def __del__(self) -> None:
            try:
                self.thing.add()
            except IsohubError as error:
                refused.append(error)

    refused: list[IsohubError] = []
    before = gc.get_threshold()
    with start(python, "objects", tmp_path, timeout=PATIENCE) as remote:
        thing = remote.load("thing")
        gc.set_threshold(1, 1, 1)
        try:
            for number in range(300):
                Careless(thing)
                assert remote.load("same", [number, [number]]) == (([number, [number]],), {})
                remote.load("thing")
        finally:
            gc.set_threshold(*before)
        gc.collect()
        assert thing.number + len(refused) == 300
    assert all("finalizer" in str(error) for error in refused)


def test_everything_at_once(python: Path, tmp_path: Path) -> None:
    """Calls, futures, streams, drops and cancellations from many threads, then the end in the middle of it."""
    with start(python, "objects", tmp_path, threads=2) as remote:
        cls, ended, counts = remote.load("classes"), threading.Event(), []
        errors: list[BaseException] = []

        def work(seed: int) -> None:
            chance, count = random.Random(seed), 0
            kept: list[Any] = []
            try:
                while not ended.is_set():
                    count += 1
                    choice = chance.randrange(7)
                    if choice == 0:
                        kept = [remote.load("many", chance.randrange(5))]
                    elif choice == 1:
                        futures = [submit(cls, number) for number in range(chance.randrange(4))]
                        for future in futures[::2]:
                            future.cancel()
                        wait(futures, PATIENCE)
                    elif choice == 2:
                        for number in remote.load("forever"):
                            if number > chance.randrange(100):
                                break
                    elif choice == 3:
                        thing = remote.load("thing", seed)
                        assert remote.load("same", [thing, thing])[0][0] == [thing, thing]
                        kept.append(thing)
                    elif choice == 4:
                        with pytest.raises(ValueError, match="expected"):
                            remote.load("fail", "ValueError", "expected")
                    elif choice == 5:
                        kept.clear()
                    else:
                        assert [thing.number for thing in remote.load("things", 5)] == [0, 1, 2, 3, 4]
            except (WorkerDied, IsohubError) as error:
                # The end: what is waited for, and what is asked for after it.
                if not ended.is_set():
                    errors.append(error)
            except BaseException as error:
                errors.append(error)
            counts.append(count)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        assert remote.holds() < 500
        ended.set()
        remote.worker._kill()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert errors == []
    assert sum(counts) > 100


# ---- workers that break the protocol


@pytest.mark.parametrize("behaviour", sorted(fake_worker.STARTS))
def test_a_worker_that_starts_with_nonsense_is_refused_and_ended(
    behaviour: str, python: Path, tmp_path: Path
) -> None:
    started: list[Worker] = []

    class Watched(Worker):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            started.append(self)
            super().__init__(*args, **kwargs)

    with pytest.raises(ProtocolError) as caught:
        Watched(
            fake_python(python, tmp_path),
            name="test/fake",
            repo_dir=tmp_path / behaviour,
            environ=scrubbed_environ(),
            logs=tmp_path / "logs",
        )
    assert ("speaks protocol 2, not 1" in str(caught.value)) == (behaviour == "wrong-protocol")
    assert not exists(started[0].pid)


def test_a_worker_that_leaves_without_a_word_has_died(python: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="status 1") as caught:
        Worker(
            fake_python(python, tmp_path),
            name="test/fake",
            repo_dir=tmp_path / "silent-exit",
            environ=scrubbed_environ(),
            logs=tmp_path / "logs",
        )
    assert caught.value.returncode == 1
    assert "it leaves without a word" in (caught.value.tail or "")


@pytest.mark.parametrize("behaviour", sorted(fake_worker.ANSWERS))
def test_nonsense_ends_every_wait_and_the_worker(behaviour: str, python: Path, tmp_path: Path) -> None:
    worker = Worker(
        fake_python(python, tmp_path),
        name="test/fake",
        repo_dir=tmp_path / behaviour,
        environ=scrubbed_environ(),
        logs=tmp_path / "logs",
    )
    try:
        # It answers the third, with the first two still open.
        futures = [worker.channel.submit("load", None, ("anything",)) for _ in range(2)]
        with pytest.raises(ProtocolError, match="broke the protocol") as caught:
            worker.channel.call("load", None, ("anything",))
        assert caught.value.log == worker.log
        assert [type(future.exception(PATIENCE)) for future in futures] == [ProtocolError] * 2
        until(lambda: not exists(worker.pid))
        assert worker.returncode == -signal.SIGKILL
        assert not worker.alive
        with pytest.raises(IsohubError, match="has ended"):
            worker.channel.call("load", None, ("anything",))
    finally:
        worker.close()


@pytest.mark.parametrize("behaviour", sorted(fake_worker.RAW))
def test_what_is_no_message_at_all_disturbs_no_call(behaviour: str, python: Path, tmp_path: Path) -> None:
    """Half a frame, or one of more bytes than there are, on a connection that the worker may make: ZeroMQ keeps it to itself."""
    worker = Worker(
        fake_python(python, tmp_path),
        name="test/fake",
        repo_dir=tmp_path / behaviour,
        environ=scrubbed_environ(),
        logs=tmp_path / "logs",
    )

    def call() -> Any:
        return worker.channel.call("load", None, ("anything",), timeout=PATIENCE)

    try:
        if behaviour == "raw-frame":
            # A whole one is taken for the worker's word, so the others are not kept from the door.
            with pytest.raises(ProtocolError):
                until(lambda: call() != "answer")
        else:
            assert [call() for _ in range(20)] == ["answer"] * 20
            os.kill(worker.pid, signal.SIGKILL)
        until(lambda: not worker.alive)
    finally:
        worker.close()


def test_objects_of_a_broken_worker_are_stale_and_harmless(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path) as remote:
        things = [remote.load("thing"), remote.load("thing").add]
        remote.worker._kill()
        until(lambda: "stale" in repr(things[0]) and "stale" in repr(things[1]))
        assert all(isinstance(thing, RemoteObject) for thing in things)
        things.clear()
        gc.collect()
