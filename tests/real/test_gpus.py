"""Models on real GPUs, each in a worker that is pinned to one.

These need a GPU of NVIDIA's, and a torch that can use it in the interpreter that runs the tests, which is the workers' too:
``pip install -e '.[gpu,test,torch]'``.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import isohub
from isohub.environ import scrubbed_environ
from isohub.supervise import nvml
from isohub.supervise.gpus import Pin, usable
from isohub.supervise.limits import Limits
from tests.workers import PATIENCE, Remote, exists, start, until

MIB = 2**20
SIZE = 512


@functools.cache
def missing() -> str:
    """Why there is nothing to test with; "" if there is."""
    try:
        if not usable(nvml.devices()):
            return "there is no GPU"
    except nvml.NvmlMissing as error:
        return f"there is no GPU to be found: {error}"
    # Not here: this process would hold memory on the GPUs, and its forks could not use them.
    program = "import torch; assert torch.cuda.device_count(); torch.cuda.get_device_properties(0).uuid"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    return f"no torch here can use the GPU: {done.stderr.strip()[-200:]}" if done.returncode else ""


@pytest.fixture(autouse=True)
def gpus() -> list[nvml.Device]:
    """What there is; without any the test is skipped."""
    if missing():
        pytest.skip(missing())
    return usable(nvml.devices())


@contextmanager
def pinned(folder: Path, gpus: object, limits: Limits | None = None, **environ: str) -> Iterator[Remote]:
    """A worker with this pin."""
    pin = Pin(gpus)
    variables = scrubbed_environ({**environ, **pin.variables()})
    try:
        with start(
            Path(sys.executable), "cuda", folder, environ=variables, gpus=pin.ids(), limits=limits
        ) as remote:
            yield remote
    finally:
        pin.release()


def bare(uuid: str) -> str:
    """As torch says it."""
    return uuid.partition("-")[2]


def used(uuid: str) -> int:
    (device,) = [each for each in usable(nvml.devices()) if each.uuid == uuid]
    if device.used is None:
        pytest.skip("this GPU does not tell how much of its memory is used")
    return device.used


@pytest.mark.parametrize("order", ["FASTEST_FIRST", "PCI_BUS_ID"])
def test_a_model_on_each_pin(gpus: list[nvml.Device], tmp_path: Path, order: str) -> None:
    for gpu in gpus:
        with pinned(tmp_path, [gpu.uuid], CUDA_DEVICE_ORDER=order) as remote:
            assert remote.load("count") == 1
            assert remote.load("uuids") == [bare(gpu.uuid)]
            model = remote.load("model", 1)
            assert remote.load("answer", model, [1.0, 2.0, 3.0, 4.0]) == [2.0, 4.0, 6.0, 8.0]
            (info,) = isohub.workers()
            assert info.gpus == (gpu.uuid,)


def test_numbers_are_those_of_nvidia_smi(gpus: list[nvml.Device], tmp_path: Path) -> None:
    whole = [gpu for gpu in gpus if gpu.uuid.startswith("GPU-")]
    if not whole:
        pytest.skip("all GPUs of this machine are divided by MIG, and parts have no numbers")
    for gpu in whole:
        with pinned(tmp_path, [gpu.index]) as remote:
            assert remote.load("uuids") == [bare(gpu.uuid)]


def test_several_are_seen_in_the_order_in_which_they_are_named(
    gpus: list[nvml.Device], tmp_path: Path
) -> None:
    whole = [gpu.uuid for gpu in gpus if gpu.uuid.startswith("GPU-")]
    if len(whole) < 2:
        pytest.skip("this machine has no two GPUs")
    with pinned(tmp_path, whole[:2]) as one, pinned(tmp_path, whole[1::-1]) as other:
        assert one.load("uuids") == [bare(uuid) for uuid in whole[:2]]
        assert other.load("uuids") == [bare(uuid) for uuid in whole[1::-1]]
        assert other.load("answer", other.load("model", 1, 1), [1.0, 0.0, 0.0, 0.0]) == [2.0, 0.0, 0.0, 0.0]


def test_none_are_seen(tmp_path: Path) -> None:
    with pinned(tmp_path, []) as remote:
        assert remote.load("count") == 0


def test_the_least_used_is_one_of_them(gpus: list[nvml.Device], tmp_path: Path) -> None:
    with pinned(tmp_path, "auto") as remote:
        (seen,) = remote.load("uuids")
        assert seen in [bare(gpu.uuid) for gpu in gpus]


def test_a_limit_of_memory_leaves_cuda_alone(gpus: list[nvml.Device], tmp_path: Path) -> None:
    """It reserves far more addresses than it uses memory."""
    with pinned(tmp_path, [gpus[0].uuid], limits=Limits(memory=8192 * MIB)) as remote:
        model = remote.load("model", SIZE)
        assert remote.load("answer", model, [1.0, 2.0, 3.0, 4.0]) == [2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_worker_that_ends_gives_its_memory_back(gpus: list[nvml.Device], tmp_path: Path, end: str) -> None:
    uuid = gpus[0].uuid
    with pinned(tmp_path, [uuid]) as remote:
        before = used(uuid)
        model = remote.load("model", SIZE)
        peak = used(uuid)
        assert peak >= before + SIZE * MIB
        (info,) = isohub.workers()
        # In a container the driver may count processes otherwise, and then nobody knows.
        assert info.gpu_memory is None or info.gpu_memory >= SIZE * MIB
        if end == "close":
            remote.worker.close()
        else:
            os.kill(remote.worker.pid, signal.SIGKILL)
        until(lambda: not exists(remote.worker.pid))
        until(lambda: used(uuid) <= peak - SIZE * MIB, PATIENCE)
        assert remote.worker.pid not in nvml.memory_of_processes()
        assert isohub.workers() == []
        del model
