"""``isohub.workers()`` and ``isohub ps``: which workers there are and what they take, and what is left in the register."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.nvml import Machine
from tests.workers import HUBCONFS, PATIENCE, exists, until

GPU, OTHER = (f"GPU-{letter * 8}-0000-1111-2222-333333333333" for letter in "ab")
MIB = 2**20
KEYS = "name pid host state gpus gpu_memory_bytes rss_bytes uptime_seconds calls log"
WAIT = """
    hub = isohub.Hub(gpus={gpus})
    say([load(hub, "pid"), load(hub, "child")])
    for line in sys.stdin:
        exec(line)
        say(None)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ps") / "home"


@pytest.fixture
def machine(tmp_path: Path, home: Path) -> Machine:
    machine = Machine(tmp_path, home, HUBCONFS / "pinned")
    machine.has(f"gpu {GPU} 5 100 Test", f"gpu {OTHER} 9 100 Test")
    return machine


class Program:
    """A program with a worker."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        self.worker, self.child = json.loads(line)

    def do(self, statement: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{statement}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "null\n"


@contextmanager
def program(machine: Machine, gpus: str, **environ: str) -> Iterator[Program]:
    process = machine.start(WAIT.format(gpus=gpus), **environ)
    try:
        yield Program(process)
    finally:
        process.communicate(timeout=PATIENCE)


def ps(machine: Machine, *arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "isohub.cli.main", "ps", *arguments],
        env=machine.environ(**environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "" if done.stdout else "there are no workers\n")
    return done.stdout


def listed(machine: Machine, **environ: str) -> list[dict[str, Any]]:
    answer = json.loads(ps(machine, "--json", **environ))
    assert [*answer] == ["workers"]
    return list(answer["workers"])


def files(machine: Machine) -> list[Path]:
    return [path for path in (machine.run_folder / "isohub").glob("workers-*/*") if path.is_file()]


# ---- what is shown


def test_a_program_sees_its_own_workers(machine: Machine) -> None:
    machine.has(f"gpu {GPU} 5 100 Test")
    program = """
        none = isohub.workers()
        with isohub.Hub(gpus=[0]) as hub:
            pid = load(hub, "pid")
            (before,) = isohub.workers()
            for _ in range(5):
                load(hub, "pid")
            (after,) = isohub.workers()
        assert (before.pid, before.host, before.state) == (pid, os.getpid(), "serving"), before
        assert (before.calls, after.calls) == (1, 6), (before, after)
        assert before.gpus == ({gpu!r},) and before.gpu_memory == 0, before
        assert before.rss > 2**20 and 0 < before.uptime < after.uptime, (before, after)
        assert before.log.is_file() and "pinned@" in before.name, before
        say([none, isohub.workers(), isohub.workers(all=True)])
    """
    assert machine.said(program.format(gpu=GPU)) == [[], [], []]


def test_a_worker_that_starts_is_shown_and_one_that_died_is_not(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "hubconf.py").write_text(
        "import os, time\n"
        "dependencies = []\n"
        "while os.environ.get('GATE') and not os.path.exists(os.environ['GATE']):\n"
        "    time.sleep(0.01)\n"
        "def pid():\n"
        "    return os.getpid()\n"
    )
    gate = tmp_path / "gate"
    program = """
        import threading
        hub = isohub.Hub(env={"GATE": os.environ["GATE"]})
        hub.environment(os.environ["REPOSITORY"], source="local", trust_repo=True)
        thread = threading.Thread(target=load, args=(hub, "pid"))
        thread.start()
        while not isohub.workers():
            time.sleep(0.01)
        (starting,) = isohub.workers()
        open(os.environ["GATE"], "w").close()
        thread.join()
        (serving,) = isohub.workers()
        os.kill(serving.pid, 9)
        while isohub.workers():
            time.sleep(0.01)
        say([starting.state, starting.calls, serving.state, serving.calls, starting.rss > 0])
        hub.close()
    """
    slow = str(tmp_path / "slow")
    assert machine.said(program, GATE=str(gate), REPOSITORY=slow) == ["starting", 0, "serving", 1, True]


def test_ps_shows_the_workers_of_all_programs(machine: Machine) -> None:
    assert listed(machine) == []
    assert ps(machine) == ""
    with (
        program(machine, "[0]") as first,
        program(machine, "[]") as second,
        program(machine, "None") as third,
    ):
        machine.has(
            f"gpu {GPU} 5 100 Test",
            f"process {first.worker} {300 * MIB}",
            f"process {first.child} {20 * MIB}",
            f"process {os.getpid()} {7 * MIB}",
            f"gpu {OTHER} 9 100 Test",
            f"process {first.worker} {1 * MIB}",
            f"process {third.worker} -1",
        )
        workers = listed(machine)
        assert [[*worker] for worker in workers] == [KEYS.split()] * 3
        assert [worker["pid"] for worker in workers] == [first.worker, second.worker, third.worker]
        assert [worker["host"] for worker in workers] == [item.process.pid for item in (first, second, third)]
        assert [worker["gpus"] for worker in workers] == [[GPU], [], None]
        assert [worker["gpu_memory_bytes"] for worker in workers] == [321 * MIB, 0, None]
        assert {worker["state"] for worker in workers} == {"serving"}
        assert {worker["calls"] for worker in workers} == {2}
        assert all(worker["rss_bytes"] > MIB for worker in workers)
        assert all(Path(worker["log"]).is_file() for worker in workers)
        first.do("[load(hub, 'pid') for _ in range(40)]")
        assert [worker["calls"] for worker in listed(machine)] == [42, 2, 2]

        heading, *rows = ps(machine).splitlines()
        assert heading.split() == "pid repository state gpu gpu memory memory uptime calls host".split()
        assert [row.split()[0] for row in rows] == [str(item.worker) for item in (first, second, third)]
        assert f"  {GPU[:12]}  321.0 MiB  " in rows[0]
        assert "  none  " in rows[1]
        assert [row.split()[-1] for row in rows] == [str(item.process.pid) for item in (first, second, third)]

        second.do("hub.close()")
        assert [worker["pid"] for worker in listed(machine)] == [first.worker, third.worker]
    assert listed(machine) == []
    assert files(machine) == []


def test_what_the_driver_does_not_tell_is_not_made_up(machine: Machine, tmp_path: Path) -> None:
    with program(machine, "[0]"):
        # In a container the driver may count processes as the machine does.
        machine.has(f"gpu {GPU} 5 100 Test", "process 4194999 5")
        assert [worker["gpu_memory_bytes"] for worker in listed(machine)] == [None]
        machine.has("fail 9")
        assert [worker["gpu_memory_bytes"] for worker in listed(machine)] == [None]
        nothing = listed(machine, LD_LIBRARY_PATH="")
        assert [worker["gpus"] for worker in nothing] == [[GPU]]


# ---- the register


def test_what_a_killed_program_leaves_is_removed_by_who_finds_it(machine: Machine) -> None:
    with program(machine, "None") as killed, program(machine, "None") as other:
        killed.process.kill()
        killed.process.wait(PATIENCE)
        until(lambda: not exists(killed.worker))
        assert len(files(machine)) == 2
        assert [worker["pid"] for worker in listed(machine)] == [other.worker]
        assert len(files(machine)) == 1


def test_a_number_that_was_given_out_again_is_not_mistaken(machine: Machine) -> None:
    with program(machine, "None") as running:
        (path,) = files(machine)
        host, start, rest = path.name.split("-")
        stale = path.with_name(f"{host}-{int(start) - 1}-{rest}")
        stale.write_bytes(path.read_bytes())
        content = path.read_bytes()
        told = json.loads(content[24:])
        path.write_bytes(content[:24] + json.dumps({**told, "start": told["start"] - 1}).encode())
        assert listed(machine) == []
        assert files(machine) == [path]
        path.write_bytes(content)
        assert [worker["pid"] for worker in listed(machine)] == [running.worker]


def test_nonsense_in_the_register_is_passed_over(machine: Machine, tmp_path: Path) -> None:
    with program(machine, "None") as running:
        (path,) = files(machine)
        content = path.read_bytes()
        told = json.loads(content[24:])
        others = [
            b"",
            b"short",
            content[:24],
            content[:24] + b"{",
            content[:24] + b"[]",
            content[:24] + b"[" * 60_000,
            content[:24] + b"\xff\xfe",
            content[:24] + b'"' + b"x" * 100_000 + b'"',
            b"\xff" * 24 + content[24:],
            *(
                content[:24] + json.dumps({**told, **change}).encode()
                for change in (
                    {"pid": "1"},
                    {"pid": True},
                    {"pid": -1},
                    {"pid": 10**30},
                    {"name": None},
                    {"gpus": "GPU"},
                    {"gpus": [1]},
                    {"since": 1},
                    {"since": float("nan")},
                    {"since": 1e300},
                    {"start": 0, "pid": 2**31 - 1},
                    {"more": 1},
                )
            ),
        ]
        stem = path.name.rsplit("-", 1)[0]
        for number, other in enumerate(others):
            path.with_name(f"{stem}-{number:x}.worker").write_bytes(other)
        (path.with_name(f"{stem}-aa.worker")).symlink_to(path)
        os.mkfifo(path.with_name(f"{stem}-ab.worker"))
        path.with_name("notes.txt").write_text("somebody's")
        path.with_name(f"{stem}-ac.worker").mkdir()
        assert [worker["pid"] for worker in listed(machine)] == [running.worker]
        assert path.with_name("notes.txt").exists()


def test_a_folder_that_is_not_ours_alone_is_not_used(machine: Machine) -> None:
    (machine.run_folder / "isohub").mkdir(mode=0o700)
    (machine.run_folder / "isohub").chmod(0o755)
    with program(machine, "None") as running:
        assert listed(machine) == []
        running.do("assert [item.pid for item in isohub.workers()] == [load(hub, 'pid')]")
        running.do("assert isohub.workers(all=True) == isohub.workers() or isohub.workers()[0].calls")


def test_the_register_may_go_while_workers_live(machine: Machine) -> None:
    with program(machine, "None") as running:
        (path,) = files(machine)
        path.unlink()
        path.parent.rmdir()
        running.do("load(hub, 'pid')")
        assert listed(machine) == []
        running.do("assert len(isohub.workers()) == 1")
        running.do("hub.close()")


def test_a_fork_has_none_and_changes_nothing(machine: Machine) -> None:
    with program(machine, "None") as running:
        running.do(
            "pid = os.fork(); "
            "os._exit(0 if isohub.workers() == [] and len(isohub.workers(all=True)) == 1 else 1) if pid == 0 else None; "
            "assert os.waitpid(pid, 0)[1] == 0"
        )
        running.do("pid = os.fork(); sys.exit() if pid == 0 else os.waitpid(pid, 0)")
        assert [worker["pid"] for worker in listed(machine)] == [running.worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_however_a_program_ends_nothing_of_it_is_listed(machine: Machine, number: int) -> None:
    process = machine.start(WAIT.format(gpus="None"))
    started = Program(process)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    until(lambda: not exists(started.worker))
    assert listed(machine) == []
    assert files(machine) == []
