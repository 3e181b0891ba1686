"""isohub: a Hub and a model in a worker, from a program that has no torch. The program is told the Hub's options as well."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import isohub

_OPTIONS, _REPOSITORY = json.loads(sys.argv[2]), sys.argv[3]


class Worker:
    def __init__(self) -> None:
        self._hub = isohub.Hub(**_OPTIONS)
        self._model = self._load("plus_one")
        self._function: Any = None

    def next_number(self, number: int) -> Any:
        if self._function is None:
            self._function = self._load("function", "next_number")
        return self._function(number)

    def plus_one(self, array: np.ndarray) -> Any:
        return self._model(array)

    def _load(self, *names: str) -> Any:
        return self._hub.load(_REPOSITORY, *names, source="local", trust_repo=True, verbose=False)

    def close(self) -> None:
        self._hub.close()
