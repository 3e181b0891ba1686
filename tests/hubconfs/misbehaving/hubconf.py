"""Entry points that do to their worker what code of strangers does, on purpose or not."""

import atexit
import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time

dependencies = []


def same(value):
    return value


def pid():
    return os.getpid()


def print_lines(count):
    for number in range(count):
        print("line", number)
    return count


def flood(size):
    """So many bytes of output, by both ways out, the last of them telling how many there were."""
    piece = b"".join(b"%063d\n" % number for number in range(1 << 14))
    for number in range(size // len(piece)):
        os.write(1 + number % 2, piece)
    print("flooded with", size)
    return size


def print_unterminated():
    sys.stdout.write("no newline here")
    sys.stderr.write("nor here")


def print_bytes():
    os.write(1, b"\xff\xfe bytes \x00\n")
    print("\udcff surrogate")


def replace_stdout():
    class Silent:
        def write(self, text):
            raise RuntimeError("nobody writes here")

    sys.stdout = Silent()
    sys.stderr = None


def close_fds():
    os.close(0)
    os.close(1)
    os.close(2)


def close_all_files():
    os.closerange(3, 1000)


def replace_all_files():
    """Others come to lie where this process had some."""
    for number in os.listdir("/proc/self/fd"):
        if int(number) > 2:
            os.dup2(0, int(number))


def change_folder(path):
    os.chdir(path)
    sys.path.clear()
    os.environ.clear()


def fork_and_return():
    """Both processes come back: the child as if it were the worker."""
    child = os.fork()
    return os.getpid(), child


def fork_and_stay():
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return child


def fork_and_exit():
    child = os.fork()
    if child == 0:
        sys.exit(3)
    os.waitpid(child, 0)
    return "parent"


def spawn():
    """A process that outlives its parent if nobody ends it."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def spawn_daemon():
    """A process that has left its parent, its group and its session."""
    program = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    return int(process.stdout.readline())


def spawn_deaf():
    """A process that takes no hint."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process.pid


def start_threads(count):
    """Threads that are never told to end."""
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(600,)).start()
    return threading.active_count()


def leave(status):
    os._exit(status)


def leave_after(seconds, status):
    threading.Timer(seconds, os._exit, (status,)).start()


def crash():
    faulthandler.disable()
    print("about to crash")
    ctypes.string_at(0)


def abort():
    os.abort()


def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(600)


def hang():
    time.sleep(600)


def hold_the_lock(seconds):
    """Native code that does not let go of the interpreter."""
    ctypes.PyDLL(None).sleep(int(seconds))
    return seconds


def stream_then_die(count):
    for number in range(count):
        yield number
    os._exit(7)


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def at_exit(path, seconds=0):
    """Have something done at exit."""

    def act():
        time.sleep(seconds)
        with open(path, "w") as file:
            file.write("done")

    atexit.register(act)


def fail_at_exit():
    atexit.register(lambda: 1 / 0)


def replace_everything():
    """The tools that a worker might rely on, gone."""
    sys.excepthook = sys.unraisablehook = None
    sys.modules["os"].environ.clear()
    sys.setrecursionlimit(200)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def recurse():
    return recurse()


def eat_memory():
    return bytearray(10**15)
