"""multiprocessing: a process that was spawned, asked over a Pipe, which pickles."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


class Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()

    def next_number(self, number: int) -> Any:
        self._pipe.send(("next_number", number))
        return self._pipe.recv()

    def plus_one(self, array: np.ndarray) -> Any:
        self._pipe.send(("plus_one", array))
        return self._pipe.recv()

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection) -> None:
    from benchmarks.peers.adapters import work

    while True:
        name, argument = pipe.recv()
        pipe.send(getattr(work, name)(argument))
