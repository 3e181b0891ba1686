"""Arrays and images there and back. Tensors of torch are in ``torch_tensors.py``; both run under workers' interpreters as well,
with nothing on the path but ``isohub_worker``. See tests/integration/test_worker_codec.py.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isohub_worker.codec import CannotEncode, Decoder, Encoder
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.tensors import NUMPY, TORCH, TensorArgument

many = settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
ENCODER = Encoder(lambda value: None)
DECODER = Decoder(lambda code, payload: None, place=False)


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


def assert_same(back: Any, array: Any) -> None:
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


# ---- arrays

plain = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1),
    hnp.unicode_string_dtypes(min_len=1),
)
names = st.lists(st.text("abc", min_size=1), min_size=1, max_size=3, unique=True)


def structured(fields: Any) -> Any:
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, max_side=2)
    described = st.tuples(names, st.lists(st.tuples(fields, shapes), min_size=3), st.booleans())
    return described.map(
        lambda drawn: np.dtype(
            [(name, *drawn[1][at]) for at, name in enumerate(drawn[0])],
            align=drawn[2],
        )
    )


dtypes = st.recursive(plain, structured, max_leaves=5)
arrays = hnp.arrays(plain, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))


@many
@given(arrays, st.integers(0, 63))
def test_every_array_is_the_same_there_and_back(array: Any, shift: int) -> None:
    assert_same(there_and_back(array, shift), array)


@many
@given(dtypes)
def test_every_dtype_is_the_same_there_and_back(dtype: Any) -> None:
    array = np.frombuffer(bytes(6 * dtype.itemsize), dtype).reshape(2, 3)
    assert_same(there_and_back(array), array)
    assert_same(there_and_back(array[:0]), array[:0])


@many
@given(arrays, st.data())
def test_every_view_is_the_same_there_and_back(array: Any, data: Any) -> None:
    view = array[data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))]
    if isinstance(view, np.ndarray):
        view = view.transpose(data.draw(st.permutations(range(view.ndim))))
        assert_same(there_and_back(view), view)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::-2],
        np.broadcast_to(np.arange(3), (4, 3)),
        np.zeros(5).view(np.recarray),
        np.frombuffer(b"read-only", np.uint8),
        np.array("0-dim"),
        np.array(b""),
        np.zeros((3, 0, 2**20)),
        np.zeros(3, np.longdouble),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.zeros(2, np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [4, 0]})),
        np.zeros(2, np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [3], "itemsize": 100})),
        np.zeros(2, np.dtype([("a", [("b", "<M8[ns]", (2, 2)), ("c", "U3")]), ("d", "V5")])),
        np.zeros(2, np.dtype([])),
        np.zeros(2, np.dtype([("empty", "U0"), ("full", "U1")])),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_odd_arrays_are_the_same_there_and_back(array: Any) -> None:
    back = there_and_back([array])[0]
    assert_same(back, np.asarray(array))
    assert back.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc


def test_a_title_is_not_kept_but_its_field_is() -> None:
    back = there_and_back(np.ones(2, [(("A title", "a"), "i4")]))
    assert (back.dtype, back["a"].tolist()) == (np.dtype([("a", "i4")]), [1, 1])


@pytest.mark.parametrize(
    "value",
    [
        np.array([None]),
        np.zeros(1, [("a", "O")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.zeros(2, [("a", "U0")])["a"],
        *(
            [np.array(["a"], np.dtypes.StringDType())]
            if hasattr(getattr(np, "dtypes", 0), "StringDType")
            else []
        ),
        np.zeros(1, [("a", "i4")])[0],
        TensorArgument(["text"]),
        TensorArgument(np.zeros(1, "M8[s]")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_more_than_its_bytes_has_no_form(value: Any) -> None:
    with pytest.raises(CannotEncode):
        ENCODER.encode(value)


scalars = hnp.scalar_dtypes().flatmap(hnp.from_dtype)


@many
@given(scalars)
def test_every_scalar_is_the_same_there_and_back(scalar: Any) -> None:
    scalar = np.asarray(scalar)[()]
    back = there_and_back({"in": (scalar,)})["in"][0]
    assert type(back) is type(scalar)
    assert (back.dtype, back.tobytes()) == (scalar.dtype, scalar.tobytes())


@pytest.mark.parametrize("scalar", [np.str_(""), np.bytes_(b""), np.void(b"abc"), np.float64("nan")])
def test_odd_scalars_are_the_same_there_and_back(scalar: Any) -> None:
    back = there_and_back(scalar)
    assert (type(back), back.dtype, back.tobytes()) == (type(scalar), scalar.dtype, scalar.tobytes())


# ---- memory


@pytest.mark.parametrize("shift", [0, 1, 4, 8])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c16"])
def test_arrays_that_share_memory_share_it_there(dtype: str, shift: int) -> None:
    whole = np.arange(60, dtype=dtype).reshape(3, 4, 5)
    frames = ENCODER.encode({"whole": whole, "part": [whole[1:], whole[2]], "again": whole})
    assert len(frames) == 3, "one buffer for all of them"
    back = DECODER.decode(sent(frames, shift))
    back["whole"][2, 0, 0] = 99
    assert [part[-1].flat[0] for part in (back["part"][0], back["again"])] == [99, 99]
    assert back["part"][1][0, 0] == 99
    assert whole[2, 0, 0] == 40


def test_neighbours_in_memory_do_not_share_it_there() -> None:
    whole = np.arange(10)
    first, last = there_and_back((whole[:5], whole[5:]))
    first[:] = -1
    assert last.tolist() == [5, 6, 7, 8, 9]


def test_what_arrives_belongs_to_the_receiver() -> None:
    array = np.arange(5)
    back = there_and_back([array])[0]
    back += 1
    assert array.tolist() == [0, 1, 2, 3, 4]
    array[:] = 7
    assert back.tolist() == [1, 2, 3, 4, 5]


def test_what_needs_wide_boundaries_has_them_whatever_it_shares_memory_with() -> None:
    whole = np.zeros(3000, "c16")
    arrays = [whole, *(whole[at:].view("f8") for at in range(1, 50)), np.zeros(3000)]
    for shift in (0, 8):
        back = there_and_back(arrays, shift)
        assert all(array.flags.aligned for array in back)
        back[0][60] = 1
        assert [array[2 * (60 - at)] for at, array in enumerate(back[1:-1], 1)] == [1] * 49


def test_read_only_buffers_are_copied_once() -> None:
    whole = np.arange(10)
    back = DECODER.decode([bytes(frame) for frame in ENCODER.encode([whole, whole[3:]])])
    back[0][3] = -1
    assert back[1][0] == -1


# ---- images

if importlib.util.find_spec("PIL") is not None:
    from PIL import Image

    MODES = "1 L P RGB RGBA RGBX CMYK YCbCr LAB HSV LA I F I;16".split()

    @pytest.mark.parametrize("size", [(1, 1), (17, 3), (0, 0), (5, 0)])
    @pytest.mark.parametrize("mode", MODES)
    def test_every_image_is_the_same_there_and_back(mode: str, size: Any) -> None:
        image = Image.new(mode, size, 1)
        back = there_and_back([image])[0]
        assert isinstance(back, Image.Image)
        assert (back.mode, back.size, back.tobytes()) == (image.mode, image.size, image.tobytes())

    def test_a_palette_comes_along() -> None:
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        assert there_and_back(image).convert("RGB").getpixel((0, 0)) == (10, 20, 30)


# ---- nonsense


def message(*rows: Any, buffers: Any = (b"\0" * 16,)) -> list[Any]:
    """A message with the tensor of row 0, of this table."""
    blocks = [None] * len(buffers)
    return [
        msgpack.packb(msgpack.ExtType(48, b"\0\0\0\0")),
        msgpack.packb([rows, blocks]),
        *map(bytearray, buffers),
    ]


def test_the_message_that_the_nonsense_is_made_of_is_sound() -> None:
    back = DECODER.decode(message([NUMPY, "<i4", [2], [1], 4, 0, None]))
    assert back.tolist() == [0, 0]


@pytest.mark.parametrize("framework", [NUMPY, TORCH])
@pytest.mark.parametrize(
    "row",
    [
        ["int32", [5], [1], 0, 0, None],
        ["int32", [4], [1], 4, 0, None],
        ["int32", [2, 2], [2**62, 2**62], 0, 0, None],
        ["int32", [2**62], [2**62], 0, 0, None],
        ["int32", [2**63 - 1, 2**63 - 1], [0, 0], 0, 0, None],
        ["int32", [2], [-1], 8, 0, None],
        ["int32", [-2], [1], 0, 0, None],
        ["int32", [2], [1], -4, 0, None],
        ["int32", [2], [1, 1], 0, 0, None],
        ["int32", [2.0], [1], 0, 0, None],
        ["int32", [True], [1], 0, 0, None],
        ["int32", [1] * 65, [1] * 65, 0, 0, None],
        ["int32", [2], [1], 0, 1, None],
        ["int32", [2], [1], 0, -1, None],
        ["int32", [2], [1], 0, -2, None],
        ["int32", [2], [1], 0, 0, 5],
        ["object", [2], [1], 0, 0, None],
        ["O8", [2], [1], 0, 0, None],
        ["|O8", [2], [1], 0, 0, None],
        ["", [2], [1], 0, 0, None],
        [None, [2], [1], 0, 0, None],
        ["complex32", [5], [1], 0, 0, None],
        ["int32", [2], [1], 0, 0],
        [],
    ],
    ids=str,
)
def test_a_row_that_makes_no_sense_is_refused(framework: int, row: Any) -> None:
    with pytest.raises(WireError):
        DECODER.decode(message([framework, *row]))


@pytest.mark.parametrize(
    "dtype",
    [
        *("<O8", "<f3", "<x4", "<M8[fortnight]", "|S0", "<U0"),
        *([], [-1], [4, ["a"]], [4, ["a", "<i4", 0]], [4, ["a", "<i4", 0, None]], [4, "a"]),
        *([4, ["a", "<i4", 4, []]], [2, ["a", "<i4", 0, []]], [4, ["a", "<i4", -4, []]]),
        *([4, ["a", "|O8", 0, []]], [4, [5, "<i4", 0, []]], [4, ["a", "<i4", 0, [2**40]]]),
        [8, ["a", "<i4", 0, []], ["a", "<i4", 4, []]],
    ],
    ids=str,
)
def test_a_dtype_that_makes_no_sense_is_refused(dtype: Any) -> None:
    with pytest.raises(WireError):
        DECODER.decode(message([NUMPY, dtype, [2], [1], 0, 0, None]))
    with pytest.raises(WireError):
        DECODER.decode(message([NUMPY, dtype, [2**30], [1], 0, -1, None], buffers=()))


@pytest.mark.parametrize("shape", [[2**40], [2**40, 2]], ids=str)
def test_an_array_of_a_trillion_items_is_never_gone_through(shape: list[int]) -> None:
    array = msgpack.ExtType(48, b"\0\0\0\0")
    table = msgpack.packb([[[NUMPY, "|u1", shape, [0] * len(shape), 0, 0, None]], [None]])
    for kind, *fields in (
        (3, array),
        (4, "T", array, []),
        (4, "T", [], array),
        (4, array, ["a"], [1]),
        (6, 0, array),
        (7, array, 1, 1, b"", None),
        (7, "L", 1, 1, array, None),
        (7, "L", 1, 1, b"x", array),
    ):
        with pytest.raises(WireError):
            DECODER.decode([msgpack.packb([msgpack.ExtType(kind, b""), *fields]), table, bytearray(2)])


@pytest.mark.parametrize("table", [None, {}, [], [[]], [[], {}], [[], [[0, 4096]]], [[], [None]], [[], [5]]])
def test_a_table_that_makes_no_sense_is_refused(table: Any) -> None:
    with pytest.raises(WireError):
        DECODER.decode([msgpack.packb(msgpack.ExtType(48, b"\0\0\0\0")), msgpack.packb(table)])


numbers = st.integers(-1, 20) | st.integers(0, 2**63)
rows = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["uint8", "float32", "complex32", "complex128", "bfloat16", "bool", "<U1", "|V3"])
    | st.lists(st.integers(0, 20) | st.tuples(st.just("a"), st.just("<i4"), numbers, st.lists(numbers))),
    st.lists(numbers, max_size=3),
    st.lists(numbers, max_size=3),
    numbers,
    st.integers(-1, 2),
    st.none() | st.just("cuda:0"),
)


@many
@given(st.lists(rows, min_size=1, max_size=3), st.lists(st.binary(max_size=64), max_size=2))
def test_any_table_is_taken_or_refused(table: Any, buffers: Any) -> None:
    # Nothing but zeros, since not all of what four bytes can say is a character.
    try:
        back = DECODER.decode(message(*table, buffers=[bytes(len(buffer)) for buffer in buffers]))
    except (WireError, Unavailable):
        return
    # Each item of it lies in the memory that came with it.
    assert back.dtype.itemsize == 0 or 0 in back.shape or back[(0,) * back.ndim] is not None


def test_a_short_message_cannot_ask_for_much_memory() -> None:
    import tracemalloc

    there_and_back(np.zeros(1))
    tracemalloc.start()
    try:
        for row in (
            [NUMPY, "<f8", [2**40], [0], 0, 0, None],
            [NUMPY, "complex32", [2**40], [0], 0, 0, None],
            [NUMPY, "<S0", [2**30], [0], 0, -1, None],
            [NUMPY, [0], [2**40], [0], 0, -1, None],
        ):
            try:
                back = DECODER.decode(message(row))
            except WireError:
                continue
            assert back.shape == (2**40,)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
