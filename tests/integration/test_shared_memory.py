"""Shared memory that runs out, cannot be had, is tampered with, or is full of tensors when its worker is killed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import StaleObject, UnsupportedValue, WorkerDied
from isohub.rpc.proxy import submit
from isohub.supervise.limits import Limits
from tests.mounts import run_with_mounts
from tests.workers import HUBCONFS, PATIENCE, PYTHONS, WIRE, Remote, environment, exists, start, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are limits of Linux")

_COUNT = 100_000
_ROOT = Path(__file__).parents[2]

# What the programs below begin with: a worker of theirs, and what they ask of it.
_BEGINNING = """
import gc, os, resource, sys, tempfile
from pathlib import Path

import numpy

from isohub.environ import scrubbed_environ
from isohub.errors import IsohubError
from isohub.supervise.worker import Worker

python, folder = Path(sys.argv[1]), Path(sys.argv[2])
COUNT = 100_000

def start(shared_memory):
    global worker
    worker = Worker(python, name="test/numbers", repo_dir=Path(sys.argv[3]), environ=scrubbed_environ(), logs=folder / "logs",
                    shared_memory=shared_memory)

def load(name, *args):
    return worker.channel.call("load", None, (name, *args))

def check():
    rows = []
    for number in range(20):
        rows.append(load("row", COUNT))
        assert rows[-1].tolist() == [*range(COUNT)]
        rows[-1][0] = number
        assert load("keep", numpy.full(COUNT, number)) == number + 1
    assert [row[0] for row in rows] == [*range(20)]
    assert [load("kept", number) for number in range(20)] == [[number, number] for number in range(20)]
    del rows
    gc.collect()
    load("drop")
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE, "numpy")


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "numbers", tmp_path, shared_memory=64 << 20) as remote:
        yield remote


def program(python: Path, folder: Path, text: str) -> str:
    """Run a program that begins as above; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGINNING + textwrap.dedent(text), python, folder, HUBCONFS / "numbers"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- it runs out


def test_memory_that_runs_out_is_a_full_arena(python: Path, tmp_path: Path) -> None:
    """Both sides find a small disk full, in place of memory; writing to it by a mapping would kill them."""
    text = """
    import subprocess
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    del os.memfd_create
    tempfile.tempdir = str(disk)
    start(64 << 20)
    tempfile.tempdir = None
    for _ in range(3):
        check()
    left = os.statvfs(disk)
    print(left.f_bavail * left.f_frsize, worker.alive, worker.channel._arena[0]._backed > 0)
    worker.close()
    """
    out = run_with_mounts(_BEGINNING + textwrap.dedent(text), python, tmp_path, HUBCONFS / "numbers")
    assert out == "0 True True\n", "it was full, and used"


@pytest.mark.parametrize(
    "limit", ["RLIMIT_FSIZE, (1 << 20, -1)", "RLIMIT_AS, (3 << 29, -1)"], ids=["files", "address space"]
)
def test_where_none_can_be_had_tensors_go_through_the_sockets(
    python: Path, tmp_path: Path, limit: str
) -> None:
    text = f"""
    resource.setrlimit(resource.{limit})
    start(1 << 30)
    check()
    print(worker.channel._arena, worker.log.read_text())
    worker.close()
    """
    out = program(python, tmp_path, text)
    assert out.startswith("None isohub: large tensors go through the sockets: no shared memory: ")


def test_a_worker_that_cannot_map_it_says_so(python: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "hubconf.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, -1))\n"
    )
    with (
        pytest.raises(MemoryError, match="does not let 1073741824 bytes be mapped"),
        start(python, str(repo), tmp_path / "logs", name="test/narrow", shared_memory=1 << 30),
    ):
        pass


def test_what_a_worker_cannot_borrow_is_told_and_the_worker_goes_on(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    remote.load("allow_no_more", 100_000)
    for value in (row, row[2:], [row, row[1:]]):
        with pytest.raises(UnsupportedValue, match="not enough memory to hold it"):
            remote.load("ends", value)
    remote.load("allow_no_more", None)
    assert remote.load("ends", row) == [0, _COUNT - 1]


def test_what_is_lent_counts_only_as_far_as_it_goes(python: Path, tmp_path: Path) -> None:
    limits = Limits(memory=400 << 20)
    environ = scrubbed_environ(limits.variables())
    with start(python, "numbers", tmp_path, limits=limits, shared_memory=1 << 30, environ=environ) as remote:
        row = remote.load("row", _COUNT)
        assert remote.load("ends", row) == [0, _COUNT - 1]
        assert remote.load("change", row).sum() == 0
        assert remote.load("keep", row) == 1
        row[0] = 5
        assert remote.load("kept", 0) == [0, _COUNT - 1]


def test_a_host_that_cannot_keep_it_apart_ends_the_worker_and_loses_nothing(
    python: Path, tmp_path: Path
) -> None:
    text = """
    import ctypes, errno, os, struct
    start(64 << 20)
    before, row = load("row", COUNT), load("row", COUNT)
    # From here on the system refuses this thread, and no other, private mappings in the place of other mappings. (A process
    # that really has as many mappings as it may have dies of other things at times.)
    number = {"x86_64": 9, "aarch64": 222}[os.uname().machine]
    program = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 40), (0x15, 0, 1, 0x12), (6, 0, 0, 0x50000 | errno.ENOMEM),
               (6, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS"
    assert libc.prctl(22, 2, struct.pack("HP", len(program), ctypes.addressof(code))) == 0, "PR_SET_SECCOMP"
    answer = load("keep", row)
    row[0] = 7
    assert before.tolist() == [*range(COUNT)]
    assert row.tolist() == [7, *range(1, COUNT)]
    try:
        while True:
            load("kept", 0)
    except IsohubError as error:
        print(answer, type(error).__name__, error)
    worker.close()
    del row, before
    gc.collect()
    print(sum("memfd:isohub" in line for line in open("/proc/self/maps")))
    """
    out = program(python, tmp_path, text)
    assert out.startswith(("1 WorkerDied ", "1 StaleObject ")), out
    assert "was ended, or it would share memory with this process that it only was lent" in out
    assert out.endswith("\n0\n"), "no mapping is left"


# ---- it is tampered with


def test_a_worker_cannot_take_it_from_under_the_host(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    refusals = remote.load("cut_memory")
    assert len(refusals) >= 4
    assert set(refusals) == {"Operation not permitted"}
    assert row.sum() == sum(range(_COUNT))
    assert remote.load("ends", numpy.ones(_COUNT)) == [1, 1]


def test_a_worker_that_has_closed_its_files_writes_into_no_other(remote: Remote) -> None:
    row = remote.load("row", _COUNT)
    assert remote.load("close_memory") >= 2
    for count in (_COUNT, 2 * _COUNT):
        assert remote.load("row", count).tolist() == [*range(count)]
    # What it has mapped already it can borrow, and nothing else.
    with pytest.raises(UnsupportedValue, match="not enough memory to hold it"):
        remote.load("ends", row)
    assert remote.load("ends", numpy.ones(_COUNT)) == [1, 1]
    assert remote.load("written_elsewhere") == 0


# ---- its worker is killed


def memory_of_this_process() -> list[str]:
    """The files of shared memory that are open or mapped here."""
    gc.collect()
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except OSError:
            continue  # that of the listing itself
    mapped = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in (*links, *mapped) if "memfd:isohub" in line]


def test_a_worker_that_is_killed_while_its_arenas_are_full(python: Path, tmp_path: Path) -> None:
    assert memory_of_this_process() == []
    size = 8 * _COUNT
    with start(python, "numbers", tmp_path, shared_memory=5 * -(-size // 4096) * 4096) as remote:
        channel = remote.worker.channel
        assert channel._arena is not None
        outlet, inlet = channel._arena
        rows = [remote.load("row", _COUNT) for _ in range(7)]
        assert len(inlet._views) == 5, "the last ones came by the sockets"
        remote.load("keep", rows[0])
        look = remote.load("looker")
        futures = [submit(look, numpy.full(_COUNT, number), str(tmp_path / "gate")) for number in range(7)]
        assert len(outlet._used) == 5
        del outlet, inlet
        os.kill(remote.worker.pid, signal.SIGKILL)
        began = time.monotonic()
        for future in futures:
            assert isinstance(future.exception(PATIENCE), WorkerDied)
        with pytest.raises(StaleObject):
            remote.load("ends", rows[1])
        assert time.monotonic() - began < 1
        until(lambda: not exists(remote.worker.pid))
        for row in rows:
            assert row.tolist() == [*range(_COUNT)]
            row[:] = 1
            assert row.sum() == _COUNT
        del row
        kept = rows.pop(0)
        rows.clear()
        assert memory_of_this_process()
        assert kept.sum() == _COUNT
        del kept
        until(lambda: memory_of_this_process() == [])
        assert repr(look).startswith("<stale "), "although objects of the worker are still there"
