"""From nothing to the first result."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.companion import ROOT, Companion, module_command
from benchmarks.findings import Bar, Findings
from benchmarks.measure import Ratio, compare, quantile, take_turns
from benchmarks.target import Line, at_most, at_most_in_all, in_unit
from benchmarks.workplace import HUBCONFS, Workplace

__all__ = ["measure_another_worker", "measure_first_result"]

_REPOSITORY = str(HUBCONFS / "torch")


def measure_another_worker(place: Workplace) -> Findings:
    """A second Hub and more in a program whose first one has a worker of the environment; beside a bare fork."""
    options = json.dumps(place.hub_options)
    python = place.python()
    firsts, others, forks = [], [], []
    owns, forked_owns = [], []
    ratios = []
    with Companion(python, "programs.fork", _REPOSITORY) as forking:
        for _ in range(place.some(5, quick=2)):
            with Companion(Path(sys.executable), "programs.host", options, _REPOSITORY) as host:
                first, _ = host.ask("start_worker")
                firsts.append(first)
                turn = []
                for _ in range(4):
                    seconds, own = host.ask("start_worker")
                    turn.append(seconds)
                    owns.append(own)
                    seconds, own = forking.ask("fork")
                    forks.append(seconds)
                    forked_owns.append(own)
                others += turn
                ratios.append(statistics.median(turn) / first)
    first, another, fork = (statistics.median(times) for times in (firsts, others, forks))
    own, forked_own = statistics.median(owns), statistics.median(forked_owns)
    spread = Ratio(another / first, quantile(ratios, 0.25), quantile(ratios, 0.75))
    return Findings(
        [
            Line(
                "another-worker",
                "another worker in an environment that has one, to its first result",
                "ms",
                another,
                first,
                "the first worker of a program",
                spread,
                at_most(0.1),
                f"a bare fork of a process that has imported torch: {in_unit(fork, 'ms')}",
            ),
            Line(
                "another-worker",
                "memory that only that worker has",
                "MiB",
                own,
                forked_own,
                "the forked process",
                Ratio(own / forked_own, quantile(owns, 0.25) / forked_own, quantile(owns, 0.75) / forked_own),
                at_most_in_all(40 << 20),
            ),
        ],
        bars=[
            Bar("isohub", "first worker", first),
            Bar("isohub", "another worker", another),
            Bar("limit: fork", "another worker", fork),
        ],
    )


def measure_first_result(place: Workplace) -> Findings:
    """A new program that loads from an environment that is there, beside the environment's own Python doing it alone."""
    options = json.dumps(place.hub_options)
    ours = module_command(Path(sys.executable), "programs.first_result", options, _REPOSITORY)
    local = module_command(place.python(), "programs.first_local_result", _REPOSITORY)
    taken = take_turns(
        {"ours": lambda: [_first_line(ours)], "limit": lambda: [_first_line(local)]},
        place.some(15, quick=3),
    )
    ours_taken, limits = taken["ours"], taken["limit"]
    return Findings(
        [
            Line(
                "first-result",
                "first result of a new program, environment built",
                "ms",
                ours_taken.median,
                limits.median,
                "the environment's own Python",
                compare(ours_taken, limits),
                at_most(1.1, plus=0.150),
            )
        ],
        bars=[
            Bar("isohub", "new program", ours_taken.median),
            Bar("limit: no isolation", "new program", limits.median),
        ],
    )


def _first_line(command: list[str]) -> float:
    start = perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - start
    if float(line or "nan") != 2.0:
        raise RuntimeError(f"{command[2]} printed {line!r}")
    return seconds
