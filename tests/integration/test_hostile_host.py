"""A worker that is told nonsense ends, and says why; it never waits for what does not come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from isohub_worker import messages
from tests.workers import PATIENCE

_WORKER = """
import os, sys, types
from isohub_worker.loop import Server

hubconf = types.ModuleType("hubconf")
hubconf.numbers = lambda: iter(range(10))
arena = [os.memfd_create("arena") for _ in range(2)]
for fd in arena:
    os.ftruncate(fd, 1 << 20)
boot = dict(requests=sys.argv[1], replies=sys.argv[2], key="key", threads=1, arena=(*arena, 1 << 20), arrays_as_tensors=False)
Server(boot, hubconf).serve()
"""


class Host:
    """A host without a mind of its own, and its worker."""

    def __init__(self, folder: Path) -> None:
        context: Any = zmq.Context.instance()
        self.outbox, self.inbox = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        endpoints = [f"ipc://{folder}/{name}" for name in "qa"]
        for socket, endpoint in zip((self.outbox, self.inbox), endpoints, strict=True):
            socket.linger = 0
            socket.rcvtimeo = int(PATIENCE * 1000)
            socket.bind(endpoint)
        command = [sys.executable, "-c", _WORKER, *endpoints]
        self.worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.receive()[0] == messages.HELLO

    def say(self, *fields: Any) -> None:
        self.outbox.send(msgpack.packb(list(fields)))

    def receive(self) -> Any:
        return msgpack.unpackb(self.inbox.recv_multipart()[0], ext_hook=lambda code, data: (code, data))

    def close(self) -> None:
        self.worker.kill()
        self.worker.communicate()
        self.outbox.close()
        self.inbox.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


def ext(code: int, payload: bytes = b"") -> Any:
    return msgpack.ExtType(code, payload)


def packed(*fields: Any) -> list[bytes]:
    return [msgpack.packb(list(fields))]


NONSENSE: dict[str, list[bytes]] = {
    "garbage": [b"\xc1garbage"],
    "nothing": [b""],
    "a kind of the worker's": packed(messages.VALUE, 1, None),
    "frames that are not there": [b"\xc1\1\0\0\2\0\0\0\1\0\0\0\xff\xff\xff\xff"],
    "half a packet": [b"\xc1\0\0\0\2\0\0\0\1\0\0\0\7\0\0\0"],
    "a number too large": packed(messages.MORE, ext(32, b"\x7f" * 5000), 1),
    "an object that it does not hold": packed(messages.REQUEST, 1, "call", ext(64, b"\7" * 8), [], {}, 0),
    "drops what it was not sent": packed(messages.RELEASE, [[7, 1]], [], []),
    "drops nonsense": packed(messages.RELEASE, [7, None], [], []),
    "a stream without a number": packed(messages.RELEASE, [], [[]], []),
    "frees what it was not given": packed(messages.RELEASE, [], [], [0]),
    "frees nonsense": packed(messages.RELEASE, [], [], [{}]),
    "a stream of nobody knows how many": packed(messages.REQUEST, -1, "stream", None, [], {}, 0),
    "a stream of nothing": packed(messages.REQUEST, -1, "stream", ext(64, b"\1" + b"\0" * 7), [0], {}, 0),
    "less than nothing": packed(messages.MORE, -1, -1),
    "a value where none can be": packed(messages.RELEASE, [[ext(1), [1]]], [], []),
    "lends what it was not given": [
        msgpack.packb([messages.REQUEST, 1, "call", None, [ext(48, b"\0\0\0\0")], {}, 0]),
        msgpack.packb([[[1, "<f8", [1], None, 0, 0, None]], [[0, 0, 8]]]),
    ],
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_worker_ends_over_nonsense_and_says_so(nonsense: str, host: Host) -> None:
    host.say(messages.REQUEST, 1, "load", None, ["numbers"], {}, messages.GRAD)
    assert host.receive()[:2] == [messages.VALUE, 1]
    frames = NONSENSE[nonsense]
    if len(frames) > 1:
        from isohub_worker.packets import pack

        frames = list(pack(frames))
    host.outbox.send_multipart(frames)
    _, said = host.worker.communicate(timeout=PATIENCE)
    assert host.worker.returncode == 1
    assert "WireError: " in said


def test_an_argument_that_a_worker_cannot_hold_ends_nothing(host: Host) -> None:
    host.say(messages.REQUEST, 1, "load", None, ["numbers", [ext(1), []]], {}, messages.GRAD)
    kind, call, fault = host.receive()
    assert (kind, call, fault[0]) == (messages.FAULT, 1, "isohub_worker.messages.Unavailable")
    host.say(messages.REQUEST, 2, "load", None, ["numbers"], {}, messages.GRAD)
    assert host.receive()[:2] == [messages.VALUE, 2]
