"""Tensors from a program that has torch itself, which is the other way to use isohub."""

from __future__ import annotations

import json
import os
from importlib.metadata import requires

import isohub
from benchmarks.companion import ROOT, Companion
from benchmarks.findings import Findings
from benchmarks.limits import RawPing
from benchmarks.measure import as_block, compare, take_turns
from benchmarks.target import Line
from benchmarks.workplace import HUBCONFS, Workplace

__all__ = ["measure_torch_host"]

_SMALL, _LARGE = 4 * 3 * 32 * 32, 64 << 20


def measure_torch_host(place: Workplace) -> Findings:
    """The small tensor and the large one as tensors of torch on both sides; to know, without a target.

    The program's environment is that of the worker, with what isohub requires besides.
    """
    required = [text for text in requires("isohub") or () if "extra ==" not in text]
    options, repository = place.hub_options, HUBCONFS / "torch"
    with isohub.Hub(**options, requirements=required) as hub:
        python = hub.environment(repository, source="local", trust_repo=True).python
    # isohub is not installed in it: the one that is measured is the one here.
    paths = os.pathsep.join([str(ROOT), str(ROOT / "workers")])
    with (
        RawPing() as ping,
        Companion(place.python(), "programs.local") as local,
        Companion(
            python, "programs.host", json.dumps(options), str(repository), environ={"PYTHONPATH": paths}
        ) as host,
    ):
        small = take_turns(
            {"ours": lambda: host.ask("tensor_calls", _SMALL, 100), "limit": as_block(100, ping.exchange)},
            place.some(40),
            warm_up=4,
        )
        large = take_turns(
            {
                "ours": lambda: host.ask("tensor_calls", _LARGE, 1),
                "limit": lambda: local.ask("rounds", _LARGE, 1),
            },
            place.some(40),
            warm_up=4,
        )
    return Findings(
        [
            Line(
                "torch-host",
                "small tensor in and out, torch in the host",
                "us",
                small["ours"].median,
                small["limit"].median,
                "raw pyzmq REQ/REP, 64 bytes",
                compare(small["ours"], small["limit"]),
            ),
            Line(
                "torch-host",
                "64 MiB in, 64 MiB out, torch in the host",
                "ms",
                large["ours"].median,
                large["limit"].median,
                "two warm copies and the computation, in one process",
                compare(large["ours"], large["limit"]),
            ),
        ]
    )
