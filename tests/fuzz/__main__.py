"""Feeds mutated frames to both sides of the wire: ``python -m tests.fuzz [--runs N] [--seed N] [--target NAME ...]``.

Each target runs in a process of its own, so that even a crash of the interpreter is a finding, with the numbers that it takes to
see it again: ``--target NAME --seed SEED --batch BATCH``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.guard import Guard
from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import TARGETS

# Inputs of which one seed makes all; after them a target begins anew.
_BATCH = 256
# The machine is not to suffer from what is found.
_MOST_MEMORY = 8 << 30
# How many of a run's inputs each target gets: the cheaper they are, the more.
_SHARES = {"host-decoder": 0.5, "worker-decoder": 0.42, "host-channel": 0.06, "worker-server": 0.02}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many inputs in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, help="only this batch of inputs")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only these targets")
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.state is not None:
        return _run(options.target[0], options.runs, options.seed, options.batch, options.state)
    targets = options.target or list(_SHARES)
    whole = sum(_SHARES[target] for target in targets)
    return max(_start(target, int(options.runs * _SHARES[target] / whole), options) for target in targets)


def _start(target: str, runs: int, options: argparse.Namespace) -> int:
    """Run a target in a process of its own, and print what became of it."""
    with tempfile.TemporaryDirectory(prefix="isohub-fuzz-") as folder:
        state = Path(folder) / "state"
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--target",
            target,
            "--runs",
            str(runs),
            "--seed",
            str(options.seed),
        ]
        command += ["--state", str(state)]
        if options.batch is not None:
            command += ["--batch", str(options.batch)]
        done = subprocess.run(command, check=False)
        if done.returncode == 0:
            return 0
        batch = state.read_text() if state.exists() else "?"
        print(
            f"{target}: ended with status {done.returncode} in batch {batch.strip()} of seed {options.seed}",
            flush=True,
        )
        return 1


def _run(name: str, runs: int, seed: int, only: int | None, state: Path) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    target_type = TARGETS[name]
    samples = target_type.samples()
    guard = Guard()
    target = target_type(guard)
    batches = [only] if only is not None else range(max(1, runs // _BATCH))
    mutator = Mutator(samples, 0)
    _warm_up(target, mutator, samples)
    outcomes: Counter[str] = Counter()
    guard.settle()
    began = time.monotonic()
    position = os.open(state, os.O_WRONLY | os.O_CREAT, 0o600)
    for turn, batch in enumerate(batches):
        os.pwrite(position, b"%20d" % batch, 0)
        guard.expect_end()
        if turn == max(1, len(batches) // 4):
            guard.settle()
        mutator.begin(seed * 1_000_003 + batch)
        target.renew()
        for _ in range(_BATCH):
            try:
                outcomes[target.step(mutator)] += 1
            except Exception:
                traceback.print_exc()
                return 1
        if turn % 64 == 63:
            guard.check_memory()
    seconds = time.monotonic() - began
    count = sum(outcomes.values())
    report: dict[str, Any] = {
        "target": name,
        "inputs": count,
        "seconds": round(seconds, 1),
        "a second": int(count / seconds),
        "slowest": round(guard.slowest, 3),
        "outcomes": dict(outcomes.most_common()),
        "MiB": guard.check_memory() if len(batches) > 1 else None,
    }
    print(json.dumps(report), flush=True)
    return 0


def _warm_up(target: Any, mutator: Mutator, samples: Any) -> None:
    """What is imported with the first value of its kind is imported by now. Each sound message is taken."""
    from isohub_worker.packets import pack

    guard, target.guard = target.guard, _Unwatched()
    target.renew()
    for sample in samples:
        target.feed(list(pack(mutator.unchanged(sample))))
    target.guard = guard


class _Unwatched:
    def input(self) -> _Unwatched:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *args: object) -> None: ...


if __name__ == "__main__":
    sys.exit(main())
