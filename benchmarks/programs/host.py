"""A program that uses isohub, asked by another: ``host HUB_OPTIONS REPOSITORY``."""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import isohub
from benchmarks.programs import process
from benchmarks.programs.answering import answer

OPTIONS, REPOSITORY = json.loads(sys.argv[1]), sys.argv[2]

_hubs: list[isohub.Hub] = []
_functions: dict[str, Any] = {}


def start_worker() -> list[float]:
    """Start a worker in a Hub of its own: the seconds until it has computed once, and the bytes that are its own by then."""
    import numpy as np

    value = np.ones(3, np.float32)
    hub = isohub.Hub(**OPTIONS)
    _hubs.append(hub)
    start = perf_counter()
    model = _load(hub, "plus_one")
    assert model(value)[0] == 2
    seconds = perf_counter() - start
    return [seconds, process.private_bytes(_load(hub, "pid"))]


def calls(count: int) -> list[float]:
    """The seconds that each of `count` trivial calls took to the one worker of this program."""
    if not _functions:
        hub = isohub.Hub(**OPTIONS)
        _hubs.append(hub)
        _functions["next_number"] = _load(hub, "function", "next_number")
    call = _functions["next_number"]
    times = []
    for number in range(count):
        start = perf_counter()
        call(number)
        times.append(perf_counter() - start)
    return times


def tensor_calls(size: int, count: int) -> list[float]:
    """The seconds that each of `count` calls took with a tensor of `size` bytes, another one each time; this host has torch."""
    import torch

    if "plus_one" not in _functions:
        hub = isohub.Hub(**OPTIONS)
        _hubs.append(hub)
        _functions["plus_one"] = _load(hub, "plus_one")
    model = _functions["plus_one"]
    times = []
    for number in range(count):
        tensor = torch.full((size // 4,), float(number))
        start = perf_counter()
        result = model(tensor)
        times.append(perf_counter() - start)
        assert result[-1].item() == number + 1
        del tensor, result
    return times


def _load(hub: isohub.Hub, *names: str) -> Any:
    return hub.load(REPOSITORY, *names, source="local", trust_repo=True, verbose=False)


if __name__ == "__main__":
    answer(start_worker, calls, tensor_calls)
