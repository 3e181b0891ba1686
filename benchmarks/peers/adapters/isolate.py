"""isolate: an agent that is held, as its server does it; the public ``run`` starts a process for each call instead.

Functions and arguments are pickled, and the limit of gRPC on the size of messages is lifted.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ISOLATE_GRPC_CALL_MAX_SEND_MESSAGE_LENGTH"] = "-1"
os.environ["ISOLATE_GRPC_CALL_MAX_RECEIVE_MESSAGE_LENGTH"] = "-1"
os.environ["PYTHONPATH"] = str(Path(__file__).parents[3])

from isolate.backends.local import LocalPythonEnvironment
from isolate.backends.settings import DEFAULT_SETTINGS
from isolate.connections.common import serialize_object
from isolate.connections.grpc import LocalPythonGRPC, definitions
from isolate.connections.grpc.interface import from_grpc

from benchmarks.peers.adapters import work


class Worker:
    def __init__(self) -> None:
        environment = LocalPythonEnvironment()
        environment.apply_settings(DEFAULT_SETTINGS.replace(log_hook=lambda log: None))
        connection = LocalPythonGRPC(environment, Path(sys.prefix))
        self._held = connection._establish_bridge()
        self._bridge = self._held.__enter__()

    def next_number(self, number: int) -> Any:
        return self._run(functools.partial(work.next_number, number))

    def plus_one(self, array: np.ndarray) -> Any:
        return self._run(functools.partial(work.plus_one, array))

    def _run(self, call: functools.partial[Any]) -> Any:
        function = definitions.SerializedObject(
            method="pickle",
            definition=serialize_object("pickle", call),
            was_it_raised=False,
            stringized_traceback=None,
        )
        for partial_result in self._bridge.Run(definitions.FunctionCall(function=function)):
            if partial_result.is_complete:
                return from_grpc(partial_result.result)
        raise RuntimeError("no result")

    def close(self) -> None:
        self._held.__exit__(None, None, None)
