"""Ray: an actor on this machine. What it returns lies in Ray's object store, read-only; the first worker starts Ray as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ["PYTHONPATH"] = str(Path(__file__).parents[3])
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"  # or it would write a token into the home folder

import ray


@ray.remote(num_cpus=0)
class Actor:
    def next_number(self, number: int) -> int:
        from benchmarks.peers.adapters import work

        return work.next_number(number)

    def plus_one(self, array: np.ndarray) -> np.ndarray:
        from benchmarks.peers.adapters import work

        return work.plus_one(array)


class Worker:
    def __init__(self) -> None:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, object_store_memory=4 << 30)
        self._actor = Actor.remote()  # type: ignore[attr-defined]

    def next_number(self, number: int) -> Any:
        return ray.get(self._actor.next_number.remote(number))

    def plus_one(self, array: np.ndarray) -> Any:
        return ray.get(self._actor.plus_one.remote(array))

    def close(self) -> None:
        ray.kill(self._actor)
