"""A process that has imported the hubconf forks: what another worker costs at the least. ``fork REPOSITORY``."""

from __future__ import annotations

import importlib
import os
import sys
from time import perf_counter

from benchmarks.programs import process
from benchmarks.programs.answering import answer


def fork() -> list[float]:
    """Fork a child that computes once: the seconds until it has, and the bytes that are its own by then."""
    reading, writing = os.pipe()
    ending, end = os.pipe()
    start = perf_counter()
    child = os.fork()
    if child == 0:
        model = hubconf.plus_one()
        model(torch.ones(3))
        os.write(writing, b".")
        os.close(end)
        os.read(ending, 1)
        os._exit(0)
    os.read(reading, 1)
    seconds = perf_counter() - start
    own = process.private_bytes(child)
    for fd in (reading, writing, ending, end):
        os.close(fd)
    os.waitpid(child, 0)
    return [seconds, own]


if __name__ == "__main__":
    sys.path.insert(1, sys.argv[1])
    hubconf = importlib.import_module("hubconf")
    import torch

    answer(fork)
