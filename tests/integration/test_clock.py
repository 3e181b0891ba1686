"""A clock that is set: nothing ends, expires or is removed by that.

It is set as the program sees it, by a ``time.time`` of ours, and files have times of another day.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import isohub
from isohub.cli.main import main
from isohub.config import Settings
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.store import Environment, EnvironmentStore
from isohub.errors import CallTimeout
from isohub.supervise.logs import new_log
from tests.workers import HUBCONFS, PYTHONS, WIRE, environment, exists, start, until

_HUNGRY = HUBCONFS / "hungry"
_DAY = 86400.0
_YEAR = 365 * _DAY

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """What sets the clock of this program by so many seconds from the right time."""
    offset = 0.0
    right, right_ns = time.time, time.time_ns

    def set_by(seconds: float) -> None:
        nonlocal offset
        offset = seconds

    monkeypatch.setattr(time, "time", lambda: right() + offset)
    monkeypatch.setattr(time, "time_ns", lambda: right_ns() + int(offset * 1e9))
    return set_by


@pytest.fixture
def jumping(set_clock: SetClock) -> SetClock:
    """The clock jumps back and forth by this many seconds, until it is told to jump by none."""
    over = threading.Event()

    def jump(seconds: float) -> None:
        if not seconds:
            over.set()
            set_clock(0)
            return

        def run() -> None:
            sign = 1
            while not over.wait(0.05):
                set_clock(sign * seconds)
                sign = -sign

        threading.Thread(target=run, daemon=True).start()

    return jump


def test_nothing_ends_while_the_clock_jumps(home: Path, jumping: SetClock) -> None:
    with isohub.Hub(idle_timeout=4) as hub:

        def load(name: str, *args: object) -> int:
            return int(hub.load(_HUNGRY, name, *args, source="local", trust_repo=True, verbose=False))

        jumping(10 * 3600)
        worker = load("pid")
        future = isohub.submit(hub.load(_HUNGRY, "sleeper", source="local", verbose=False), 2)
        states = set()
        while not future.done():
            (shown,) = isohub.workers()
            states.add(shown.state)
            assert 0 <= shown.uptime < 60
            time.sleep(0.05)
        assert future.result() == worker
        assert states == {"serving"}
        began = time.monotonic()
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.5)(hub.load(_HUNGRY, "sleeper", source="local", verbose=False))(600)
        assert 0.4 < time.monotonic() - began < 10
        # It is idle from here on, and stays for as long as it was told.
        until(lambda: load("pid") == worker)
        idle = time.monotonic()
        until(lambda: not exists(worker))
        assert time.monotonic() - idle > 3
        jumping(0)


def test_what_is_used_is_not_removed_and_the_future_is_now(
    home: Path, set_clock: SetClock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=home)
    with isohub.Hub() as hub:
        hub.load(_HUNGRY, "pid", source="local", trust_repo=True, verbose=False)
        set_clock(_YEAR)
        plan = hub.plan_prune(older_than=30 * _DAY)
        assert [item.fate for item in plan.verdicts] == ["keep"]
        assert "worker" in plan.verdicts[0].reason
    set_clock(0)
    (built,) = EnvironmentStore(settings).list()
    lock = EnvironmentFolder(built.path).use_lock
    # It was used while the clock was a year ahead, or further than a date can say.
    for ahead in (_YEAR, 8000 * _YEAR):
        os.utime(lock, (time.time() + ahead,) * 2)
        with isohub.Hub() as hub:
            assert [item.fate for item in hub.plan_prune(older_than=30 * _DAY).verdicts] == ["keep"]
        capsys.readouterr()
        assert main(["env", "list"]) == 0
        assert re.search(r" \d s  +\d s ", capsys.readouterr().out), "its age, and how long it was not used"
        assert main(["env", "list", "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out)["environments"]
        assert shown["last_used"] <= time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    # Its next use says when that was.
    with isohub.Hub() as hub:
        hub.load(_HUNGRY, "pid", source="local", verbose=False)
    assert abs(lock.stat().st_mtime - time.time()) < 60
    set_clock(_YEAR)
    with isohub.Hub() as hub:
        assert [item.fate for item in hub.plan_prune(older_than=30 * _DAY).verdicts] == ["remove"]


def test_a_build_over_which_the_clock_is_set(home: Path, set_clock: SetClock) -> None:
    set_clock(_DAY)
    timer = threading.Timer(0.3, set_clock, (-_DAY,))
    timer.start()
    with isohub.Hub() as hub:
        hub.load(_HUNGRY, "pid", source="local", trust_repo=True, verbose=False)
    timer.join()
    (built,) = EnvironmentStore(Settings(home=home)).list()
    assert isinstance(built, Environment)
    assert 0 < built.manifest.seconds < 600


def test_the_log_of_a_worker_stays_however_old_it_seems(tmp_path: Path, set_clock: SetClock) -> None:
    python = environment(PYTHONS[-1], *WIRE)
    with start(python, "misbehaving", tmp_path) as remote:
        os.close(new_log(tmp_path, "of a worker that has ended")[0])
        set_clock(30 * _DAY)
        fd, path = new_log(tmp_path, "another")
        assert {*tmp_path.iterdir()} == {remote.worker.log, path}
        os.close(fd)
        remote.load("print_lines", 1)
        assert "line 0" in remote.worker.log.read_text()
    set_clock(60 * _DAY)
    fd, path = new_log(tmp_path, "yet another")
    os.close(fd)
    assert [*tmp_path.iterdir()] == [path]
