"""Tensors of torch there and back. The host that runs the tests may have no torch, so this file is run by
tests/integration/test_worker_codec.py in an environment that has, with nothing on the path but ``isohub_worker``.
"""

from __future__ import annotations

import sys
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isohub_worker.codec import CannotEncode, Decoder, Encoder
from isohub_worker.dtypes import TORCH_DTYPES
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.records import Record
from isohub_worker.small_tensors import read_small, small_tensor
from isohub_worker.tensors import NUMPY, TORCH, TensorArgument

many = settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
ENCODER = Encoder(lambda value: None)
DECODER = Decoder(lambda code, payload: None, place=True)
DTYPES = [getattr(torch, name) for name in sorted(TORCH_DTYPES) if hasattr(torch, name)]

pytestmark = pytest.mark.filterwarnings(
    "ignore:ComplexHalf support is experimental", "ignore:torch.quantize_per_tensor"
)


def sent(frames: list[Any], shift: int = 0) -> list[Any]:
    """The frames as they arrive: the same bytes in other memory of the receiver's own, `shift` bytes off any boundary."""
    arrived = []
    for frame in frames:
        memory = np.zeros(len(frame) + 128, np.uint8)
        start = -memory.ctypes.data % 64 + shift
        memory[start : start + len(frame)] = np.frombuffer(frame, np.uint8)
        arrived.append(memory.data[start : start + len(frame)])
    return arrived


def there_and_back(value: Any, shift: int = 0) -> Any:
    return DECODER.decode(sent(ENCODER.encode(value), shift))


def raw(tensor: Any) -> Any:
    """The bytes of a tensor, in the order of its items."""
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).tolist() if tensor.dtype != torch.bool else flat.tolist()


def assert_same(back: Any, tensor: Any) -> None:
    assert type(back) is torch.Tensor
    assert (back.dtype, back.shape, back.device) == (tensor.dtype, tensor.shape, tensor.device)
    assert raw(back) == raw(tensor)
    assert not back.requires_grad


def make(dtype: Any, shape: Any) -> Any:
    size = torch.zeros((), dtype=dtype).element_size()
    count = int(np.prod(shape, dtype=int))
    data = torch.arange(count * size, dtype=torch.uint8) % (2 if dtype == torch.bool else 251)
    return data.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


shapes = st.lists(st.integers(0, 5), max_size=4)


@many
@given(st.sampled_from(DTYPES), shapes, st.integers(0, 63), st.data())
def test_every_tensor_is_the_same_there_and_back(dtype: Any, shape: Any, shift: int, data: Any) -> None:
    tensor = make(dtype, shape)
    assert_same(there_and_back(tensor, shift), tensor)
    dense = tensor.permute(data.draw(st.permutations(range(tensor.dim()))))
    back = there_and_back(dense, shift)
    assert_same(back, dense)
    if tensor.numel():
        assert back.stride() == dense.stride()
    for at, size in enumerate(tensor.shape):
        if size > 1:
            start, step = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, 2))
            view = tensor[(slice(None),) * at + (slice(start, None, step),)]
            assert_same(there_and_back(view, shift), view)


def test_every_dtype_of_torch_is_known_or_refused() -> None:
    for name, dtype in sorted(vars(torch).items()):
        if isinstance(dtype, torch.dtype) and name not in TORCH_DTYPES and str(dtype) == "torch." + name:
            with pytest.raises((CannotEncode, RuntimeError, NotImplementedError)):
                ENCODER.encode(torch.empty((), dtype=dtype))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(()),
        torch.zeros(1).expand(5, 7),
        torch.ones(2, 3, requires_grad=True),
        torch.nn.Parameter(torch.ones(3)),
        torch.ones(3, requires_grad=True) * 2,
        torch.complex(torch.ones(2), torch.ones(2)).conj(),
        torch.complex(torch.ones(2), torch.ones(2)).conj().imag,
        torch.arange(6).reshape(2, 3).T,
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ],
    ids=lambda tensor: f"{type(tensor).__name__}-{tuple(tensor.shape)}",
)
def test_odd_tensors_are_the_same_there_and_back(tensor: Any) -> None:
    back = there_and_back({"in": [tensor]})["in"][0]
    assert_same(back, tensor.detach().resolve_conj().resolve_neg())
    if not tensor.is_neg():
        assert back.stride() == tensor.stride()


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: torch.ones(2, 2).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        lambda: torch.ones(2, device="meta"),
        lambda: torch.nn.Linear(1, 1),
        lambda: torch.zeros,
        lambda: torch.Generator(),
    ],
    ids="sparse quantized meta module function generator".split(),
)
def test_what_is_more_than_its_bytes_has_no_form(make_value: Any) -> None:
    with pytest.raises(CannotEncode):
        ENCODER.encode([make_value()])


# ---- memory


@pytest.mark.parametrize("shift", [0, 1, 4, 8])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.complex128])
def test_tensors_that_share_memory_share_it_there(dtype: Any, shift: int) -> None:
    whole = torch.arange(60).to(dtype).reshape(3, 4, 5)
    parts = [
        whole,
        whole[2],
        whole[:, ::2, 1:],
        whole.transpose(0, 2),
        whole.view(torch.uint8),
        whole.detach(),
    ]
    frames = ENCODER.encode(parts)
    assert len(frames) == 3, "one buffer for all of them"
    back = DECODER.decode(sent(frames, shift))
    for part, original in zip(back, parts):  # noqa: B905 - there is no strict= in Python 3.7
        assert part.stride() == original.stride()
    back[0].zero_()
    assert not any(part.any() for part in back)
    assert whole.any()


def test_a_few_rows_of_a_large_tensor_travel_alone() -> None:
    large = torch.zeros(10000, 10000)
    assert len(ENCODER.encode(large[:, 3])[2]) == 40000
    assert len(ENCODER.encode([large[0], large[1]])[2]) == 40000


def test_a_tensor_and_an_array_may_share_memory() -> None:
    array = np.zeros(4, np.float32)
    back = there_and_back((array, torch.from_numpy(array)))
    assert [type(item) for item in back] == [np.ndarray, torch.Tensor]
    back[0][1] = 5
    assert back[1].tolist() == [0, 5, 0, 0]


# ---- small ones, which are leaves


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 3), (2, 3), (1, 1, 1, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_small_tensor_is_a_leaf_and_the_same_there(dtype: Any, shape: Any) -> None:
    tensor = torch.zeros(shape, dtype=dtype)
    if tensor.numel():
        tensor.view(-1).view(torch.uint8)[:1] = 1
    for _ in range(2):  # its head is new, then known
        leaf = small_tensor(tensor)
        assert leaf is not None
        back = read_small(leaf)
        assert_same(back, tensor)
        assert back.stride() == tensor.stride()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(16 * 1024 + 1, dtype=torch.uint8),
        torch.zeros(2, 3).t(),
        torch.zeros(4, 4)[:, 1:],
        torch.zeros(1).expand(3),
        torch.zeros(2, device="meta"),
        torch.ones(2, dtype=torch.complex64).conj(),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.device}",
)
def test_what_is_large_or_odd_is_no_leaf(tensor: Any) -> None:
    assert small_tensor(tensor) is None


def test_two_small_views_of_one_memory_arrive_as_that() -> None:
    whole = torch.arange(4.0)
    parts = ENCODER.encode([whole, whole[1:], whole.numpy(), torch.zeros(2)])
    assert len(parts) > 1
    first, second, array, other = DECODER.decode(sent(parts))
    first[1] = -7
    assert (second[0], array[1]) == (-7, -7)
    assert other.tolist() == [0, 0]
    assert len(ENCODER.encode([whole[:2], whole[2:]])) == 1, "neighbours share nothing"


def test_the_memory_of_a_leaf_is_the_receivers() -> None:
    tensor = torch.arange(4.0)
    back = there_and_back([tensor])[0]
    back += 1
    assert tensor.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("float32", [2], 7),
        ("float32", [2], 9),
        ("float32", [2**62], 8),
        ("float32", [0, 2**62, 2**62], 0),
        ("float32", [-1], 4),
        ("float31", [1], 4),
        ("onnx", [1], 4),
        ("qint8", [1], 1),
        (["float32"], [1], 4),
    ],
    ids=str,
)
def test_a_leaf_that_makes_no_sense_is_refused(dtype: Any, shape: Any, size: int) -> None:
    head = msgpack.packb([TORCH, dtype, shape])
    leaf = (len(head) + 2).to_bytes(2, "little") + head + bytes(size)
    with pytest.raises(WireError):
        DECODER.decode([msgpack.packb(msgpack.ExtType(51, leaf))])


def test_an_error_does_not_show_a_tensor() -> None:
    """One that is short on the wire may have a trillion items."""
    body = [msgpack.ExtType(7, b""), msgpack.ExtType(48, b"\0\0\0\0"), 1, 1, b"", None]
    table = [[[TORCH, "float32", [2**40], [0], 0, 0, None]], [None]]
    with pytest.raises(WireError, match="wrong types"):
        DECODER.decode([msgpack.packb(body), msgpack.packb(table), bytearray(4)])


# ---- what else torch has


def test_sizes_dtypes_and_devices_are_the_same_there_and_back() -> None:
    value = [
        torch.Size([2, 3]),
        torch.Size([]),
        torch.float32,
        torch.bfloat16,
        torch.device("cuda", 3),
        torch.device("meta"),
    ]
    back = there_and_back(value)
    assert back == value
    assert list(map(type, back)) == list(map(type, value))


def test_named_results_arrive_as_records() -> None:
    back = there_and_back(torch.tensor([[1.0, 3.0], [4.0, 2.0]]).max(1))
    assert type(back) is Record
    assert back["values"].tolist() == [3.0, 4.0]
    assert back["indices"].tolist() == [1, 0]


def test_a_set_of_tensors_is_a_set_of_tensors() -> None:
    (back,) = there_and_back({torch.ones(2)})
    assert back.tolist() == [1.0, 1.0]


def test_an_argument_for_a_tensor_arrives_as_one_where_it_is_wanted() -> None:
    assert_same(there_and_back(TensorArgument([1.0, 2.0])), torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert_same(there_and_back(TensorArgument(np.ones((2, 2), ">f4"))), torch.ones(2, 2))
    assert there_and_back(TensorArgument(np.ones(3), "meta")).device.type == "meta"
    assert there_and_back(TensorArgument(torch.ones(3), "meta")).device.type == "meta"


# ---- what cannot be had here


def message(*row: Any) -> list[Any]:
    table = [[list(row)], [None]]
    return [msgpack.packb([17, msgpack.ExtType(48, b"\0\0\0\0")]), msgpack.packb(table), bytearray(16)]


@pytest.mark.parametrize(
    "frames",
    [
        message(TORCH, "float32", [1], [1], 0, 0, "cuda:99"),
        message(TORCH, "float32", [1], [1], 0, 0, "no such device"),
        [msgpack.packb([17, msgpack.ExtType(49, b"torch.float1024")])],
        [msgpack.packb([17, msgpack.ExtType(49, b"torch.onnx")])],
        [msgpack.packb([17, msgpack.ExtType(50, b"no such device")])],
    ],
    ids=["cuda:99", "device of a tensor", "dtype", "module", "device"],
)
def test_what_this_torch_lacks_is_unavailable_and_no_more(frames: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(Unavailable) as caught:
        DECODER.decode(frames)
    assert caught.value.message == [17, None]
    assert "torch.onnx" not in set(sys.modules) - before


@pytest.mark.parametrize("dtype", ["float31", "onnx", "qint8", "", "<f4", ["float32"]])
def test_an_unknown_dtype_is_refused(dtype: Any) -> None:
    with pytest.raises(WireError):
        DECODER.decode(message(TORCH, dtype, [1], [1], 0, 0, None))


numbers = st.integers(-1, 20) | st.integers(0, 2**63)


@many
@given(
    st.sampled_from([TORCH, NUMPY]),
    st.sampled_from(sorted(TORCH_DTYPES)),
    st.lists(numbers, max_size=3),
    st.lists(numbers, max_size=3),
    numbers,
    st.integers(-1, 2),
)
def test_any_row_is_taken_or_refused(
    framework: int, dtype: str, shape: Any, strides: Any, offset: int, buffer: int
) -> None:
    try:
        _, back = DECODER.decode(message(framework, dtype, shape, strides, offset, buffer, None))
    except (WireError, Unavailable):
        return
    # Each item of it lies in the memory that came with it.
    assert 0 in back.shape or back[(-1,) * len(back.shape)] is not None
