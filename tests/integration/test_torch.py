"""Tensors, as a program without torch sees them and as one with torch does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import virtualenv

import isohub
from isohub.config import Settings
from isohub.environ import scrubbed_environ
from isohub.envs.buildlog import BuildLog
from isohub.envs.uv import load_uv
from isohub.supervise.limits import Limits
from tests.repositories import TORCH, served
from tests.servers import GitHubServer
from tests.workers import start

ROOT = Path(__file__).parents[2]
TORCH_VERSION = "torch==2.13.0"


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubServer]:
    with served(tmp_path_factory.mktemp("torch")) as server:
        yield server


@pytest.fixture(scope="module")
def hub(github: GitHubServer) -> Iterator[isohub.Hub]:
    with isohub.Hub(constraints=[TORCH_VERSION]) as hub:
        hub.environment(TORCH, trust_repo=True)
        yield hub


def test_without_torch_tensors_are_arrays(hub: isohub.Hub) -> None:
    tensors = hub.load(TORCH, "tensors")
    assert {type(value) for value in tensors.values()} == {np.ndarray}
    assert tensors["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["plain"].dtype == np.int64
    assert tensors["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert (tensors["scalar"].shape, float(tensors["scalar"])) == ((), 1.5)
    assert tensors["empty"].shape == (0, 4)
    assert (tensors["bfloat16"].dtype.name, tensors["bfloat16"].tolist()) == ("bfloat16", [1.0, -2.5])
    assert tensors["bool"].tolist() == [True, False]
    assert tensors["complex"].tolist() == [1 + 2j]


def test_without_torch_arrays_are_tensors_to_a_module(hub: isohub.Hub) -> None:
    layer = hub.load(TORCH, "linear")
    assert layer.eval() is layer
    assert layer(np.ones((2, 3), np.float32)).tolist() == [[3.0] * 3] * 2
    assert layer.forward(np.zeros(3, np.float32)).tolist() == [1.0] * 3
    assert layer.state_dict()["weight"].tolist() == (2 * np.eye(3)).tolist()
    # A function gets what it was given, unless it is said to be a tensor.
    array = np.ones(2, np.float32)
    assert hub.load(TORCH, "looks", array) == ("numpy.ndarray", "float32")
    assert hub.load(TORCH, "looks", isohub.as_tensor(array)) == ("torch.Tensor", "torch.float32")


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_workers_with_torch_are_forks(hub: isohub.Hub) -> None:
    large = np.ones((300, 300), np.float32)
    with isohub.Hub(constraints=[TORCH_VERSION]) as one, isohub.Hub(constraints=[TORCH_VERSION]) as other:
        parents = set()
        for either in (one, other):
            layer = either.load(TORCH, "linear")
            assert layer(np.ones((2, 3), np.float32)).tolist() == [[3.0] * 3] * 2
            product = either.load(TORCH, "multiply", isohub.as_tensor(large), isohub.as_tensor(large))
            assert float(product.sum()) == 300.0**3, "its threads begin anew"
            parents.add(either.load(TORCH, "parent"))
        assert len(parents) == 1
        assert os.getpid() not in parents


def test_random_numbers_of_forks_are_those_of_separate_processes(hub: isohub.Hub) -> None:
    def numbers(**options: Any) -> tuple[Any, Any]:
        with isohub.Hub(constraints=[TORCH_VERSION], **options) as other:
            other.load(TORCH, "parent")
            with isohub.Hub(constraints=[TORCH_VERSION], **options) as fork:
                torch_numbers, numpy_numbers = fork.load(TORCH, "random_numbers")
                its_torch_numbers, its_numpy_numbers = other.load(TORCH, "random_numbers")
                assert numpy_numbers != its_numpy_numbers
                return torch_numbers.tolist(), its_torch_numbers.tolist()

    one, other = numbers()
    assert one != other
    one, other = numbers(env={"SEED": "1"})
    assert one == other, "the hubconf has seeded torch"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_torch_keeps_to_the_limits_of_its_worker(hub: isohub.Hub, tmp_path: Path) -> None:
    limits = Limits(memory=1 << 30, cpu_threads=1)
    environ = scrubbed_environ(limits.variables())
    python = hub.environment(TORCH).python
    options: dict[str, Any] = {"limits": limits, "environ": environ, "shared_memory": 1 << 30}
    with start(python, "hungry", tmp_path, **options) as remote:
        assert remote.load("torch_threads") == 1
        assert remote.load("take_tensor", 100 << 20) == 100 << 20
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            remote.load("take_tensor", 1 << 30)
        assert remote.load("take_tensor", 100 << 20) == 100 << 20


def test_torch_that_a_hubconf_gave_more_threads_is_told_again(hub: isohub.Hub, tmp_path: Path) -> None:
    python = hub.environment(TORCH).python
    environ = scrubbed_environ({"THREADS": "3"})
    with start(python, "threads", tmp_path, environ=environ, limits=Limits(cpu_threads=2)) as remote:
        assert remote.load("count") == 2
    with start(python, "threads", tmp_path, environ=environ, limits=Limits(cpu_threads=5)) as remote:
        assert remote.load("count") == 3, "fewer stay"


WITH_TORCH = """
import pathlib, sys, torch, isohub
assert pathlib.Path(isohub.__file__).is_relative_to(sys.prefix), isohub.__file__
repository = "somebody/nets"
with isohub.Hub(constraints=["torch==2.13.0"]) as hub:
    tensors = hub.load(repository, "tensors", trust_repo=True)
    for name, tensor in tensors.items():
        assert type(tensor) is torch.Tensor, name
        back = hub.load(repository, "same", tensor)
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(back, tensor), name
        assert hub.load(repository, "looks", tensor) == ("torch.Tensor", str(tensor.dtype)), name
    assert tensors["bfloat16"].dtype is torch.bfloat16
    assert torch.equal(tensors["transposed"], tensors["plain"].T)

    layer = hub.load(repository, "linear")
    assert layer.eval() is layer
    answer = layer(torch.ones(2, 3))
    assert torch.equal(answer, torch.full((2, 3), 3.0)) and not answer.requires_grad
    weight = layer.state_dict()["weight"]
    weight.zero_()
    assert torch.equal(layer(torch.ones(3)), torch.full((3,), 3.0)), "what was received is a copy"

    values = [torch.Size([2, 3]), torch.float16, torch.device("cpu")]
    assert hub.load(repository, "same", values) == values
    assert [type(value) for value in hub.load(repository, "same", values)] == [type(value) for value in values]

    assert hub.load(repository, "grad_mode") == (True, False)
    with torch.no_grad():
        assert hub.load(repository, "grad_mode") == (False, False)
    with torch.inference_mode():
        assert hub.load(repository, "grad_mode") == (False, True)
print("as it should be")
"""


def test_with_torch_tensors_are_tensors(hub: isohub.Hub, tmp_path: Path) -> None:
    virtualenv.cli_run(["--no-seed", "--no-download", str(tmp_path / "env")])
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    settings = Settings(home=tmp_path / "home")
    log = BuildLog(tmp_path / "install.log")
    # The same uv, with the same settings, as for the repositories' environments: what it installs is in its cache.
    command: list[str | Path] = ["pip", "install", "--python", python, TORCH_VERSION, ROOT]
    answer = load_uv(settings).run(command, log=log, limit=600)
    assert answer.returncode == 0, answer.output
    done = subprocess.run(
        [python, "-I", "-c", WITH_TORCH],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "as it should be"), done.stderr
