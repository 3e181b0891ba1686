"""Its import says that it happens, and does what AT_IMPORT names: what a fork has to cope with, or what speaks against one."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types

dependencies = []
kept = []
count = 0


def thread():
    threading.Thread(target=time.sleep, args=(600,), name="busy", daemon=True).start()


def native_thread():
    libc = ctypes.CDLL(None)
    number = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(number), None, libc.pause, None)


def child():
    kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))


def file():
    kept.append(open(__file__))


def connection():
    kept.append(socket.socketpair())


def temporary_folder():
    kept.append(tempfile.TemporaryDirectory())


def cuda():
    """As it looks once CUDA is in use; a real one takes a GPU."""
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_initialized=lambda: True)
    sys.modules["torch"] = torch


def blas():
    """Its library has threads of its own, which it ends and starts again around a fork."""
    import numpy

    numpy.random.rand(500, 500) @ numpy.random.rand(500, 500)


def close_standard_files():
    for number in (0, 1, 2):
        os.close(number)


def close_all_files():
    os.closerange(3, 1000)


def replace_files():
    """Others come to lie where this process had some."""
    os.closerange(3, 1000)
    for _ in range(20):
        kept.append(os.open(os.devnull, os.O_RDWR))


def change_folder():
    os.chdir("/")


def change_signals():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGUSR1])


def change_defaults():
    socket.setdefaulttimeout(0.01)
    sys.setrecursionlimit(200)
    os.environ.clear()


def fork_and_return():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)


def leave_a_fork():
    if os.fork() == 0:
        time.sleep(600)


def leave_a_fork_and_die():
    leave_a_fork()
    die()


def print_a_part():
    sys.stdout.write("no end of a line")


def replace_stdout():
    class Silent:
        def __getattr__(self, name):
            raise RuntimeError("nobody writes here")

    sys.stdout = sys.stderr = Silent()


def leave_by_exception():
    sys.exit("enough")


def fail():
    raise ImportError("no such thing", name="thing")


def die():
    print("about to leave", flush=True)
    os._exit(11)


def spawn_daemon():
    """A process that has left everything behind: its parent, its group and its session."""
    program = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    pid = int(process.stdout.readline())
    process.wait()
    return pid


def start_a_daemon():
    print("daemon", spawn_daemon(), flush=True)


def hang():
    time.sleep(600)


def meet():
    """Goes on once two are here."""
    open(os.path.join(os.environ["MEETING"], str(os.getpid())), "w").close()
    until = time.monotonic() + 30
    while len(os.listdir(os.environ["MEETING"])) < 2:
        if time.monotonic() > until:
            raise RuntimeError("nobody else came")
        time.sleep(0.005)


with open(os.environ["IMPORTS"], "a") as imports:
    imports.write("%d\n" % os.getpid())
given = os.environ.get("AT_IMPORT")
if given:
    globals()[given]()


def where():
    """This process, its parent, and its group."""
    return os.getpid(), os.getppid(), os.getpgrp()


def surroundings():
    return {"cwd": os.getcwd(), "environ": dict(os.environ), "files": open_files()}


def open_files():
    names = os.listdir("/proc/self/fd")
    paths = [os.path.join("/proc/self/fd", name) for name in names]
    return [os.readlink(path) for path in paths if os.path.lexists(path)]


def signals():
    return {
        "SIGCHLD": str(signal.getsignal(signal.SIGCHLD)),
        "SIGTERM": str(signal.getsignal(signal.SIGTERM)),
        "blocked": sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wakeup": signal.set_wakeup_fd(-1),
    }


def bump():
    global count
    count += 1
    return count


def random_numbers():
    numpy = sys.modules.get("numpy")
    return random.random(), None if numpy is None else float(numpy.random.rand())


def multiply():
    import numpy

    return float((numpy.ones((500, 500)) @ numpy.ones((500, 500))).sum())


def run_a_program():
    """The status of a child, which somebody who ignores children does not learn."""
    return subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode


def spawn():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def leave(status):
    os._exit(status)


def leave_by_signal(number):
    os.kill(os.getpid(), number)
    time.sleep(600)
