"""Entry points that try, on command, what a hostile repository would; each answers whether it could."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

dependencies = []


def _could(action, *args):
    try:
        return True, action(*args)
    except Exception as error:
        return False, "%s: %s" % (type(error).__name__, error)


def _write(path):
    with open(path, "a") as file:
        file.write("mine\n")


def read(path):
    return _could(lambda: open(path).read())


def folder(path):
    return _could(os.listdir, path)


def write(path):
    return _could(_write, path)


def write_own():
    """Into its environment, its repository and the worker's own code."""
    import msgpack

    import isohub_worker

    places = [os.path.dirname(__file__), sys.prefix, msgpack.__path__[0], isohub_worker.__path__[0]]
    return {place: _could(_write, os.path.join(place, "mine.py"))[0] for place in places}


def write_link():
    """Into a file of the environment, which may have other names elsewhere."""
    import msgpack

    return _could(_write, msgpack.__file__)


def writable(roots, without):
    """What lies below and is no scratch folder or cache that could be written. Nothing is: the machine is a real one."""
    without = {*without, os.path.expanduser("~")}
    found = []
    for root in roots:
        for parent, folders, files in os.walk(root):
            folders[:] = [name for name in folders if os.path.join(parent, name) not in without]
            for path in (parent, *(os.path.join(parent, name) for name in files)):
                if not os.path.islink(path) and os.access(path, os.W_OK):
                    found.append(path)
    return found[:20]


def reopen_standard_output(path):
    """By the name that the system has for each open file: its log is its own, whatever lies beside it is not."""
    log = os.readlink("/proc/self/fd/1")
    return _could(os.listdir, os.path.dirname(log)), _could(_write, path)


def connect(port):
    def try_it():
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(100).decode()

    return _could(try_it)


def connect_abstract(name):
    def try_it():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect("\0" + name)

    return _could(try_it)


def processes():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def signal_all(pids):
    def strike(pid):
        os.kill(pid, signal.SIGKILL)

    return [_could(strike, pid)[0] for pid in pids]


def remount():
    program = "import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).mount(b'none', b'/usr', None, 32 | 4096, None) == 0 else 1)"
    return subprocess.call([sys.executable, "-c", program])


def escape():
    """A process that leaves group and session, and lives on if it can."""
    program = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    return int(process.stdout.readline())


def environ():
    return dict(os.environ)


def scratch():
    """What is written in the temporary folder and at home, and whether it was there before."""
    found = []
    for place in (os.environ["TMPDIR"], os.path.expanduser("~"), "/dev/shm"):
        path = os.path.join(place, "mine")
        found.append((os.path.exists(path), _could(_write, path)[0]))
    return found


def keep(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return write(path)


def relink(path):
    """Have a link, or a folder, lead elsewhere."""

    def try_it():
        os.rename(path, path + ".old")
        os.symlink("/tmp", path)

    return _could(try_it)


def devices():
    return sorted(os.listdir("/dev"))


# ---- what has to work


def same(value):
    return value


def count(number):
    for item in range(number):
        yield item


def speak():
    print("said in the sandbox", flush=True)


def leave(status):
    os._exit(status)


def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(600)


def hang():
    time.sleep(600)


def start_threads():
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(600,)).start()


def pid():
    return os.getpid()
