"""Calls that carry little: what the way there and back costs by itself."""

from __future__ import annotations

import numpy as np

from benchmarks.findings import Findings
from benchmarks.limits import RawPing
from benchmarks.measure import as_block, compare, quantile, take_turns
from benchmarks.target import Line, at_most
from benchmarks.workplace import Workplace

__all__ = ["measure_sent_back", "measure_small_tensor", "measure_trivial"]

_CALLS = 200
_AGAINST = "raw pyzmq REQ/REP, 64 bytes"


def measure_trivial(place: Workplace) -> Findings:
    """A function of one small number."""
    with place.hub() as hub, RawPing() as limit:
        next_number = place.load(hub, "function", "next_number")
        taken = take_turns(
            {"ours": as_block(_CALLS, lambda: next_number(1)), "limit": as_block(_CALLS, limit.exchange)},
            place.some(100),
            warm_up=5,
        )
    ours, limits = taken["ours"], taken["limit"]
    return Findings(
        [
            Line(
                "trivial",
                "trivial call, median",
                "us",
                ours.median,
                limits.median,
                _AGAINST,
                compare(ours, limits),
                at_most(1.25),
            ),
            Line(
                "trivial",
                "trivial call, 99th percentile",
                "us",
                ours.quantile(0.99),
                limits.quantile(0.99),
                _AGAINST,
                compare(ours, limits, lambda times: quantile(times, 0.99)),
                at_most(2.0),
            ),
        ]
    )


def measure_small_tensor(place: Workplace) -> Findings:
    """A model whose input and output are 1x3x32x32 float32."""
    image = np.zeros((1, 3, 32, 32), np.float32)
    with place.hub() as hub, RawPing() as limit:
        model = place.load(hub, "plus_one")
        taken = take_turns(
            {"ours": as_block(_CALLS, lambda: model(image)), "limit": as_block(_CALLS, limit.exchange)},
            place.some(60),
            warm_up=5,
        )
    ours, limits = taken["ours"], taken["limit"]
    return Findings(
        [
            Line(
                "small-tensor",
                "small tensor (1x3x32x32) in and out",
                "us",
                ours.median,
                limits.median,
                _AGAINST,
                compare(ours, limits),
                at_most(1.8),
            )
        ]
    )


def measure_sent_back(place: Workplace) -> Findings:
    """A tensor of the worker's goes back to a function that only looks at its shape.

    Each turn has a new tensor, and so has each turn of the trivial call, so that the two are called in the same state of caches.
    """
    findings = Findings()
    with place.hub() as hub:
        make_tensor = place.load(hub, "function", "make_tensor")
        shape_of = place.load(hub, "function", "shape_of")
        next_number = place.load(hub, "function", "next_number")
        for size, label, turns in ((12 << 10, "12 KiB", 200), (64 << 20, "64 MiB", 50)):

            def sent_back(size: int = size) -> list[float]:
                tensor = make_tensor(size // 4)
                return [*as_block(20, lambda: shape_of(tensor))()]

            def trivial(size: int = size) -> list[float]:
                tensor = make_tensor(size // 4)
                times = [*as_block(20, lambda: next_number(1))()]
                del tensor
                return times

            taken = take_turns({"ours": sent_back, "limit": trivial}, place.some(turns))
            ours, limits = taken["ours"], taken["limit"]
            findings.lines.append(
                Line(
                    "sent-back",
                    f"a tensor from the worker sent back, {label}",
                    "us",
                    ours.median,
                    limits.median,
                    "the trivial call of isohub",
                    compare(ours, limits),
                    at_most(1.5),
                )
            )
    return findings
