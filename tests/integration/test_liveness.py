"""Workers that give no sign of life, and workers that nobody calls."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.cli.main import main
from isohub.errors import CallTimeout, StaleObject
from isohub.supervise import register, rounds
from isohub.supervise.worker import Worker
from tests.workers import HUBCONFS, PYTHONS, WIRE, Remote, environment, exists, start, until

HUNGRY = HUBCONFS / "hungry"


@pytest.fixture(autouse=True)
def fast_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five a second; the workers that start meanwhile give their signs of life as often."""
    monkeypatch.setattr(rounds, "SECONDS", 0.2)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "misbehaving", tmp_path / "logs") as remote:
        yield remote


def state(worker: Worker, *, all: bool = False) -> str:
    (found,) = [info.state for info in isohub.workers(all=all) if info.pid == worker.pid]
    return found


def wait(seconds: float) -> None:
    """Let the rounds be made that fit into this time: what must not happen in them is all that can be waited for."""
    time.sleep(seconds)


# ---- suspicion


def test_a_worker_that_is_stopped_is_suspect_and_recovers(remote: Remote) -> None:
    worker = remote.worker
    assert state(worker) == "serving"
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: state(worker) == "suspect")
    assert state(worker, all=True) == "suspect", "in the register, for other programs"
    assert worker.alive
    future = worker.channel.submit("load", None, ("same", 1))
    os.kill(worker.pid, signal.SIGCONT)
    assert future.result(30) == 1, "suspicion has no consequences"
    until(lambda: state(worker) == "serving")


def test_native_code_that_keeps_the_interpreter_is_suspect_and_is_let_do(remote: Remote) -> None:
    seen = set()
    future = remote.worker.channel.submit("load", None, ("hold_the_lock", 3))
    while not future.done():
        seen.add(state(remote.worker))
        time.sleep(0.02)
    assert future.result() == 3
    assert seen == {"serving", "suspect"}
    until(lambda: state(remote.worker) == "serving")


def test_a_worker_that_is_idle_or_at_work_is_not_suspect(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path) as idle, start(python, "misbehaving", tmp_path) as busy:
        future = busy.worker.channel.submit("load", None, ("hang",))
        wait(2)
        assert (state(idle.worker), state(busy.worker)) == ("serving", "serving")
        assert not future.done()


def test_a_suspect_worker_that_dies_is_dead_at_once(remote: Remote) -> None:
    os.kill(remote.worker.pid, signal.SIGSTOP)
    until(lambda: state(remote.worker) == "suspect")
    os.kill(remote.worker.pid, signal.SIGKILL)
    until(lambda: not remote.worker.alive)
    with pytest.raises(StaleObject, match="SIGKILL"):
        remote.load("same", 1)


def test_a_suspect_worker_can_be_closed(remote: Remote) -> None:
    os.kill(remote.worker.pid, signal.SIGSTOP)
    until(lambda: state(remote.worker) == "suspect")
    remote.worker.close()
    assert not exists(remote.worker.pid)


def test_the_rounds_end_with_the_last_worker(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path):
        assert "isohub-rounds" in {thread.name for thread in threading.enumerate()}
    until(lambda: "isohub-rounds" not in {thread.name for thread in threading.enumerate()})


# ---- idleness


def load(hub: isohub.Hub, name: str, *args: Any) -> Any:
    return hub.load(HUNGRY, name, *args, source="local", trust_repo=True, verbose=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests here, so that the environment is built once."""
    return tmp_path_factory.mktemp("liveness") / "home"


@pytest.fixture
def hub(home: Path) -> Iterator[isohub.Hub]:
    with isohub.Hub(home=home, idle_timeout=0.5) as hub:
        yield hub


def test_a_worker_that_is_not_called_ends_and_the_next_load_starts_another(hub: isohub.Hub) -> None:
    first = load(hub, "pid")
    model = load(hub, "thing")
    assert not hub.plan_prune().removed, "a worker uses the environment"
    began = time.monotonic()
    until(lambda: not isohub.workers())
    assert time.monotonic() - began > 0.4, "not before its time"
    until(lambda: not exists(first))
    with pytest.raises(StaleObject, match=r"was not called for 0\.5 s") as caught:
        model()
    assert "load it again" in str(caught.value)
    assert repr(model).startswith("<stale ")
    second = load(hub, "pid")
    assert second != first
    assert load(hub, "pid") == second
    until(lambda: not isohub.workers())
    until(lambda: hub.plan_prune().removed)


def test_a_worker_that_is_called_now_and_then_stays(hub: isohub.Hub) -> None:
    first = load(hub, "pid")
    for _ in range(8):
        wait(0.15)
        assert load(hub, "pid") == first


def test_a_call_and_a_stream_keep_a_worker(hub: isohub.Hub) -> None:
    assert load(hub, "sleep", 1) == isohub.workers()[0].pid
    numbers = iter(load(hub, "numbers", 10**6))
    assert next(numbers) == 0
    wait(1)
    assert next(numbers) == 1
    del numbers
    until(lambda: not isohub.workers())


def test_a_call_that_was_given_up_keeps_a_worker_until_it_is_done(home: Path) -> None:
    with isohub.Hub(home=home, idle_timeout=0.2, timeout=0.3) as hub:
        worker = load(hub, "pid")
        with pytest.raises(CallTimeout):
            load(hub, "stay", 2)
        wait(0.8)
        assert exists(worker), "it is at work"
        until(lambda: not isohub.workers())


@pytest.mark.parametrize("attempt", range(5))
def test_whoever_calls_while_a_worker_retires_is_served_or_told(
    python: Path, tmp_path: Path, attempt: int
) -> None:
    """Nobody's call is cut, and nobody waits for ever."""
    answers: list[int] = []
    errors: list[str] = []
    with start(python, "hungry", tmp_path) as remote, ThreadPoolExecutor(4) as pool:
        channel = remote.worker.channel

        def call() -> None:
            while True:
                time.sleep(random.random() / 500)  # or something is open at every moment
                try:
                    answers.append(remote.load("pid"))
                except StaleObject as error:
                    errors.append(str(error))
                    return

        callers = [pool.submit(call) for _ in range(3)]
        until(lambda: len(answers) > 10)
        until(lambda: channel.refusals.retire(lambda: StaleObject("it retired")))
        for caller in callers:
            caller.result(30)
        assert channel.is_idle()
        assert set(answers) == {remote.worker.pid}
    assert errors == ["it retired"] * 3


def test_loads_while_workers_end_all_succeed(home: Path) -> None:
    with isohub.Hub(home=home, idle_timeout=0.01) as hub:
        pids = set()
        for pause in (0, 0.2, 0.24, 0.28, 0.32, 0.36, 0.6):
            wait(pause)
            pids.add(load(hub, "pid"))
        until(lambda: not isohub.workers())
    assert len(pids) > 1


def test_a_hub_may_be_closed_while_its_worker_ends(home: Path) -> None:
    for pause in (0.18, 0.2, 0.22):
        with isohub.Hub(home=home, idle_timeout=0.01) as hub:
            worker = load(hub, "pid")
            wait(pause)
        assert not exists(worker)
        assert not [found for found in register.here() if found[0].pid == worker]


def test_ps_shows_suspicion(remote: Remote, capsys: pytest.CaptureFixture[str]) -> None:
    os.kill(remote.worker.pid, signal.SIGSTOP)
    until(lambda: state(remote.worker) == "suspect")
    assert main(["ps"]) == 0
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if str(remote.worker.pid) in line.split()
    ]
    assert "suspect" in line
