"""Load with faults: ``python -m tests.soak [--seconds N] [--seed N]``. The exit status is 1 if anything was lost.

Six Hubs with a worker each are called by threads and an event loop, which check every answer, while one fault after the other
befalls the workers, and other programs with workers are killed. Each call must end with the right answer or with an error of
isohub's that a fault explains; and nothing may be left over.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.soak.faults import Faults
from tests.soak.leftovers import open_files, resident, what_is_left
from tests.soak.load import Caller, Loop
from tests.soak.place import Place
from tests.soak.tally import Tally

# No call may be under way for longer.
_HANGS = 60.0
# What memory and open files may grow by in two thirds of the time, in MiB and in files.
_FLAT_MEMORY, _FLAT_FILES = 16.0, 16
# What is shorter than this has not been everywhere after a third.
_LONG = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        # For this process and those that it starts: whatever is in it in the end is left over.
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        tally = soak(Path(folder) / "home", options.seconds, options.seed)
    print(tally.report())
    return 1 if tally.losses else 0


def soak(home: Path, seconds: float, seed: int) -> Tally:
    """Call and inject for so long; what came of it."""
    tally = Tally()
    places = [
        Place("plain", home, timeout=30),
        Place("several", home, timeout=30, threads=4),
        # Longer than a worker waits for its next start at most.
        Place("again", home, timeout=50, restart="on-failure", max_restarts=1 << 30),
        Place("impatient", home, impatient=True, timeout=0.5, grace=1.0),
        Place("small", home, timeout=30, max_memory="2GB"),
        Place("idle", home, timeout=30, idle_timeout=0.5, sandbox="auto"),
    ]
    places[0].load("things")  # which builds the environment
    over = threading.Event()
    callers = [Caller(place, tally, seed + n, over) for n, place in enumerate(places * 2)]
    threads: list[Caller | Loop | Faults] = [
        *callers,
        Loop(places[0], tally, over),
        Faults(places, home, tally, seed, over),
    ]
    for thread in threads:
        thread.start()
    end, warm, files, memory = tally.started + seconds, False, 0, 0.0
    while time.monotonic() < end and not _hangs(threads, tally):
        time.sleep(0.2)
        if not warm and time.monotonic() > tally.started + seconds / 3:
            warm, files, memory = True, open_files(), resident()
    over.set()
    for thread in threads:
        thread.join(_HANGS)
        if thread.is_alive():
            tally.lose(f"{thread.name} did not end")
            faulthandler.dump_traceback()
    if warm and seconds >= _LONG:
        tally.say(f"memory of the program: {memory:.0f} MiB after a third, {resident():.0f} MiB in the end")
        if resident() > memory + _FLAT_MEMORY:
            tally.lose("that is too much more")
        if open_files() > files + _FLAT_FILES:
            tally.lose(f"{open_files() - files} more files are open")
    del callers, threads, thread
    for place in places:
        place.hub.close()
    for left in what_is_left(home):
        tally.lose(f"left over: {left}")
    return tally


def _hangs(threads: list[Caller | Loop | Faults], tally: Tally) -> bool:
    late = [thread for thread in threads if time.monotonic() - thread.since > _HANGS]
    for thread in late:
        tally.lose(f"{thread.name} has waited for {_HANGS} s")
    if late:
        faulthandler.dump_traceback()
    return bool(late)


if __name__ == "__main__":
    sys.exit(main())
