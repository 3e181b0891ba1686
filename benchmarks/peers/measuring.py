"""Measuring one peer, and what is found of all."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.companion import Companion
from benchmarks.findings import Bar, Findings, Series
from benchmarks.rows.payloads import SIZES, calls_of
from benchmarks.target import Line
from benchmarks.workplace import HUBCONFS, Workplace

__all__ = ["PEERS", "PeerTimes", "findings_of", "measure_peer"]

PEERS = {
    "isohub": "a Hub, from a program without torch",
    "multiprocessing": "`Process` (spawn) and `Pipe`; not isolated",
    "appose": "tasks of a Python service; shared memory that its user makes once for each size and fills",
    "pyisolate": "an extension with `share_torch`, tensors in shared memory, no sandbox",
    "ray": "an actor; results lie read-only in the object store",
    "rpyc": "a service in a subprocess; arrays as bytes, no compression, large chunks",
    "isolate": "fal's isolate, an agent that is held; its public `run` starts a process for each call",
}
"""In the order of the table, with how each is called."""

_HUBCONFS = Path(__file__).parent / "hubconfs"
_SMALL, _LARGE = 8 << 10, 64 << 20
# A payload that takes longer than this is the last one of a peer: what follows would take minutes.
_PATIENCE_SECONDS = 4.0


@dataclass
class PeerTimes:
    """What was measured of a peer, in seconds.

    Attributes:
        version: its release.
        trivial, first, another: of calls and starts.
        payloads: of round trips, by bytes.
        error: why it could not be measured, if so.
    """

    version: str = ""
    trivial: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    another: list[float] = field(default_factory=list)
    payloads: dict[int, list[float]] = field(default_factory=dict)
    error: str = ""


def measure_peer(name: str, times: PeerTimes, place: Workplace) -> None:
    """Start a program that uses the peer, and add to `times` what it takes."""
    if name == "isohub":
        python, arguments = Path(sys.executable), [json.dumps(place.hub_options), str(HUBCONFS / "torch")]
        times.version = version("isohub")
    else:
        repository = _HUBCONFS / name
        python, arguments = place.python(repository), []
        times.version = place.versions(repository).get(name, "(standard library)")
    with Companion(python, "peers.program", name, *arguments) as program:
        times.first.append(program.ask("start_worker"))
        times.another.append(program.ask("start_worker"))
        program.ask("stop_worker")
        program.ask("trivial", 200)
        times.trivial += program.ask("trivial", place.some(2000))
        for size in SIZES:
            program.ask("payload", size, 1)
            found = program.ask("payload", size, calls_of(size))
            found += program.ask("payload", size, 2)
            times.payloads.setdefault(size, []).extend(found)
            if statistics.median(found) > _PATIENCE_SECONDS:
                break


def findings_of(peers: dict[str, PeerTimes]) -> Findings:
    """Lines, series and bars of what was measured; each line is held against isohub's own."""
    findings = Findings()
    measured = {name: times for name, times in peers.items() if not times.error}
    for name, times in measured.items():
        ours = measured.get("isohub", times)
        for what, unit, mine, theirs in (
            ("trivial call", "us", ours.trivial, times.trivial),
            ("8 KiB there and back", "us", ours.payloads.get(_SMALL), times.payloads.get(_SMALL)),
            ("64 MiB there and back", "ms", ours.payloads.get(_LARGE), times.payloads.get(_LARGE)),
            ("first worker", "ms", ours.first, times.first),
            ("another worker", "ms", ours.another, times.another),
        ):
            if mine and theirs:
                value, limit = statistics.median(theirs), statistics.median(mine)
                findings.lines.append(Line(name, what, unit, value, limit, "isohub"))
        points = [(size, statistics.median(found)) for size, found in times.payloads.items()]
        findings.series.append(Series(name, tuple(points)))
        if name != "isohub":
            findings.bars += [
                Bar(name, "first worker", statistics.median(times.first)),
                Bar(name, "another worker", statistics.median(times.another)),
            ]
    return findings
