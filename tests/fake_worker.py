"""A program that is started as a worker and is none: it breaks the protocol in the way that its hubconf's folder is named after.

It runs in a worker's environment, in place of ``isohub_worker/__main__.py``; ``tests.workers.fake_python`` makes an interpreter
that sees to that. Once it is asked three things at a time it answers the last of them with nonsense.
"""

from __future__ import annotations

import array
import json
import socket
import sys
import time
from collections.abc import Callable
from os import getpid, urandom
from typing import Any

import msgpack
import zmq

PROTOCOL, HELLO, VALUE, FAULT, ITEM, END, FREED, KEPT = 1, 16, 17, 18, 19, 20, 21, 22
OBJECT = 64


def ext(code: int, payload: bytes = b"") -> Any:
    return msgpack.ExtType(code, payload)


def reference(number: int, *specials: str) -> Any:
    """An object of a type with these special methods."""
    payload = number.to_bytes(8, "little") + number.to_bytes(4, "little")
    return ext(OBJECT, payload + msgpack.packb(["fake.Type", list(specials), []]))


def message(*fields: Any) -> list[bytes]:
    return [msgpack.packb(list(fields))]


# What it says instead of that it is alone.
BEFORE: dict[str, bytes] = {
    "before-garbage": b"\xc1garbage\n",
    "before-endless": b"[" * 200_000,
    "before-deep": b"[" * 60_000 + b"\n",
    "before-unknown": b'["something"]\n',
    "before-no-list": b"7\n",
    "before-too-early": b'["forked", 7]\n',
    "before-twice": b'["ready"]\n["ready"]\n',
    "before-everybody": b'["ready"]\n["forked", -1]\n',
    "before-nobody": b'["ready"]\n["exit", 7, 0]\n',
    "before-nothing": b'["alone"]\n',
}
# What it sends first.
STARTS: dict[str, Callable[[str], list[bytes]]] = {
    "garbage-hello": lambda key: [b"\xc1garbage"],
    "empty-hello": lambda key: [b"\xc0"],
    "other-hello": lambda key: message(VALUE, 1, None),
    "object-for-hello": lambda key: message(reference(1, "__iter__")),
    "object-in-hello": lambda key: message(HELLO, PROTOCOL, key, reference(1)),
    "unavailable-hello": lambda key: message(HELLO, PROTOCOL, key, ext(0), {(): 1}),
    "wrong-protocol": lambda key: message(HELLO, PROTOCOL + 1, key, getpid()),
    "protocol-too-large": lambda key: message(HELLO, ext(32, b"\x7f" * 5000), key, getpid()),
    "two-hellos": lambda key: [
        b"\xc1\0\0\0\4\0\0\0" + b"\1\0\0\0\1\0\0\0" * 2 + bytes(8) + b"\xc0" + bytes(15) + b"\xc0"
    ],
    "wrong-key": lambda key: message(HELLO, PROTOCOL, "0" * 32, getpid()),
}
# What it answers to call number `call`.
ANSWERS: dict[str, Callable[[int], list[bytes]]] = {
    "garbage": lambda call: [b"\xc1garbage"],
    "random": lambda call: [urandom(1000)],
    "empty-frames": lambda call: [b"", b"", b""],
    "truncated": lambda call: [msgpack.packb([VALUE, call, ["a long value"] * 100])[:-7]],
    "too-long": lambda call: [msgpack.packb([VALUE, call, 1]) + b"\0"],
    "unknown-kind": lambda call: message(99, call, None),
    "kind-of-host": lambda call: message(1, call, None),
    "no-list": lambda call: [msgpack.packb({"kind": VALUE})],
    "missing-field": lambda call: message(VALUE, call),
    "text-for-call": lambda call: message(VALUE, str(call), None),
    "unknown-call": lambda call: message(VALUE, call + 1000, None),
    "item-for-call": lambda call: message(ITEM, call, 1),
    "end-for-call": lambda call: message(END, call),
    "value-for-stream": lambda call: message(VALUE, -1, 1),
    "hello-again": lambda call: message(HELLO, PROTOCOL, "key", 1),
    "fault-of-nonsense": lambda call: message(FAULT, call, [1, 2, 3]),
    "unknown-extension": lambda call: message(VALUE, call, ext(99)),
    "unknown-type": lambda call: message(VALUE, call, ext(OBJECT, b"\7" * 12)),
    "short-reference": lambda call: message(VALUE, call, ext(OBJECT, b"\7")),
    "hostile-type": lambda call: message(VALUE, call, reference(1, "__del__")),
    "tensor-outside": lambda call: [
        msgpack.packb([VALUE, call, ext(48, b"\0\0\0\0")]),
        msgpack.packb([[[1, "<f8", [1000], [1], 0, 0, None]], [None]]),
        b"\0" * 8,
    ],
    "huge-image": lambda call: message(VALUE, call, [ext(7), "RGB", 2**30, 2**30, b"", None]),
    "huge-frame": lambda call: [b"\xc1" * (200 << 20)],
    "huge-claim": lambda call: [b"\xdd\xff\xff\xff\xff"],
    "deep": lambda call: [b"\x91" * 1_000_000],
    "block-of-nobody": lambda call: message(FREED, [0]),
    "block-too-large": lambda call: message(FREED, [ext(32, b"\x7f" * 5000)]),
    "kept-nothing": lambda call: message(KEPT, [None]),
    "kept-too-large": lambda call: message(KEPT, ext(32, b"\x7f" * 5000)),
    # Python does not show integers of so many digits.
    "call-too-large": lambda call: message(VALUE, ext(32, b"\x7f" * 5000), None),
    "kind-too-large": lambda call: message(ext(32, b"\x7f" * 5000), call, None),
    "frames-that-are-not-there": lambda call: [b"\xc1\1\0\0\2\0\0\0\1\0\0\0\xff\xff\xff\xff"],
    "half-a-packet": lambda call: [b"\xc1\0\0\0\2\0\0\0\1\0\0\0\7\0\0\0"],
    "huge-packet": lambda call: [b"\xc1\0\0\0\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\x7f"],
    "lent-by-a-worker": lambda call: [
        msgpack.packb([VALUE, call, ext(48, b"\0\0\0\0")]),
        msgpack.packb([[[1, "<f8", [1], None, 0, 0, None]], [[0, 0, 8]]]),
    ],
    # These would ask the worker something while its message is taken in, and wait for ever.
    "object-for-kind": lambda call: message(reference(1, "__eq__"), call),
    "range-of-objects": lambda call: message(VALUE, call, [ext(6), reference(1, "__index__"), 1, 1]),
    "record-of-object": lambda call: message(
        VALUE, call, [ext(4), "T", reference(1, "__iter__", "__len__"), []]
    ),
    "scalar-of-object": lambda call: message(VALUE, call, [ext(9), reference(1, "__getitem__")]),
    "fault-of-objects": lambda call: message(
        FAULT, call, ["T", "SyntaxError", "text", [ext(0), "text", reference(1, "__iter__")], "Traceback"]
    ),
    "object-to-free": lambda call: message(FREED, [reference(1, "__eq__")]),
    "dict-of-object": lambda call: message(VALUE, call, [ext(3), reference(1, "__iter__", "__getitem__")]),
}

_GREETING = b"\xff" + bytes(8) + b"\x7f\3\0NULL" + bytes(48) + b"\4\x1a\5READY\x0bSocket-Type\0\0\0\4PUSH"
# What it writes into a connection of its own to where replies go, below ZeroMQ's messages; then it answers whatever it is asked.
RAW: dict[str, bytes] = {
    "raw-garbage": b"GET / HTTP/1.1\r\n\r\n" * 1000,
    "raw-half-a-greeting": _GREETING[:20],
    "raw-no-command": _GREETING[:64] + bytes(1000),
    "raw-frame": _GREETING + b"\0\4\xc1bad",
    "raw-half-a-frame": _GREETING + b"\0\x10half",
    "raw-large-length": _GREETING + b"\2" + (1 << 34).to_bytes(8, "big") + b"x",
    "raw-huge-length": _GREETING + b"\2" + (1 << 62).to_bytes(8, "big") + b"x",
    "raw-negative-length": _GREETING + b"\2" + b"\xff" * 8 + b"x",
}


def write_raw(raw: socket.socket, text: bytes) -> None:
    greeting, frames = text[: len(_GREETING)], text[len(_GREETING) :]
    raw.sendall(greeting)
    said = b""
    # What comes before it is greeted back is taken for a part of the greeting.
    while greeting == _GREETING and b"READY" not in said:
        said += raw.recv(1000)
    try:
        raw.sendall(frames)
    except BrokenPipeError:
        pass  # the beginning was enough for the host to hang up


def main() -> None:
    host = socket.socket(fileno=int(sys.argv[-1]))
    behaviour = json.loads(host.makefile("rb", buffering=0).readline().decode())["repo_dir"].rpartition("/")[
        2
    ]
    host.sendall(BEFORE.get(behaviour, b'["alone", null]\n'))
    if behaviour in BEFORE:
        time.sleep(600)
    space = socket.CMSG_LEN(16 * array.array("i").itemsize)
    line, ((_, _, rights), *_), _, _ = host.recvmsg(65536, space)
    _, boot = json.loads(line.decode())
    fds = array.array("i")
    fds.frombytes(rights)
    control = socket.socket(fileno=fds[0])
    if behaviour == "mute":
        time.sleep(600)
    control.sendall(b"+")
    boot.update(json.loads(control.makefile("rb").readline().decode()))
    context: Any = zmq.Context()
    inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    inbox.connect(boot["requests"])
    outbox.connect(boot["replies"])
    if behaviour == "silent-exit":
        sys.exit("it leaves without a word")
    if behaviour in STARTS:
        outbox.send_multipart(STARTS[behaviour](boot["key"]))
        time.sleep(600)
    raw = socket.socket(socket.AF_UNIX)
    if behaviour in RAW:
        raw.connect(boot["replies"][len("ipc://") :])
    outbox.send_multipart(message(HELLO, PROTOCOL, boot["key"], getpid()))
    asked = 0
    while True:
        frames = inbox.recv_multipart()
        kind, call = msgpack.unpackb(frames[0], strict_map_key=False, ext_hook=lambda code, data: None)[:2]
        if kind != 1:
            continue
        asked += 1
        if asked == 1:
            outbox.send_multipart(message(VALUE, call, {"python": "fake"}))
            if behaviour in RAW:
                write_raw(raw, RAW[behaviour])
        elif behaviour in RAW:
            outbox.send_multipart(message(VALUE, call, "answer"))
        elif asked == 4:
            print("asked, and answering nonsense", flush=True)
            outbox.send_multipart(ANSWERS[behaviour](call))


if __name__ == "__main__":
    main()
