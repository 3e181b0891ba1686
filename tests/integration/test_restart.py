"""Workers that die are started again, and what was loaded from them goes on; or not, as the Hub was told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.errors import CallTimeout, ConfigError, HubClosed, RemoteError, StaleObject, WorkerDied
from tests.workers import PATIENCE

HUBCONF = """\
dependencies = []
import os
import time


class Counter:
    def __init__(self, start):
        self.count = start

    def add(self):
        self.count += 1
        return self.count

    def __call__(self, value):
        return self.count + value

    def __iter__(self):
        return iter(range(self.count))

    def child(self):
        return Counter(self.count)

    def die(self):
        os._exit(3)

    def never_mind(self):
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass


class Holder:
    def __init__(self, held):
        self.held = held

    def total(self):
        return self.held.count


def counter(start=0, *, dies=None, fails=None, waits=None):
    while waits is not None and os.path.exists(waits):
        time.sleep(0.01)
    if dies is not None and os.path.exists(dies):
        os._exit(4)
    if fails is not None and os.path.exists(fails):
        raise ValueError("not any more")
    return Counter(start)


def pair(start):
    return Counter(start), {"other": Counter(start + 1), "plain": 7}


def holder(held):
    return Holder(held)


def pid():
    return os.getpid()
"""

Load = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("restart")
    (folder / "repo").mkdir()
    (folder / "repo" / "hubconf.py").write_text(HUBCONF)
    return folder


def hub_with(folder: Path, **options: Any) -> isohub.Hub:
    return isohub.Hub(home=folder / "home", **options)


def loading(hub: isohub.Hub, folder: Path) -> Load:
    def load(name: str, *args: Any, **kwargs: Any) -> Any:
        return hub.load(folder / "repo", name, *args, source="local", verbose=False, **kwargs)

    return load


@pytest.fixture
def load(folder: Path) -> Iterator[Load]:
    with hub_with(folder, restart="on-failure") as hub:
        yield loading(hub, folder)


def dies(counter: Any) -> None:
    with pytest.raises(WorkerDied):
        counter.die()


def test_what_was_loaded_goes_on(load: Load) -> None:
    counter, first = load("counter", 5), load("pid")
    method = counter.add
    assert method() == 6
    dies(counter)
    assert counter.add() == 6, "it was made again by the same call"
    assert method() == 7, "a method is its object's"
    assert counter(1) == 8
    assert list(counter) == [*range(7)]
    assert load("pid") != first
    assert load("holder", counter).total() == 7


def test_it_may_be_used_in_any_way(load: Load) -> None:
    counter = load("counter", 5)
    dies(counter)
    assert isohub.submit(counter.add).result(PATIENCE) == 6
    dies(counter)
    assert asyncio.run(_awaited(counter.add)) == 6
    dies(counter)
    limited = isohub.options(timeout=PATIENCE)(counter.add)
    assert limited() == 6
    assert limited() == 7


async def _awaited(fn: Any) -> Any:
    return await isohub.acall(fn)


def test_what_it_gave_away_is_stale(load: Load) -> None:
    counter = load("counter", 5)
    child = counter.child()
    dies(counter)
    with pytest.raises(StaleObject):
        child.add()
    assert counter.add() == 6
    for use in (child.add, lambda: load("holder", child)):
        with pytest.raises(StaleObject):
            use()
    assert counter.child().add() == 7


def test_objects_in_what_a_load_answers_go_on_too(load: Load) -> None:
    first, rest = load("pair", 1)
    holder = load("holder", first)
    dies(first)
    assert (rest["other"].add(), first.add(), rest["plain"]) == (3, 2, 7)
    assert holder.total() == 2, "it holds what is loaded, as it did before"


def test_a_load_brings_back_the_others(load: Load) -> None:
    counter = load("counter", 5)
    dies(counter)
    other = load("counter", 9)
    assert (counter.add(), other.add()) == (6, 10)
    assert load("holder", counter).total() == 6


def test_what_was_dropped_is_not_loaded_again(load: Load, tmp_path: Path) -> None:
    counter = load("counter", 1)
    load("counter", 2, dies=str(tmp_path / "flag"))
    (tmp_path / "flag").touch()
    dies(counter)
    assert counter.add() == 2


def test_many_threads_find_one_worker(load: Load) -> None:
    counter = load("counter", 0)
    for _ in range(2):
        dies(counter)
        with ThreadPoolExecutor(8) as pool:
            counts = [*pool.map(lambda _: counter.add(), range(8))]
        assert sorted(counts) == [*range(1, 9)]


def test_it_ends_after_so_many(folder: Path) -> None:
    with hub_with(folder, restart="on-failure", max_restarts=2) as hub:
        load = loading(hub, folder)
        counter = load("counter", 5)
        for _ in range(2):
            dies(counter)
            assert counter.add() == 6
        dies(counter)
        with pytest.raises(StaleObject, match="has ended"):
            counter.add()
        # A load begins anew, and has as many.
        other = load("counter", 7)
        dies(other)
        assert other.add() == 8
        with pytest.raises(StaleObject):
            counter.add()


def test_a_worker_that_dies_as_it_starts_does_not_loop(load: Load, tmp_path: Path) -> None:
    counter = load("counter", 5, dies=str(tmp_path / "flag"))
    (tmp_path / "flag").touch()
    dies(counter)
    for _ in range(3):
        with pytest.raises(WorkerDied, match="exited with status 4"):
            counter.add()
    with pytest.raises(StaleObject):
        counter.add()


def test_it_may_come_back_after_a_failed_start(load: Load, tmp_path: Path) -> None:
    counter = load("counter", 5, dies=str(tmp_path / "flag"))
    (tmp_path / "flag").touch()
    dies(counter)
    with pytest.raises(WorkerDied):
        counter.add()
    (tmp_path / "flag").unlink()
    assert counter.add() == 6


def test_what_cannot_be_loaded_again_is_stale_alone(load: Load, tmp_path: Path) -> None:
    counter, other = load("counter", 5, fails=str(tmp_path / "flag")), load("counter", 6)
    (tmp_path / "flag").touch()
    dies(counter)
    assert other.add() == 7
    with pytest.raises(StaleObject):
        counter.add()
    with pytest.raises(RemoteError, match="not any more"):
        load("counter", 5, fails=str(tmp_path / "flag"))


def test_a_worker_that_was_ended_for_a_cancelled_call_comes_back(folder: Path) -> None:
    with hub_with(folder, restart="on-failure", grace=0.2) as hub:
        load = loading(hub, folder)
        counter = load("counter", 5)
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.2)(counter.never_mind)()
        with pytest.raises(WorkerDied, match="cancelled"):
            counter.add()
        assert counter.add() == 6


def test_a_deadline_holds_while_a_worker_is_started_again(folder: Path, tmp_path: Path) -> None:
    with hub_with(folder, restart="on-failure", max_restarts=1) as hub:
        gate = tmp_path / "gate"
        counter = loading(hub, folder)("counter", 5, waits=str(gate))
        gate.touch()
        dies(counter)
        add = isohub.options(timeout=0.2)(counter.add)
        for use in (add, lambda: isohub.submit(add), lambda: asyncio.run(isohub.acall(add))):
            with pytest.raises(CallTimeout, match=r"was not started again within 0\.2 s"):
                use()
        gate.unlink()
        assert isohub.options(timeout=PATIENCE)(counter.add)() == 6, "that one start went on"


def test_closing_ends_a_start_that_nobody_waits_for(folder: Path, tmp_path: Path) -> None:
    with hub_with(folder, restart="on-failure") as hub:
        gate = tmp_path / "gate"
        counter = loading(hub, folder)("counter", 5, waits=str(gate))
        gate.touch()
        dies(counter)
        with pytest.raises(CallTimeout):
            isohub.options(timeout=0.2)(counter.add)()
    assert not any(thread.name == "isohub-errand" for thread in threading.enumerate())
    with pytest.raises(StaleObject):
        counter.add()


def test_closing_ends_the_wait_for_the_next_start(folder: Path, tmp_path: Path) -> None:
    hub = hub_with(folder, restart="on-failure", max_restarts=40)
    load = loading(hub, folder)
    counter = load("counter", 5, dies=str(tmp_path / "flag"))
    (tmp_path / "flag").touch()
    dies(counter)
    ended: list[BaseException] = []

    def use() -> None:
        while not ended:
            try:
                counter.add()
            except WorkerDied:
                continue
            except BaseException as error:
                ended.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    with hub:
        pass
    thread.join(PATIENCE)
    assert isinstance(ended[0], (HubClosed, StaleObject))


def test_without_it_they_are_stale(folder: Path) -> None:
    with hub_with(folder) as hub:
        load = loading(hub, folder)
        counter = load("counter", 5)
        dies(counter)
        with pytest.raises(StaleObject):
            counter.add()
        assert load("counter", 7).add() == 8
        with pytest.raises(StaleObject):
            counter.add()


def test_wrong_words_are_refused(folder: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"restart": "always"},
        {"restart": True},
        {"max_restarts": 0},
        {"max_restarts": 1.5},
        {"grace": -1},
    ]
    for options in wrong:
        with pytest.raises(ConfigError):
            hub_with(folder, **options)
