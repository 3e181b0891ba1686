"""RPyC: a service in a subprocess, over its pipes. Arrays go as bytes, which it sends by value, and not as references.

Two of its defaults are changed in its favour: no compression, and larger chunks. With those of 64 kB it copies what is left of a
message for each chunk, and 64 MiB there and back take 17 s.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import PipeStream

Channel.COMPRESSION_THRESHOLD = sys.maxsize
PipeStream.MAX_IO_CHUNK = 4 << 20


class Work(rpyc.Service):  # type: ignore[misc]
    def exposed_next_number(self, number: int) -> int:
        from benchmarks.peers.adapters import work

        return work.next_number(number)

    def exposed_plus_one(self, data: bytes) -> bytes:
        from benchmarks.peers.adapters import work

        return work.plus_one(np.frombuffer(data, np.float32).copy()).tobytes()


class Worker:
    def __init__(self) -> None:
        config = {"sync_request_timeout": None}
        self._connection = rpyc.connect_subproc([sys.executable, "-u", "-m", __spec__.name], config=config)

    def next_number(self, number: int) -> Any:
        return self._connection.root.next_number(number)

    def plus_one(self, array: np.ndarray) -> Any:
        return np.frombuffer(self._connection.root.plus_one(array.tobytes()), np.float32)

    def close(self) -> None:
        self._connection.close()
        self._connection.proc.wait()


if __name__ == "__main__":
    rpyc.utils.factory.connect_stdpipes(Work, {"sync_request_timeout": None}).serve_all()
