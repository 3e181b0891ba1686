"""A program that uses a peer, in the peer's environment, asked by another: ``program PEER``."""

from __future__ import annotations

import importlib
import sys
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.programs.answering import answer

_workers: list[Any] = []


def start_worker() -> float:
    """Start another worker: the seconds until it has computed once with torch."""
    value = np.ones(3, np.float32)
    start = perf_counter()
    worker = adapter.Worker()
    assert worker.plus_one(value)[0] == 2
    seconds = perf_counter() - start
    _workers.append(worker)
    return seconds


def stop_worker() -> None:
    """End the last one."""
    _workers.pop().close()


def trivial(calls: int) -> list[float]:
    """The seconds that each of `calls` calls with a small number took."""
    call, times = _workers[0].next_number, []
    for number in range(calls):
        start = perf_counter()
        result = call(number)
        times.append(perf_counter() - start)
        assert result == number + 1
    return times


def payload(size: int, calls: int) -> list[float]:
    """The seconds that each of `calls` calls with `size` bytes took; the array is another one each time."""
    call, times = _workers[0].plus_one, []
    for number in range(calls):
        array = np.full(size // 4, number, np.float32)
        start = perf_counter()
        result = call(array)
        times.append(perf_counter() - start)
        assert result[-1] == number + 1
        del array, result
    return times


if __name__ == "__main__":
    adapter = importlib.import_module(f"benchmarks.peers.adapters.{sys.argv[1]}")
    answer(start_worker, stop_worker, trivial, payload)
    while _workers:
        stop_worker()
