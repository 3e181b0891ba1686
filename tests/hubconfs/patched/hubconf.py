"""It replaces what a worker may rely on: at its import what PATCH names, or when it is told to."""

import builtins
import json
import os
import queue
import select
import signal
import socket
import threading
import time

dependencies = []


def refuse(*args, **kwargs):
    raise RuntimeError("this was replaced")


class Refused:
    __init__ = refuse


def sockets():
    socket.socket = Refused
    socket.socketpair = socket.create_connection = refuse
    socket.timeout = KeyError


def default_timeout():
    socket.setdefaulttimeout(0.001)


def threads():
    threading.Thread = threading.Timer = Refused
    threading.Lock = threading.RLock = threading.Event = refuse
    queue.SimpleQueue = Refused


def sleep():
    time.sleep = refuse


def no_sleep():
    time.sleep = lambda seconds: None


def frozen_clock():
    time.monotonic = time.time = lambda: 0.0


def clock():
    time.monotonic = time.time = refuse


def text():
    json.loads = json.dumps = refuse


def files():
    builtins.open = os.read = os.write = os.fstat = os.close = refuse


def polling():
    select.poll = select.select = refuse


def signals():
    signal.signal = signal.pthread_sigmask = signal.set_wakeup_fd = refuse


def wire():
    import msgpack
    import zmq

    zmq.Context = zmq.Socket = zmq.Poller = Refused
    zmq.Again = zmq.ZMQError = KeyError
    msgpack.packb = msgpack.unpackb = msgpack.ExtType = Refused


def everything():
    for patch in (sockets, default_timeout, sleep, clock, text, polling, signals, wire):
        patch()


def same(value):
    return value


def fail():
    raise LookupError("nowhere")


def numbers():
    yield from range(300)


def row(count):
    import numpy

    return numpy.arange(count, dtype="float64")


def wait():
    """Until it is stopped, with nothing that can have been replaced."""
    while True:
        pass


if "PATCH" in os.environ:
    globals()[os.environ["PATCH"]]()
