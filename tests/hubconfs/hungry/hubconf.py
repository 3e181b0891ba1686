"""Entry points that take memory, threads and time on command, and tell what they were left."""

import os
import resource
import subprocess
import sys
import time

dependencies = []

kept = []


def pid():
    return os.getpid()


def take(count):
    """Take so many bytes, and keep them."""
    kept.append(b"x" * count)
    return count


def take_until_it_ends(count):
    while True:
        take(count)


def take_with_children(children, count):
    """So many processes that take so many bytes each."""
    program = "import time; kept = b'x' * %d; print('up', flush=True); time.sleep(600)" % count
    for _ in range(children):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        process.stdout.readline()
        kept.append(process)
    time.sleep(600)


def fork_with(children, count):
    """Take so many bytes once, and have so many forks that hold them, too, without taking any."""
    kept.append(b"x" * count)
    pids = []
    for _ in range(children):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        pids.append(child)
    return pids


def lift(count):
    """Ask for more than was given."""
    resource.setrlimit(resource.RLIMIT_DATA, (count, count))


def left():
    """What this worker may do."""
    with open("/proc/self/oom_score_adj") as file:
        score = int(file.read())
    return {
        "data": list(resource.getrlimit(resource.RLIMIT_DATA)),
        "core": list(resource.getrlimit(resource.RLIMIT_CORE)),
        "oom_score_adj": score,
        "nice": [os.getpriority(os.PRIO_PROCESS, int(name)) for name in os.listdir("/proc/self/task")],
        "environ": dict(os.environ),
    }


def sleep(seconds):
    time.sleep(seconds)
    return os.getpid()


def sleeper():
    return sleep


def numbers(count):
    for number in range(count):
        yield number


def torch_threads():
    import torch

    return torch.get_num_threads()


def take_tensor(count):
    import torch

    kept.append(torch.ones(count, dtype=torch.uint8))
    return count


class Thing:
    def __call__(self):
        return os.getpid()


def thing():
    return Thing()


def stay(seconds):
    """Sleep for so long, whoever wants it to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(max(0, end - time.monotonic()))
        except BaseException:
            continue
