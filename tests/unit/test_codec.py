"""Values there and back, and what is made of nonsense.

Workers run these tests too: under other interpreters, with nothing on the path but ``isohub_worker``. See
tests/integration/test_worker_codec.py.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import struct
import sys
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isohub_worker.codec import CannotEncode, Decoder, Encoder
from isohub_worker.forms import OBJECT
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.records import Record

many = settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


class Thing:
    """What has no value form."""


class Reference:
    """What a reference to one becomes."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


ENCODER = Encoder(lambda value: msgpack.ExtType(OBJECT, b"ref") if isinstance(value, Thing) else None)
DECODER = Decoder(lambda code, payload: Reference(payload), place=False)


def sent(frames: list[Any]) -> list[Any]:
    """The frames as they arrive: the same bytes in other memory, which belongs to the receiver."""
    return [memoryview(bytearray(frame)) for frame in frames]


def there_and_back(value: Any) -> Any:
    return DECODER.decode(sent(ENCODER.encode(value)))


def exactly(value: Any) -> Any:
    """What tells two values apart that are equal without being the same: 1 and True, 0.0 and -0.0, [] and ()."""
    name = type(value).__name__
    if isinstance(value, (dict, collections.OrderedDict)):
        return name, [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return name, sorted(map(repr, map(exactly, value)))
    if isinstance(value, (list, tuple)):
        return name, list(map(exactly, value))
    if isinstance(value, (slice, range)):
        return name, exactly((value.start, value.stop, value.step))
    if isinstance(value, float):
        return name, "nan" if value != value else struct.pack("<d", value)
    if isinstance(value, complex):
        return name, exactly(value.real), exactly(value.imag)
    if isinstance(value, (datetime.datetime, datetime.time)):
        return name, value.isoformat(), value.fold
    if isinstance(value, decimal.Decimal):
        return name, value.as_tuple()
    return name, value


# ---- every kind of value, nested in every kind of container

zones = st.builds(
    lambda seconds: datetime.timezone(datetime.timedelta(seconds=seconds)), st.integers(-86399, 86399)
)
texts = st.text() | st.lists(st.integers(0, sys.maxunicode), max_size=5).map(
    lambda points: "".join(map(chr, points))
)
whole = st.integers() | st.integers(-(2**70), 2**70) | st.integers(2**500, 2**501)
bound = st.none() | whole
path_parts = st.lists(st.text(st.characters(blacklist_characters="\0/\\", blacklist_categories=["Cs"])))
hashable_leaves = st.one_of(
    st.sampled_from([None, True, False, ..., NotImplemented]),
    whole,
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    texts,
    st.binary(),
    st.datetimes() | st.datetimes(timezones=zones),
    st.dates(),
    st.times() | st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.builds(range, whole, whole, whole.filter(bool)),
    path_parts.map(lambda parts: pathlib.Path(*parts)),
    path_parts.map(lambda parts: pathlib.PureWindowsPath(*parts)),
)
hashables = st.recursive(
    hashable_leaves,
    lambda items: st.lists(items, max_size=4).map(tuple) | st.frozensets(items, max_size=4),
    max_leaves=8,
)
leaves = hashables | st.one_of(
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.builds(lambda when: when.replace(fold=1), st.datetimes() | st.times()),
    st.builds(slice, bound, bound, bound),
)
values = st.recursive(
    leaves,
    lambda items: st.one_of(
        st.lists(items, max_size=4),
        st.lists(items, max_size=4).map(tuple),
        st.sets(hashables, max_size=4),
        st.dictionaries(hashables, items, max_size=4),
        st.dictionaries(hashables, items, max_size=4).map(collections.OrderedDict),
    ),
    max_leaves=12,
)


@many
@given(values)
def test_every_value_is_the_same_there_and_back(value: Any) -> None:
    assert exactly(there_and_back(value)) == exactly(value)


@many
@given(values)
def test_what_came_back_can_be_sent_again(value: Any) -> None:
    assert exactly(there_and_back(there_and_back(value))) == exactly(value)


@pytest.mark.parametrize("depth", [1, 100, 250])
def test_containers_may_be_nested_deeply(depth: int) -> None:
    value: Any = ()
    for _ in range(depth):
        value = ([value],)
    assert there_and_back(value) == value


# ---- values that arrive as something else, or not at all


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    BIG = 2**80
    NONE = None


class Number(enum.IntEnum):
    ONE = 1
    BIG = 2**100


class Text(str):
    def __str__(self) -> str:
        return "not what it holds"


class Bytes(bytes):
    pass


class Integer(int):
    pass


class Real(float):
    pass


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Colour.RED, "red"),
        (Colour.PAIR, (1, 2)),
        (Colour.BIG, 2**80),
        (Colour.NONE, None),
        ({Colour.RED: Colour.PAIR}, {"red": (1, 2)}),
        (Number.ONE, 1),
        (Number.BIG, 2**100),
        (Text("text"), "text"),
        (Bytes(b"bytes"), b"bytes"),
        (Integer(5), 5),
        (Integer(2**64), 2**64),
        (Real(0.5), 0.5),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, {1: [2]}), {1: [2]}),
    ],
)
def test_special_kinds_arrive_as_plain_ones(value: Any, arrives: Any) -> None:
    assert exactly(there_and_back(value)) == exactly(arrives)


class Pair(NamedTuple):
    first: Any
    count: Any


@dataclasses.dataclass
class Output:
    loss: Any
    items: Any = ()
    unset: Any = dataclasses.field(init=False)


class Mapping(collections.OrderedDict):  # type: ignore[type-arg]
    """Such as the outputs of transformers."""


@pytest.mark.parametrize(
    ("value", "keys", "name"),
    [
        (Pair(1, [2]), ("first", "count"), "Pair"),
        (Output(0.5, items=(1,)), ("loss", "items"), "Output"),
        (Mapping(logits=1, keys=2), ("logits", "keys"), "Mapping"),
        (
            Record("m.Record", ["a", "b"], [1, (Record("m.Inner", [], []),)]),
            ("a", "b"),
            "Record",
        ),
    ],
)
def test_what_has_named_fields_arrives_as_a_record(value: Any, keys: tuple[str, ...], name: str) -> None:
    for record in (there_and_back(value), there_and_back(there_and_back(value))):
        assert type(record) is Record
        assert Record.keys(record) == keys
        assert Record.type_name(record).rpartition(".")[2] == name
    assert there_and_back({"in": [value]}) == {"in": [record]}


def test_a_struct_of_c_code_arrives_as_a_record() -> None:
    import time

    record = there_and_back(time.gmtime(0))
    assert type(record) is Record
    assert (record.tm_year, record["tm_mon"], record[2]) == (1970, 1, 1)


@pytest.mark.parametrize(
    "value",
    [
        Mapping({1: 2}),
        Mapping({"": 2}),
        Mapping({"__array_interface__": {"data": (0, False)}}),
        dataclasses.make_dataclass("Odd", ["__array_interface__"])(1),
        dataclasses.make_dataclass("Callable", ["field"], namespace={"__call__": lambda self: None})(1),
        type("SubTuple", (tuple,), {})([1]),
        type("SubList", (list,), {})([1]),
        type("SubSet", (set,), {})([1]),
        Output,
        lambda: None,
        sys,
        iter([]),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form_is_not_a_value(value: Any) -> None:
    for container in (value, [value], {"key": (value,)}, Pair(1, value)):
        with pytest.raises(CannotEncode):
            ENCODER.encode(container)


def test_an_object_that_can_be_referred_to_is_referred_to_wherever_it_lies() -> None:
    back = there_and_back([Thing(), {"key": (Thing(),)}, {Thing(), Thing()}, Pair(Thing(), 1)])
    found = [back[0], back[1]["key"][0], *back[2], back[3].first]
    assert [(type(item), item.payload) for item in found] == [(Reference, b"ref")] * 5


def test_a_container_that_contains_itself_cannot_be_sent() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CannotEncode, match="contains itself"):
        ENCODER.encode([endless])
    table: Any = {}
    table["self"] = (table,)
    with pytest.raises(CannotEncode, match="contains itself"):
        ENCODER.encode(table)


def test_an_error_of_the_values_own_comes_out_as_it_is() -> None:
    class Broken(enum.Enum):
        ONE = 1

        @property
        def value(self) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ENCODER.encode([Broken.ONE])


# ---- nonsense


@dataclasses.dataclass(eq=False)
class Node:
    """It is told from others by identity, so it is hashable whatever is in it; the record it becomes is not."""

    items: list[int]


@pytest.mark.parametrize(
    "value",
    [
        {Node([1])},
        frozenset([Node([1])]),
        {Node([1]): 1},
        collections.OrderedDict([(Node([1]), 1)]),
        {(1, Node([1])): 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_hashable_only_over_there_is_unavailable_and_no_more(value: Any) -> None:
    with pytest.raises(Unavailable, match="no hash") as caught:
        there_and_back([17, value, "the rest"])
    assert caught.value.message == [17, None, "the rest"]


def test_a_range_that_would_take_minutes_to_make_is_unavailable_and_no_more() -> None:
    assert there_and_back(range(2**60_000)) == range(2**60_000)
    # Not made here either.
    endless = [ext(6), 0, ext(32, b"\x7f" * 2_000_000), ext(32, b"\x7f" * 1_000_000)]
    with pytest.raises(Unavailable, match="65536 bits") as caught:
        DECODER.decode([packed(17, endless, "the rest")])
    assert caught.value.message == [17, None, "the rest"]


def test_an_integer_may_have_any_number_of_bits() -> None:
    assert there_and_back(2**10_000_000) == 2**10_000_000


ALLOWED = (
    *(type(None), bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict),
    *(collections.OrderedDict, slice, range, type(...), type(NotImplemented), datetime.datetime),
    *(datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, Record),
    *(type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath, Reference),
)


def kinds(value: Any) -> Any:
    """The types of a value and of all that is in it."""
    yield type(value)
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from kinds(item)


def take(frames: list[Any]) -> None:
    """Decode what a hostile peer sends: a value of the closed set comes out, or an error that says what it is."""
    before = set(sys.modules)
    try:
        value = DECODER.decode(frames)
    except (WireError, Unavailable) as error:
        str(error)
    else:
        made = {kind for kind in kinds(value) if kind not in ALLOWED}
        assert {(kind.__module__, kind.__name__) for kind in made} <= {
            ("numpy", "ndarray"),
            ("PIL.Image", "Image"),
        }
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert loaded & {"torch", "os", "subprocess", "pickle", "antigravity", "this"} == set()


@many
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_are_refused(frames: list[bytes]) -> None:
    take(frames)


extensions = st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
known_extensions = st.builds(
    msgpack.ExtType,
    st.sampled_from([*range(10), *range(32, 42), *range(48, 51), 64, 65]),
    st.binary(max_size=20) | st.sampled_from([b"...", b"NotImplemented", b"torch.os", b"p../..", b"cpu"]),
)
grams = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | extensions | known_extensions,
    lambda items: (
        st.lists(items, max_size=5)
        | st.lists(items, max_size=3).map(lambda tail: [msgpack.ExtType(len(tail), b""), *tail])
        | st.builds(
            lambda kind, tail: [msgpack.ExtType(kind, b""), *tail], st.integers(0, 9), st.lists(items)
        )
    ),
    max_leaves=10,
)


@many
@given(grams, st.none() | grams, st.lists(st.binary(max_size=64), max_size=2))
def test_well_formed_msgpack_of_any_meaning_is_taken_or_refused(body: Any, table: Any, buffers: Any) -> None:
    frames = [msgpack.packb(body)]
    if table is not None:
        frames += [msgpack.packb(table), *map(bytearray, buffers)]
    take(frames)


@st.composite
def mutilated(draw: Callable[..., Any]) -> list[bytes]:
    """A message of ours with some bytes changed, cut off, put in or repeated."""
    frames = [bytearray(frame) for frame in ENCODER.encode(draw(values))]
    for _ in range(draw(st.integers(1, 4))):
        frame = frames[draw(st.integers(0, len(frames) - 1))]
        at = draw(st.integers(0, len(frame)))
        how = draw(st.integers(0, 3))
        if how == 0 and at < len(frame):
            frame[at] = draw(st.integers(0, 255))
        elif how == 1:
            del frame[at:]
        elif how == 2:
            frame[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            frame += frame[at:]
    return list(map(bytes, frames))


@many
@given(mutilated())
def test_a_mutilated_message_is_taken_or_refused(frames: list[bytes]) -> None:
    take(frames)


def packed(*items: Any) -> bytes:
    return bytes(msgpack.packb(list(items)))


def ext(code: int, payload: bytes = b"") -> Any:
    return msgpack.ExtType(code, payload)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\xc1"],
        [b"\x93\x01"],
        [packed(1) + b"\0"],
        [b"\xdd\xff\xff\xff\xff"],
        [b"\xdf\xff\xff\xff\xff"],
        [b"\xc6\xff\xff\xff\xff"],
        [b"\x91" * 5000],
        [packed(ext(127, b""))],
        [packed([1, ext(0)])],
        [packed([ext(0), ext(0)])],
        [msgpack.packb({"key": ext(1)})],
        [msgpack.packb(ext(0))],
        [packed([ext(4)])],
        [packed([ext(4), "name", ["field"], []])],
        [packed([ext(4), "name", ["same", "same"], [1, 2]])],
        [packed([ext(4), "name", ["__class__"], [1]])],
        [packed([ext(4), 5, [], []])],
        [packed([ext(4), "name", "ab", [1, 2]])],
        [packed([ext(4), "name", {"a": 1}, [1]])],
        [packed([ext(4), "name", ["a"], "b"])],
        [packed([ext(3), {"ab": 1}])],
        [packed([ext(3), "ab"])],
        [packed([ext(4), "name", [5], [1]])],
        [packed([ext(6), 1, 2, 0])],
        [packed([ext(6), 1, 2, "3"])],
        [packed([ext(5)])],
        [packed([ext(9), [1]])],
        [packed([ext(9), {(): 1}])],
        [packed([ext(3), [[1]]])],
        [packed([ext(7), "RGB", 1, 1, b"\0\0", None])],
        [packed([ext(7), "RGB", 100_000, 100_000, b"", None])],
        [packed([ext(7), "RGB", -1, -1, b"\0\0\0", None])],
        [packed([ext(7), [], 1, 1, b"", None])],
        [packed([ext(7), "P", 1, 1, b"\0", [b"\0"]])],
        [packed([ext(7), "P", 1, 1, b"\0", 2**40])],
        [packed(ext(33, b"short"))],
        [packed(ext(34, b"0not a date"))],
        [packed(ext(38, b"not a number"))],
        [packed(ext(40, b"?/etc"))],
        [packed(ext(41, b"Ellipsis"))],
        [packed(ext(48, b"\0\0\0\0"))],
        [packed(ext(48, b"\0\0\0\0")), msgpack.packb([])],
        [b"\xc7\x0c\xff" + b"\0\0\0\0\x7f" + b"\xff" * 7],
    ],
    ids=lambda frames: repr(bytes(frames[0][:12])) if frames else "nothing",
)
def test_each_kind_of_nonsense_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        DECODER.decode(frames)


def test_a_short_message_cannot_ask_for_much_memory() -> None:
    import tracemalloc

    take([packed([ext(7), "L", 1, 1, b"\0", None])])  # what it needs at all is loaded by now
    tracemalloc.start()
    try:
        for frames in (
            [packed([ext(7), "RGB", 2**30, 2**30, b"\0" * 3, None])],
            [b"\xdd\x00\x00\x27\x10" * 2000],
            [packed(ext(32, b"\x7f" * 10_000))],
            [packed(ext(38, b"9e999999999"))],
        ):
            take(frames)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
