"""Arrays and tensors through real workers: what they are there, what they are here, and what both sides can do to them."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import isohub
from isohub.environ import scrubbed_environ
from isohub.errors import UnsupportedValue
from isohub_worker.records import Record
from tests.workers import HUBCONFS, PYTHONS, WIRE, Remote, environment, start

TORCH = ("torch==2.13.0", "numpy")


@pytest.fixture(scope="module", params=PYTHONS)
def numbers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A worker that has numpy and no torch."""
    with start(
        environment(request.param, *WIRE, "numpy"), "numbers", tmp_path_factory.mktemp("numbers")
    ) as remote:
        yield remote


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A worker that has torch, of a host that has none."""
    python, folder = environment("3.11", *WIRE, *TORCH), tmp_path_factory.mktemp("networks")
    with start(python, "networks", folder, arrays_as_tensors=True) as remote:
        yield remote


@pytest.mark.parametrize("size", [10, 1_000, 1_000_000])
def test_arrays_are_copies_on_both_sides(numbers: Remote, size: int) -> None:
    array = np.arange(size, dtype=np.float64)
    back = numbers.load("change", array)
    assert not back.any()
    assert array.sum() == numbers.load("total", array) == size * (size - 1) / 2
    back += 1
    assert back.flags.writeable


@pytest.mark.parametrize("dtype", ["f4", "c16", "u1", "M8[ns]", "U5", ">i4"])
def test_arrays_of_every_kind_and_size_come_back(numbers: Remote, dtype: str) -> None:
    for size in (0, 1, 5, 100, 3_000, 100_000):
        array = np.zeros(size, dtype)
        back = numbers.load("same", [array, array[1:]])
        assert [(item.dtype, item.shape) for item in back] == [
            (array.dtype, array.shape),
            (array.dtype, array[1:].shape),
        ]
        if size > 1:
            back[0][1:] = 1
            assert (back[1] == back[0][1:]).all(), "they share memory here as they do over there"


def test_views_that_come_back_share_memory(numbers: Remote) -> None:
    whole, part = numbers.load("views")
    whole[5] = 77
    assert part[2] == 77


def test_arrays_stay_arrays_to_functions(numbers: Remote) -> None:
    assert numbers.load("looks", np.ones(2, np.float32)) == ("numpy.ndarray", "float32")
    assert numbers.load("looks", np.float32(1)) == ("numpy.float32", "float32")
    assert numbers.load("looks", np.str_("a")) == ("numpy.str_", "<U1")


def test_an_array_for_a_worker_without_numpy_is_refused_there_and_no_more(tmp_path: Path) -> None:
    with start(environment(PYTHONS[-1], *WIRE), "objects", tmp_path) as remote:
        with pytest.raises(UnsupportedValue, match="no numpy to hold it"):
            remote.load("same", np.ones(3))
        assert remote.load("same", 1) == ((1,), {})


def test_without_torch_tensors_arrive_as_arrays(networks: Remote) -> None:
    net = networks.load("net")
    assert net.state_dict()["weight"].tolist() == [2.0, 2.0, 2.0]
    assert type(net.weight) is np.ndarray
    whole, part, square = networks.load("views")
    whole[5] = 77
    assert (part[3], square[1, 2]) == (77, 77)


def test_arrays_become_tensors_for_modules_and_only_for_them(networks: Remote) -> None:
    net, array = networks.load("net"), np.ones(3, np.float32)
    assert net(array).tolist() == [2.0, 2.0, 2.0]
    assert net.forward(array).tolist() == [2.0, 2.0, 2.0]
    bound = networks.load("same", net.forward)
    assert bound(array).tolist() == [2.0, 2.0, 2.0]
    assert net.looks(array, [array], key=array) == ["Tensor", "list", "Tensor"]
    assert net.looks(np.array(["text"]), np.float32(1)) == ["ndarray", "float32"]
    assert networks.load("looks", array) == "ndarray"
    assert networks.load("looks", isohub.as_tensor(array)) == "Tensor"


def test_a_device_that_is_not_there_costs_its_call_and_no_more(networks: Remote) -> None:
    with pytest.raises(UnsupportedValue, match="cannot be put on 'cuda:99'"):
        networks.load("looks", isohub.as_tensor(np.ones(3), device="cuda:99"))
    assert networks.load("looks", 1) == "int"


def test_named_results_of_torch_are_records(networks: Remote) -> None:
    values, indices = result = networks.load("largest", np.array([[1.0, 3.0], [4.0, 2.0]]))
    assert type(result) is Record
    assert (result.indices is indices, values.tolist(), indices.tolist()) == (True, [3.0, 4.0], [1, 0])


WITH_TORCH = """
    import sys, torch
    from pathlib import Path
    from isohub.environ import scrubbed_environ
    from isohub.supervise.worker import Worker

    python, hubconf, logs = map(Path, sys.argv[1:])
    worker = Worker(python, name="test/torch", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)

    def load(name, *args):
        return worker.channel.call("load", None, (name, *args))

    net, tensor = load("net"), torch.ones(3)
    assert torch.equal(net(tensor), torch.full((3,), 2.0)) and type(net(tensor)) is torch.Tensor
    assert not net(tensor).requires_grad and not net.weight.requires_grad
    whole, part, square = load("views")
    whole[5] = 77
    assert part[3] == 77 and square[1, 2] == 77 and square.stride() == (3, 1)
    assert load("is_float", torch.float32)
    assert load("same", torch.device("cpu")) == torch.device("cpu")
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool):
        value = torch.ones(4).to(dtype)
        assert load("same", value).dtype == dtype and load("same", [value.T])[0].shape == (4,)

    modes = lambda: [load("grad_mode"), net.grad_mode(), *load("grad_modes", 3)]
    assert set(modes()) == {(True, False)}
    with torch.no_grad():
        assert set(modes()) == {(False, False)}
        stream = iter(load("grad_modes", 3))
        with torch.enable_grad():
            assert set(modes()) == {(True, False)}
    assert set(stream) == {(False, False)}, "a stream keeps the mode in which it was opened"
    with torch.inference_mode():
        assert set(modes()) == {(False, True)}
    assert set(modes()) == {(True, False)}
    worker.close()
    print("as it should be")
"""


def test_with_torch_on_both_sides(tmp_path: Path) -> None:
    host = environment("3.11", *WIRE, *TORCH, "httpx", "rich", "platformdirs", "packaging", "filelock")
    worker = environment("3.11", *WIRE, *TORCH)
    root = Path(isohub.__file__).parents[1]
    done = subprocess.run(
        [host, "-c", textwrap.dedent(WITH_TORCH), str(worker), str(HUBCONFS / "networks"), str(tmp_path)],
        env={**scrubbed_environ(), "PYTHONPATH": f"{root}:{root / 'workers'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "as it should be"), done.stderr
