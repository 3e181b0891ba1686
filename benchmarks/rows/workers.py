"""Many workers in one Hub."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.companion import Companion
from benchmarks.findings import Findings
from benchmarks.limits import RawPing
from benchmarks.measure import Ratio, Times, as_block, quantile, take_turns
from benchmarks.target import Line, Target, at_most
from benchmarks.workplace import HUBCONFS, Workplace

__all__ = ["measure_many_workers"]

_WORKERS = 32
_BURST = 10


def measure_many_workers(place: Workplace) -> Findings:
    """Calls to each of 32 workers, ten to each in turn, beside a program with one worker that is called as often.

    One call to each in turn is another thing: a process that 31 others ran before finds the processor's caches cold, whatever it
    does. So that is shown beside 32 processes that do nothing but echo.
    """
    folders = _repositories(place.scratch / "many-workers")
    options = json.dumps(place.hub_options)
    with ExitStack() as stack:
        single = stack.enter_context(
            Companion(Path(sys.executable), "programs.host", options, str(folders[0]))
        )
        hub = stack.enter_context(place.hub())
        functions = [place.load(hub, "function", "next_number", repository=folder) for folder in folders]
        echoes = [stack.enter_context(RawPing()) for _ in folders]
        calls = [partial(function, 1) for function in functions]
        bursts = take_turns(
            {
                "ours": lambda: _in_turn(calls, _BURST),
                "limit": lambda: [statistics.median(single.ask("calls", _BURST)) for _ in range(_WORKERS)],
            },
            place.some(40),
            warm_up=2,
        )
        singly = take_turns(
            {
                "ours": lambda: _in_turn(calls, 1),
                "limit": lambda: _in_turn([echo.exchange for echo in echoes], 1),
            },
            place.some(150),
            warm_up=10,
        )
    return Findings(
        [
            _slowest(
                f"the slowest of 32 workers, {_BURST} calls to each in turn",
                bursts["ours"],
                bursts["limit"].median,
                "the only worker of another program",
                at_most(1.5),
            ),
            _slowest(
                "the slowest of 32 workers, 1 call to each in turn",
                singly["ours"],
                max(_medians(singly["limit"])),
                "the slowest of 32 raw pyzmq REP sockets, called alike",
            ),
        ]
    )


def _in_turn(calls: Sequence[Callable[[], object]], count: int) -> list[float]:
    """The median time of `count` of each of the calls, one after the other."""
    return [statistics.median(as_block(count, call)()) for call in calls]


def _slowest(what: str, times: Times, limit: float, against: str, target: Target | None = None) -> Line:
    medians = _medians(times)
    ratios = [median / limit for median in medians]
    spread = Ratio(max(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75))
    return Line("many-workers", what, "us", max(medians), limit, against, spread, target)


def _medians(times: Times) -> list[float]:
    """The median of each of those that were called, whose order in a block is always the same."""
    return [statistics.median(of_one) for of_one in zip(*times.blocks, strict=True)]


def _repositories(folder: Path) -> list[Path]:
    """Repositories that differ in nothing but a comment, so that each has an environment of its own."""
    made = []
    for number in range(_WORKERS):
        repository = folder / f"number{number}"
        repository.mkdir(parents=True, exist_ok=True)
        text = (HUBCONFS / "light" / "hubconf.py").read_text()
        (repository / "hubconf.py").write_text(f"# Repository {number}\n{text}")
        made.append(repository)
    return made
