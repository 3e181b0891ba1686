"""Sends back what it gets, over a ZeroMQ socket: ``echo REP|ROUTER ENDPOINT``. It ends with its standard input."""

from __future__ import annotations

import sys
import threading

import zmq


def main(kind: str, endpoint: str) -> None:
    context = zmq.Context()
    socket = context.socket(getattr(zmq, kind))
    socket.linger = 0
    socket.set_hwm(0)
    socket.bind(endpoint)
    threading.Thread(target=_end_with_input, daemon=True).start()
    print("ready", flush=True)
    if kind == "REP":
        while True:
            socket.send(socket.recv())
    while True:
        socket.send_multipart(socket.recv_multipart())


def _end_with_input() -> None:
    import os

    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
