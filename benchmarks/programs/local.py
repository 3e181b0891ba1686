"""The work of a call without the call: copy the input, compute, copy the output, in one process of the environment.

The copies go to memory that was written to before, as a well-kept arena is. What is computed is a fresh tensor of torch, as it
is in a worker, with as many threads as torch takes there. The input is new each time and making it is not timed.
"""

from __future__ import annotations

import ctypes
import functools
from time import perf_counter

import numpy as np
import torch

from benchmarks.programs.answering import answer


def rounds(size: int, count: int) -> list[float]:
    """The seconds that each of `count` rounds with `size` bytes took."""
    there, back = _warm(size)
    times = []
    for number in range(count):
        source = np.full(size // 4, number, np.float32)
        start = perf_counter()
        ctypes.memmove(there.ctypes.data, source.ctypes.data, size)
        result = torch.from_numpy(there) + 1
        ctypes.memmove(back.ctypes.data, result.data_ptr(), size)
        times.append(perf_counter() - start)
        assert back[-1] == number + 1
        del source, result
    return times


@functools.lru_cache(maxsize=1)
def _warm(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Memory for the copies, all of it written to."""
    return np.full(size // 4, 1, np.float32), np.full(size // 4, 1, np.float32)


if __name__ == "__main__":
    answer(rounds)
