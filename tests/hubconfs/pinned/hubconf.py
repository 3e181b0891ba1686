"""It wants another GPU than it was given, and says so in every way there is."""

import ctypes
import os
import subprocess
import sys
import threading

dependencies = []

NAME = "CUDA_VISIBLE_DEVICES"
OTHER = "3"


def _set():
    os.environ[NAME] = OTHER


def _set_bytes():
    os.environb[NAME.encode()] = OTHER.encode()


def _update():
    os.environ.update({NAME: OTHER, "OTHER_THING": "set"})
    assert os.environ["OTHER_THING"] == "set"


def _put():
    os.putenv(NAME, OTHER)
    os.putenv(NAME.encode(), OTHER.encode())


def _delete():
    del os.environ[NAME]


def _pop():
    os.environ.pop(NAME, None)


def _unset():
    if hasattr(os, "unsetenv"):
        os.unsetenv(NAME)


def _empty():
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(kept)


def _pop_items():
    kept = dict(os.environ)
    try:
        while os.environ:
            os.environ.popitem()
    except KeyError:
        pass
    os.environ.update(kept)


def _by_thread():
    thread = threading.Thread(target=_set)
    thread.start()
    thread.join()


def _native():
    ctypes.CDLL(None).setenv(NAME.encode(), OTHER.encode(), 1)


WAYS = [_set, _set_bytes, _update, _put, _delete, _pop, _unset, _empty, _pop_items, _by_thread]
for way in (*WAYS, _native):
    way()


def ways():
    return [way.__name__ for way in WAYS]


def try_way(name):
    globals()[name]()
    return seen()


def seen():
    """What Python, and what native code such as CUDA, reads."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    native = getenv(NAME.encode())
    return os.environ.get(NAME), None if native is None else native.decode()


def variables():
    return dict(os.environ)


_SAY = "import os; print(repr(os.environ.get(%r)))" % NAME


def children():
    """What programs see that are started from here, in every way there is."""
    other = dict(os.environ, **{NAME: OTHER})
    command = [sys.executable, "-c", _SAY]
    found = {
        "run": subprocess.check_output(command),
        "run with others": subprocess.check_output(command, env=other),
        "run with none": subprocess.check_output(command, env={}),
        "run with none, by position": _by_position(command, {}),
        "shell": subprocess.check_output("%s -c '%s'" % (sys.executable, _SAY.replace("'", '"')), shell=True),
        "popen": os.popen("%s -c '%s'" % (sys.executable, _SAY.replace("'", '"'))).read().encode(),
        "exec": _forked(lambda: os.execve(sys.executable, command, other)),
        "execle": _forked(lambda: os.execle(sys.executable, *command, other)),
    }
    if hasattr(os, "posix_spawn"):
        found["spawn"] = _forked(lambda: os.waitpid(os.posix_spawn(sys.executable, command, other), 0))
    return {name: text.decode().strip().strip("'") for name, text in found.items()}


def _by_position(command, env):
    args = [command, -1, None, None, subprocess.PIPE, None, None, True, False, None, env]
    process = subprocess.Popen(*args)
    return process.communicate()[0]


def _forked(do):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.close(reader)
        do()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


def pid():
    return os.getpid()


def child():
    """A program that goes on after the call."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
