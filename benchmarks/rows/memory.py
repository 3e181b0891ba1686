"""Whether memory stays where it is, however much is done."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from benchmarks.findings import Findings
from benchmarks.programs.process import resident_bytes
from benchmarks.target import Line, at_most_in_all, in_unit
from benchmarks.workplace import Workplace

__all__ = ["measure_memory"]

_SAMPLES = 50
_WARM_UP = 5  # of them


def measure_memory(place: Workplace) -> Findings:
    """Resident memory of host and worker while calls, objects and tensors come and go.

    It is sampled fifty times over each kind of work. What counts is how far any sample is from the fifth, up or down.
    """
    findings = Findings()
    with place.hub() as hub:
        next_number = place.load(hub, "function", "next_number")
        make_object = place.load(hub, "function", "make_object")
        model = place.load(hub, "plus_one")
        worker = place.load(hub, "pid")
        tensor = np.zeros((1 << 20) // 4, np.float32)
        kinds: list[tuple[str, int, Callable[[], object]]] = [
            ("calls", 1_000_000, lambda: next_number(1)),
            ("remote objects made and dropped", 100_000, make_object),
            ("tensors of 1 MiB there and back", 10_000, lambda: model(tensor)),
        ]
        for what, count, call in kinds:
            count = place.some(count, quick=count // 50)
            host, other = _largest_moves((os.getpid(), worker), count, call)
            findings.lines.append(
                Line(
                    "memory",
                    f"memory after {count:,} {what}",
                    "MiB",
                    max(host, other),
                    target=at_most_in_all(16 << 20),
                    note=f"host {in_unit(host, 'MiB')}, worker {in_unit(other, 'MiB')}",
                )
            )
    return findings


def _largest_moves(pids: tuple[int, int], count: int, call: Callable[[], object]) -> list[int]:
    """How far the memory of each process got from where it was after the warm-up."""
    samples = []
    for _ in range(_SAMPLES):
        for _ in range(count // _SAMPLES):
            call()
        samples.append([resident_bytes(pid) for pid in pids])
    base, *later = samples[_WARM_UP - 1 :]
    return [max(abs(sample[side] - base[side]) for sample in later) for side in range(len(pids))]
