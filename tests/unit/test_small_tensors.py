"""Small arrays as leaves: which are, that they come out as they were, and what is made of nonsense. Tensors are in
``torch_tensors.py``. Workers run both; see tests/integration/test_worker_codec.py.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isohub_worker import small_tensors
from isohub_worker.codec import Decoder, Encoder
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.small_tensors import read_small, small_array
from isohub_worker.tensors import NUMPY, TORCH

many = settings(deadline=None, database=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
ENCODER = Encoder(lambda value: None)
DECODER = Decoder(lambda code, payload: None, place=False)
LARGEST = 16 * 1024

plain = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1),
    hnp.unicode_string_dtypes(min_len=1),
)


@many
@given(hnp.arrays(plain, hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))
def test_every_small_array_is_a_leaf_and_the_same_there(array: Any) -> None:
    leaf = small_array(array)
    assert leaf is not None
    for _ in range(2):  # its head is new, then known
        back = read_small(leaf)
        assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert back.flags.writeable
        assert back.flags.aligned


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(LARGEST + 1, np.uint8),
        np.zeros((4, 4))[:, 1:],
        np.asfortranarray(np.zeros((2, 3))),
        np.zeros(2, [("a", "i4")]),
        np.zeros(2).view(np.recarray),
        np.zeros((), [("a", "U0")])["a"],
        np.array([None]),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_what_is_large_or_odd_is_no_leaf(array: Any) -> None:
    assert small_array(array) is None


def test_the_largest_leaf_is_one() -> None:
    array = np.arange(LARGEST, dtype=np.uint8)
    leaf = small_array(array)
    assert leaf is not None
    assert len(ENCODER.encode([array])) == 1
    assert read_small(leaf).tobytes() == array.tobytes()


# ---- memory that is shared


@pytest.mark.parametrize("size", [4, 3000])
def test_two_views_of_one_memory_arrive_as_that(size: int) -> None:
    whole = np.arange(float(size))
    first, second, other = DECODER.decode(
        [bytes(part) for part in ENCODER.encode([whole, whole[1:], np.zeros(2)])]
    )
    first[1] = -7
    assert second[0] == -7
    assert other.tolist() == [0, 0]
    assert whole[1] == 1


def test_a_small_view_of_what_is_large_shares_its_memory() -> None:
    whole = np.arange(5000.0)
    large, small = DECODER.decode([bytes(part) for part in ENCODER.encode((whole, whole[10:12]))])
    large[10] = -7
    assert small.tolist() == [-7, 11]


def test_neighbours_are_leaves_of_their_own() -> None:
    whole = np.arange(10)
    parts = ENCODER.encode([whole[:5], whole[5:], np.zeros(0)])
    assert len(parts) == 1
    assert [array.tolist() for array in DECODER.decode(parts)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], []]


def test_what_was_referred_to_twice_over_shared_memory_is_taken_back_once() -> None:
    """A message whose small arrays share memory is packed twice, and what the first time referred to did not leave."""
    seen: list[str] = []

    def reference(value: Any) -> Any:
        seen.append("referred")
        return msgpack.ExtType(64, b"ref")

    encoder = Encoder(reference, take_back=lambda: seen.append("taken back"))
    whole = np.arange(4)
    encoder.encode([object(), whole, whole[1:]])
    assert seen == ["referred", "taken back", "referred"]
    seen.clear()
    encoder.encode([object(), whole])
    assert seen == ["referred"]


# ---- nonsense


def leaf(head: Any, items: bytes = b"", length: int | None = None) -> bytes:
    packed = head if isinstance(head, bytes) else msgpack.packb(head)
    return (len(packed) + 2 if length is None else length).to_bytes(2, "little") + packed + items


def test_the_leaf_that_the_nonsense_is_made_of_is_sound() -> None:
    assert read_small(leaf([NUMPY, "<i4", [2]], bytes(8))).tolist() == [0, 0]


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\0", b"\0\0", b"\2\0", b"\xff\xff", b"\1\0\xc0"),
        leaf([]),
        leaf(None),
        leaf([NUMPY, "<i4"]),
        leaf([NUMPY, "<i4", [2], None], bytes(8)),
        leaf([2, "<i4", [2]], bytes(8)),
        leaf([NUMPY, "<i4", [2]], bytes(7)),
        leaf([NUMPY, "<i4", [3]], bytes(8)),
        leaf([NUMPY, "<i4", [-1]], bytes(8)),
        leaf([NUMPY, "<i4", [2**62]], bytes(8)),
        leaf([NUMPY, "<i4", [2**62, 2**62]], bytes(8)),
        leaf([NUMPY, "<i4", [1] * 65], bytes(8)),
        leaf([NUMPY, "<i4", [True]], bytes(8)),
        leaf([NUMPY, "<i4", 2], bytes(8)),
        leaf([NUMPY, "<i4", {}], bytes(8)),
        leaf([NUMPY, "|O8", [1]], bytes(8)),
        leaf([NUMPY, "os", [1]], bytes(8)),
        leaf([NUMPY, None, [1]], bytes(8)),
        leaf([NUMPY, [4, ["a", "<i4", 0, []]], [1]], bytes(8)),
        leaf([NUMPY, "<U" + "0" * 100 + "1", [1]], bytes(8)),
        leaf([NUMPY, "<U999999999999999999999", [0]]),
        leaf([NUMPY, "<U0", [2**40]]),
        leaf([NUMPY, "<i4", [2]], bytes(8), length=3),
        leaf([NUMPY, "<i4", [2]], bytes(8), length=65535),
        leaf([NUMPY, "x" * 2000, [2]], bytes(8)),
        leaf([TORCH, "onnx", [1]], bytes(8)),
        leaf([TORCH, "<i4", []], b""),
        leaf(b"\xc1"),
        leaf(b"\x91" * 1000),
    ],
    ids=repr,
)
def test_a_leaf_that_makes_no_sense_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        DECODER.decode([msgpack.packb([msgpack.ExtType(51, payload)])])


numbers = st.integers(-1, 20) | st.integers(0, 2**63)
specs = st.sampled_from(
    ["<i4", "|u1", "uint8", "float32", "complex32", "bfloat16", "bool", "<S3", "|V3", "<M8[s]", "<U1"]
)


@many
@given(st.integers(0, 2), specs | st.text(max_size=5), st.lists(numbers, max_size=3), st.integers(0, 64))
def test_any_leaf_is_taken_or_refused(framework: int, spec: str, shape: list[int], size: int) -> None:
    try:
        back = DECODER.decode(
            [msgpack.packb(msgpack.ExtType(51, leaf([framework, spec, shape], bytes(size))))]
        )
    except (WireError, Unavailable):
        return
    assert [*back.shape] == shape
    # Each item of it lies in the memory that came with it.
    assert 0 in shape or back[(-1,) * len(shape)] is not None


def test_many_heads_are_not_remembered_for_ever() -> None:
    read_small(leaf([NUMPY, "<i4", [1]], bytes(4)))
    tracemalloc.start()
    try:
        for number in range(5000):
            read_small(leaf([NUMPY, f"|S{number + 1}", [0]]))
            with pytest.raises(WireError):
                DECODER.decode([msgpack.packb(msgpack.ExtType(51, leaf([NUMPY, "x" * 30000, [number]])))])
        assert len(small_tensors._makers) <= 1000
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
