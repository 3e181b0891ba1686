"""Which GPUs workers see, on machines that a text file describes: ``tests/nvml.py`` says how.

What needs a real GPU is in ``tests/real/test_gpus.py``.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.errors import ConfigError, GpuNotFound
from tests.nvml import Machine
from tests.workers import HUBCONFS, PATIENCE, exists, until

A, B, C = (f"GPU-{letter * 8}-0000-1111-2222-333333333333" for letter in "abc")
M, N = (f"MIG-{letter * 8}-0000-1111-2222-333333333333" for letter in "de")
GIB = 2**30
TWO = (f"gpu {A} {5 * GIB} {80 * GIB} Test A100", f"gpu {B} {1 * GIB} {80 * GIB} Test H100")
DIVIDED = (
    f"gpu {A} {5 * GIB} {80 * GIB} Test A100",
    f"gpu {B} {3 * GIB} {80 * GIB} Test H100",
    f"mig {M} {2 * GIB} {40 * GIB} Test 3g.40gb",
    f"mig {N} {1 * GIB} {40 * GIB} Test 3g.40gb",
)
SEEN = """
    with isohub.Hub(gpus={gpus}) as hub:
        say(load(hub, "seen"))
"""
WAIT = """
    hub = isohub.Hub(gpus={gpus})
    say([load(hub, "seen")[1], load(hub, "pid")])
    sys.stdin.readline()
    hub.close()
"""
FAILS = """
    try:
        isohub.Hub(gpus={gpus})
    except (ConfigError, GpuNotFound) as error:
        say([type(error).__name__, str(error)])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tests share it, so that the environment is built once."""
    return tmp_path_factory.mktemp("gpus") / "home"


@pytest.fixture
def machine(tmp_path: Path, home: Path) -> Machine:
    machine = Machine(tmp_path, home, HUBCONFS / "pinned")
    machine.has(*TWO)
    return machine


@contextmanager
def waiting(machine: Machine, gpus: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A program whose worker sees this; it ends with the block, or when it is told to."""
    process = machine.start(WAIT.format(gpus=gpus), **environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        seen, pid = json.loads(line)
        yield process, seen, pid
    finally:
        process.communicate("\n", timeout=PATIENCE)


# ---- the pin


@pytest.mark.parametrize(
    ("gpus", "seen"),
    [
        ("[0]", A),
        ("['1']", B),
        (f"[{B!r}]", B),
        (f"({B[:10]!r},)", B),
        ("iter([1])", B),
        ("()", ""),
    ],
)
def test_a_worker_sees_what_its_hub_was_told(machine: Machine, gpus: str, seen: str) -> None:
    # The hubconf overwrites it when it is imported, in every way there is. So does the program's own environment.
    assert machine.said(SEEN.format(gpus=gpus), CUDA_VISIBLE_DEVICES="7") == [seen, seen]


@pytest.mark.parametrize("order", ["FASTEST_FIRST", "PCI_BUS_ID"])
@pytest.mark.parametrize(("gpus", "seen"), [("[1]", B), ("[1, 0]", f"{B},{A}"), ("[]", "")])
def test_numbers_are_those_of_the_bus_whatever_order_cuda_has(
    machine: Machine, gpus: str, seen: str, order: str
) -> None:
    assert machine.said(SEEN.format(gpus=gpus), CUDA_DEVICE_ORDER=order) == [seen, seen]


def test_by_default_nothing_is_touched(machine: Machine) -> None:
    assert machine.said(SEEN.format(gpus="None")) == ["3", "3"]


def test_the_parts_of_a_divided_gpu_are_named_by_their_ids(machine: Machine) -> None:
    machine.has(*DIVIDED)
    assert machine.said(SEEN.format(gpus=f"[{N!r}]")) == [N, N]
    kind, text = machine.said(FAILS.format(gpus="[1]"))
    assert kind == "ConfigError"
    assert "GPU 1 is divided by MIG" in text
    assert M in text
    assert N in text
    assert A not in text


def test_a_gpu_that_is_lost_keeps_its_number(machine: Machine) -> None:
    machine.has("lost", *TWO)
    assert machine.said(SEEN.format(gpus="[2]")) == [B, B]
    kind, text = machine.said(FAILS.format(gpus="[0]"))
    assert (kind, text.splitlines()[0]) == ("GpuNotFound", "there is no GPU 0 here")
    assert text.splitlines()[1].startswith(f"  | 1  {A}  Test A100")


def test_every_worker_of_a_hub_has_the_pin_and_a_new_one_too(machine: Machine) -> None:
    program = """
        hub = isohub.Hub(gpus="auto")
        first = load(hub, "seen"), load(hub, "pid")
        os.kill(first[1], 9)
        while isohub.workers():
            time.sleep(0.01)
        second = load(hub, "seen"), load(hub, "pid")
        say([first[0], second[0], first[1] != second[1]])
        hub.close()
    """
    assert machine.said(program) == [[B, B], [B, B], True]


# ---- the least used


def test_auto_is_the_least_used(machine: Machine) -> None:
    assert machine.said(SEEN.format(gpus="'auto'")) == [B, B]
    machine.has(f"gpu {A} 7 {80 * GIB} Test", f"gpu {B} 8 {80 * GIB} Test", f"gpu {C} 7 {80 * GIB} Test")
    assert machine.said(SEEN.format(gpus="'auto'")) == [A, A]
    machine.has(*DIVIDED)
    assert machine.said(SEEN.format(gpus="'auto'")) == [N, N]


def test_auto_stays_within_what_the_program_was_left(machine: Machine) -> None:
    for mask in (A, A[:9], "0", f"{A},nonsense,{B}", f"0,-1,{B}"):
        assert machine.said(SEEN.format(gpus="'auto'"), CUDA_VISIBLE_DEVICES=mask) == [A, A]
    for mask in ("", "-1", "NoDevFiles"):
        kind, text = machine.said(FAILS.format(gpus="'auto'"), CUDA_VISIBLE_DEVICES=mask)
        assert kind == "GpuNotFound"
        assert f"CUDA_VISIBLE_DEVICES is {mask!r}, which leaves no GPU" in text
        assert B in text


def test_two_programs_at_once_take_different_ones(machine: Machine) -> None:
    with waiting(machine, "'auto'") as (_, first, _), waiting(machine, "'auto'") as (_, second, _):
        assert (first, second) == (B, A)
        # There is none left, so the third shares the one with the least in use, and the fourth the other.
        with waiting(machine, "'auto'") as (_, third, _), waiting(machine, "'auto'") as (_, fourth, _):
            assert (third, fourth) == (B, A)
    with waiting(machine, "'auto'") as (_, again, _):
        assert again == B, "what ended has given it back"


def test_programs_that_start_at_the_same_instant_take_different_ones(machine: Machine) -> None:
    machine.has(*(f"gpu GPU-{letter * 8} 5 100 Test" for letter in "abcdef"))
    program = """
        hub = isohub.Hub(gpus="auto")
        sys.stdin.readline()
        say(load(hub, "seen")[1])
        sys.stdin.readline()
    """
    processes = [machine.start(program) for _ in range(6)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        seen = [json.loads(process.stdout.readline()) for process in processes if process.stdout is not None]
        assert sorted(seen) == [f"GPU-{letter * 8}" for letter in "abcdef"]
    finally:
        for process in processes:
            process.communicate("\n", timeout=PATIENCE)


def test_two_hubs_of_one_program_take_different_ones_until_they_are_closed(machine: Machine) -> None:
    program = """
        with isohub.Hub(gpus="auto") as first, isohub.Hub(gpus="auto") as second:
            both = [load(hub, "seen")[1] for hub in (first, second)]
        with isohub.Hub(gpus="auto") as third:
            say([*both, load(third, "seen")[1]])
    """
    assert machine.said(program) == [B, A, B]


def test_what_is_named_is_taken_too_and_can_be_shared(machine: Machine) -> None:
    with waiting(machine, "[1]"), waiting(machine, "[1]") as (_, second, _):
        assert second == B
        with waiting(machine, "'auto'") as (_, third, _):
            assert third == A


def test_what_is_killed_has_given_its_gpu_back(machine: Machine) -> None:
    with waiting(machine, "'auto'") as (process, seen, pid):
        assert seen == B
        process.kill()
        process.wait(PATIENCE)
        with waiting(machine, "'auto'") as (_, again, _):
            assert again == B
        until(lambda: not exists(pid))


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()"])
def test_a_fork_of_the_program_neither_gives_it_back_nor_keeps_it(machine: Machine, end: str) -> None:
    program = f"""
        hub = isohub.Hub(gpus="auto")
        say(load(hub, "seen")[1])
        pid = os.fork()
        if pid == 0:
            hub.close()
            del hub
            {end}
        os.waitpid(pid, 0)
        say("forked")
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        say(pid)
        sys.stdin.readline()
    """
    process = machine.start(program)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert lines[:2] == [B, "forked"]
    try:
        with waiting(machine, "'auto'") as (_, seen, _):
            assert seen == A
        process.kill()
        process.wait(PATIENCE)
        with waiting(machine, "'auto'") as (_, seen, _):
            assert seen == B
    finally:
        os.kill(lines[2], 9)
        process.communicate()


# ---- what is wrong


@pytest.mark.parametrize(
    ("gpus", "kind", "words"),
    [
        ("[2]", "GpuNotFound", "there is no GPU 2 here"),
        (f"[0, {C!r}]", "GpuNotFound", f"there is no GPU '{C}' here"),
        ("['GPU-']", "ConfigError", "'GPU-'"),
        ("['MIG-dddd']", "GpuNotFound", "there is no GPU 'MIG-dddd' here"),
        (f"[1, {B!r}]", "ConfigError", "gpus names one twice"),
        ("['amd:900']", "GpuNotFound", "there is no GPU 'amd:900' here"),
        ("['intel:900.1']", "GpuNotFound", "there is no GPU 'intel:900.1' here"),
    ],
)
def test_what_is_not_there_is_said_at_once_with_what_is(
    machine: Machine, gpus: str, kind: str, words: str
) -> None:
    found, text = machine.said(FAILS.format(gpus=gpus))
    assert found == kind
    assert words in text
    assert "  try: " in text
    if kind == "GpuNotFound":
        assert f"0  {A}  Test A100, 5.0 of 80.0 GiB used" in text
        assert f"1  {B}  Test H100, 1.0 of 80.0 GiB used" in text


def test_the_beginning_of_two_ids_is_neither(machine: Machine) -> None:
    machine.has(f"gpu {A} 0 1 Test", f"gpu {A[:-1]}4 0 1 Test")
    assert machine.said(FAILS.format(gpus=f"[{A[:10]!r}]"))[0] == "GpuNotFound"
    assert machine.said(SEEN.format(gpus=f"[{A!r}]")) == [A, A]


@pytest.mark.parametrize("lines", [("fail 9",), ()])
def test_a_driver_without_gpus_says_so(machine: Machine, lines: tuple[str, ...]) -> None:
    machine.has(*lines)
    for gpus in ("[0]", "'auto'", f"[{A!r}]"):
        kind, text = machine.said(FAILS.format(gpus=gpus))
        assert kind == "GpuNotFound"
        assert ("Driver Not Loaded" if lines else "the NVIDIA driver has no GPU") in text
        assert "gpus=[] uses none" in text
    assert machine.said(SEEN.format(gpus="[]")) == ["", ""]


def test_without_the_package_it_says_how_to_get_it(machine: Machine, tmp_path: Path) -> None:
    # A folder before the others on the path, in which the package is none.
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "pynvml.py").write_text("raise ImportError('not here')\n")
    kind, text = machine.said(FAILS.format(gpus="[0]"), PYTHONPATH=str(tmp_path / "first"))
    assert kind == "GpuNotFound"
    assert "nvidia-ml-py is not installed" in text
    assert "pip install 'isohub[gpu]'" in text


def test_without_a_driver_it_says_so() -> None:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        with pytest.raises(GpuNotFound, match=r"libnvidia-ml\.so\.1 is not found"):
            isohub.Hub(gpus=[0])
    else:
        pytest.skip("this machine has a driver of NVIDIA's")


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"])
def test_two_words_on_the_same_thing_contradict_each_other(name: str) -> None:
    with pytest.raises(ConfigError, match=f"gpus and {name} are both given"):
        isohub.Hub(gpus=[], env={name: "0"})
    with pytest.raises(ConfigError, match=f"gpus and {name} are both given"):
        isohub.Hub(gpus=[], pass_env=[name])


def test_where_nothing_can_be_noted_no_gpu_is_picked(machine: Machine) -> None:
    (machine.run_folder / "isohub").mkdir(mode=0o755)
    (machine.run_folder / "isohub").chmod(0o755)
    program = """
        with isohub.Hub(gpus="auto") as hub:
            try:
                load(hub, "seen")
            except ConfigError as error:
                say(str(error))
    """
    text = machine.said(program)
    assert "is not a folder that only this user can enter" in text
    assert "XDG_RUNTIME_DIR" in text
    # Whoever does not have one picked is not kept from work by it.
    assert machine.said(SEEN.format(gpus="[0]")) == [A, A]
    assert machine.said(SEEN.format(gpus="None")) == ["3", "3"]


# ---- on the command line


def test_run_pins_as_well(machine: Machine) -> None:
    def run(*arguments: str, **environ: str) -> Any:
        command = [
            sys.executable,
            "-m",
            "isohub.cli.main",
            "run",
            str(HUBCONFS / "pinned"),
            "seen",
            "--trust",
        ]
        done = subprocess.run(
            [*command, *arguments],
            env=machine.environ(**environ),
            capture_output=True,
            text=True,
            timeout=120,
        )
        return json.loads(done.stdout)["result"] if done.returncode == 0 else (done.returncode, done.stderr)

    assert run("--json", "--gpus", "1,0") == [f"{B},{A}"] * 2
    assert run("--json", "--gpus", "auto") == [B, B]
    assert run("--json", "--gpus", "none") == ["", ""]
    assert run("--json", "--gpus", B) == [B, B]
    code, text = run("--gpus", "4")
    assert (code, text.splitlines()[0]) == (1, "error: there is no GPU 4 here")
    code, text = run("--gpus", "first")
    assert (code, text.splitlines()[0]) == (2, "error: gpus has 'first', which names no GPU")
