"""What goes wrong: one fault after the other, in places that are chosen by chance."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import isohub
from isohub.errors import IsohubError
from tests.soak.place import Place
from tests.soak.tally import Tally
from tests.workers import exists

__all__ = ["Faults"]

_PAUSE = 0.1
# A killed host's worker has this long to be gone.
_GONE = 2.0


class Faults(threading.Thread):
    """Injects faults until it is over.

    Args:
        places: where; the one called "small" has a limit of memory.
        home: of all Hubs.
        tally: where they are counted.
        seed: of the choices.
        over: set when it is to end.
    """

    def __init__(
        self, places: list[Place], home: Path, tally: Tally, seed: int, over: threading.Event
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self._places = places
        self._home = home
        self._tally = tally
        self._chance = random.Random(seed)
        self._over = over
        self.since = time.monotonic()
        self._kinds: dict[str, Callable[[Place], None]] = {
            "kill -9 of a worker": self._kill,
            "kill -9 in a call": self._kill_in_a_call,
            "kill -9 in a stream": self._kill_in_a_stream,
            "kill -9 while it starts": self._kill_a_start,
            "kill -9 of the host": self._kill_a_host,
            "SIGSTOP": self._stand_still,
            "os._exit in a call": self._ending("leave", 3),
            "garbage on the wire": self._ending("say_nonsense", 100_000),
            "a short piece of garbage": self._ending("say_nonsense", 1),
            "all files closed": self._ending("close_files"),
            "64 MB of output": self._print,
            "too much memory asked for": self._take,
            "out of memory": self._die_of_memory,
        }

    def run(self) -> None:
        while not self._over.wait(self._chance.random() * 2 * _PAUSE):
            self.since = time.monotonic()
            kind = self._chance.choice([*self._kinds])
            try:
                self._kinds[kind](self._chance.choice(self._places))
            except IsohubError:
                pass  # the callers' faults and this one met
            except Exception as error:
                self._tally.lose(f"{kind}: {error!r}")
            self._tally.fault(kind)

    # ---- ends of workers

    def _kill(self, place: Place) -> None:
        place.kill(place.pid())

    def _kill_in_a_call(self, place: Place) -> None:
        things, pid = place.load("things"), place.pid()
        future = isohub.submit(things.sleep, 30)
        place.kill(pid)
        self._expect_an_end(future.exception(30))

    def _kill_in_a_stream(self, place: Place) -> None:
        things, pid = place.load("things"), place.pid()
        items = iter(things.rows(1000, 5000))
        next(items)
        place.kill(pid)
        try:
            for _ in items:
                pass
        except IsohubError as error:
            self._expect_an_end(error)
        else:
            self._tally.lose("a stream of a worker that was killed ended as if it were whole")

    def _kill_a_start(self, place: Place) -> None:
        word = str(self._chance.random())
        other = Place("start", self._home, env={"SOAK": word})  # which nobody has started
        with other.hub:
            loading = threading.Thread(target=_try, args=(lambda: other.load("things").pid(),), daemon=True)
            loading.start()
            while loading.is_alive():
                for worker in isohub.workers():
                    if worker.state == "starting" and _has_in_its_environment(worker.pid, word):
                        other.kill(worker.pid)
                loading.join(0.001)

    def _ending(self, entry: str, *args: object) -> Callable[[Place], None]:
        def inject(place: Place) -> None:
            place.load("things")  # or it would take the start of a worker
            place.will_end()
            try:
                place.load(entry, *args)
            except IsohubError as error:
                self._expect_an_end(error)

        return inject

    def _expect_an_end(self, error: BaseException | None) -> None:
        if type(error).__name__ not in ("WorkerDied", "StaleObject", "ProtocolError", "CallTimeout"):
            self._tally.lose(f"the end of a worker was told by {error!r}")

    # ---- other things

    def _kill_a_host(self, place: Place) -> None:
        program = [sys.executable, "-m", "tests.soak.victim", str(self._home)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            pid = int(victim.stdout.readline())
            time.sleep(self._chance.random() / 20)
            os.kill(victim.pid, signal.SIGKILL)
            began = time.monotonic()
        while exists(pid):
            if time.monotonic() - began > _GONE:
                self._tally.lose(f"worker {pid} is there {_GONE} s after its host was killed")
                return
            time.sleep(0.01)
        self._tally.took("kill -9 of the host", time.monotonic() - began)

    def _stand_still(self, place: Place) -> None:
        place.stop_for(place.pid(), self._chance.random())

    def _print(self, place: Place) -> None:
        place.load("print_much", 64_000_000)

    def _take(self, place: Place) -> None:
        small = next(place for place in self._places if place.name == "small")
        try:
            small.load("take", 8 << 30)
        except MemoryError:
            return
        self._tally.lose("8 GiB were to be had")

    def _die_of_memory(self, place: Place) -> None:
        small = next(place for place in self._places if place.name == "small")
        small.will_end(soon=True)
        try:
            small.load("die_of_memory", 1 << 30)
        except MemoryError:
            return
        self._tally.lose("there was memory without end")


def _has_in_its_environment(pid: int, word: str) -> bool:
    try:
        return word.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False  # it has ended


def _try(act: Callable[[], object]) -> None:
    try:
        act()
    except IsohubError:
        pass
