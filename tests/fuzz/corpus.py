"""Sound messages of every kind that either side sends, as trees that a mutator can take apart.

A tree is what msgpack makes of a message when it knows nothing of ours: scalars, tuples, dicts, and extensions with payloads.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import importlib.util
import os
import pathlib
import uuid
from typing import Any, NamedTuple

import msgpack
from msgpack import ExtType

from isohub_worker import messages
from isohub_worker.arena import SMALLEST, Inlet, Outlet
from isohub_worker.codec import Decoder, Encoder
from isohub_worker.faults import fault_of
from isohub_worker.forms import METHOD, NUMBER, OBJECT
from isohub_worker.objects import Kept, ObjectTable

__all__ = ["BLOCKS", "Sample", "Thing", "arena", "from_host", "from_worker", "tree"]


class Sample(NamedTuple):
    """A message.

    Attributes:
        body: its tree.
        table: the tree of its table and blocks; None if it has none.
        buffers: its other parts.
    """

    body: Any
    table: Any
    buffers: tuple[bytes, ...]


class Thing:
    """Lives in a worker; nothing that it does matters to anybody."""

    attribute = 1

    def method(self, *args: Any) -> int:
        return len(args)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: object) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter([1, 2])

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        return len(args)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


class Pair(NamedTuple):
    first: int
    other: list[int]


def tree(packed: Any) -> Any:
    """What msgpack makes of it."""
    return msgpack.unpackb(packed, use_list=False, strict_map_key=False, unicode_errors="surrogatepass")


def _sample(parts: list[Any]) -> Sample:
    table = tree(parts[1]) if len(parts) > 1 else None
    return Sample(tree(parts[0]), table, tuple(bytes(part) for part in parts[2:]))


def _values() -> list[Any]:
    """Values of every kind that there is a form for, and for which this process has the package."""
    zone = datetime.timezone(datetime.timedelta(hours=-3))
    values: list[Any] = [
        *(
            None,
            True,
            0,
            -1,
            2**64 - 1,
            -(2**63),
            2**80,
            -(2**500),
            1.5,
            float("nan"),
            1 + 2j,
            "text",
            "\ud800",
            b"bytes",
        ),
        *(
            [],
            [1, [2, [3]]],
            (),
            (1, (2, ())),
            {},
            {"key": {1: "one"}},
            {(1, 2): [3]},
            set(),
            {1, "a"},
            frozenset([(1,)]),
        ),
        collections.OrderedDict(a=1, b=(2,)),
        *(slice(1, None, 2), range(0, 100, 7), range(2**70), ..., NotImplemented),
        *(
            datetime.datetime(2024, 2, 29, 1, 2, 3, 4, zone),
            datetime.date(1, 1, 1),
            datetime.time(1, 2, fold=1),
        ),
        *(
            datetime.timedelta(-1, 5, 7),
            decimal.Decimal("-1.5E+400"),
            decimal.Decimal("sNaN"),
            uuid.UUID(int=7),
        ),
        *(
            pathlib.Path("/tmp/weights.pt"),
            pathlib.PureWindowsPath("c:/x"),
            Pair(1, [2]),
            {"deep": [[[[[(1,)]]]]]},
        ),
    ]
    if importlib.util.find_spec("numpy") is not None:
        import numpy as np

        whole = np.arange(24.0).reshape(4, 6)
        structured = np.dtype([("a", "<i4"), ("b", [("c", "<M8[ns]", (2,)), ("d", "U3")])])
        values += [
            *(np.ones(3, kind) for kind in ("u1", "<i8", ">f4", "f2", "c16", "?")),
            *(
                np.array(["a", "bc"]),
                np.array([b"x"]),
                np.array(["2024-01-01"], "M8[D]"),
                np.zeros((2, 0, 3)),
                np.float64(2),
            ),
            *(np.zeros(2, structured), np.asfortranarray(whole), np.array(5), [whole, whole[1:], whole[2]]),
            np.zeros(5000),
        ]
        if importlib.util.find_spec("ml_dtypes") is not None:
            import ml_dtypes

            values.append(np.ones(3, ml_dtypes.bfloat16))
    if importlib.util.find_spec("torch") is not None:
        import torch

        base = torch.arange(20.0).reshape(4, 5)
        values += [
            *(
                torch.ones(3, dtype=getattr(torch, kind))
                for kind in ("float32", "bfloat16", "bool", "complex64", "int8")
            ),
            torch.zeros(3, dtype=torch.complex32),
            *(
                base.t(),
                [base, base[1:]],
                torch.zeros(5000),
                torch.zeros(2, 0),
                torch.Size([1, 2]),
                torch.float16,
            ),
            torch.device("cpu"),
        ]
    if importlib.util.find_spec("PIL") is not None:
        from PIL import Image

        values += [Image.new(mode, (3, 2)) for mode in ("RGB", "L", "1", "I;16", "P", "F")]
    return values


#: Where blocks of the smallest size lie in an arena that is full of them.
BLOCKS = range(0, 4 * SMALLEST, SMALLEST)
# Tables by hand, for one array each: with blocks in an arena, blocks that are lent, and parts of the message.
_TABLES: list[tuple[Any, tuple[bytes, ...]]] = [
    (([(1, "<f8", (512,), None, 0, 0, None)], [(0, 4096)]), ()),
    (([(1, "<f8", (4, 2), (2, 1), 8, 0, None)], [(SMALLEST, SMALLEST)]), ()),
    (([(1, "<f4", (10,), None, 4, 0, None)], [(0, 8, 100)]), ()),
    # One byte that is shown a trillion times.
    (([(1, "|u1", (2**40,), (0,), 0, 0, None)], [None]), (b"x",)),
    (([(0, "uint8", (2**40, 2), (0, 1), 0, 0, None)], [None]), (b"xx",)),
    (
        ([(0, "float32", (3, 2), (1, 3), 0, 0, "cpu"), (1, "|u1", (24,), None, 0, 0, None)], [None]),
        (bytes(24),),
    ),
    (
        ([(1, "complex32", (3,), None, 0, 0, None), (0, "bfloat16", (3,), (1,), 0, 1, None)], [None, None]),
        (bytes(12), bytes(6)),
    ),
]


def arena(size: int) -> int:
    """A file for an arena."""
    fd = os.memfd_create("fuzz")
    os.ftruncate(fd, size)
    return fd


def _with_tables(kind: int) -> list[Sample]:
    array = ExtType(48, b"\0\0\0\0")
    head: tuple[Any, ...] = (kind, 1) if kind != messages.REQUEST else (kind, 1, "call", None)
    samples = []
    for table, buffers in _TABLES:
        body: Any = (*head, array) if kind != messages.REQUEST else (*head, (array,), {}, 0)
        samples.append(Sample(body, tree(msgpack.packb(table)), buffers))
    return samples


def from_worker() -> list[Sample]:
    """What a worker sends; each as the first of a connection, so types are described in it."""
    values = _values()
    samples = []

    def add(*message: Any) -> None:
        table = ObjectTable()
        samples.append(_sample(Encoder(table.reference).encode(list(message))))

    for value in values:
        add(messages.VALUE, 1, value)
    for value in (
        Thing(),
        [Thing(), {"key": (Thing(),)}],
        (Thing(), Thing.method, iter([])),
        Kept([1]),
        values,
    ):
        add(messages.VALUE, 1, value)
        add(messages.ITEM, -1, value)
    errors = (ValueError("text", 5), KeyError(b"k"), OSError(2, "gone", "file"), SyntaxError("bad"), Thing)
    for error in errors:
        fault = fault_of(error if isinstance(error, BaseException) else RuntimeError(Thing()))
        add(messages.FAULT, 1, list(fault))
        add(messages.FAULT, -1, list(fault))
    fields = ("m.T", "UnicodeDecodeError", "text", ("utf-8", b"abc", 0, 1, "why"), "Traceback")
    add(messages.FAULT, 1, list(fields))
    add(messages.HELLO, messages.PROTOCOL, "key", 1234)
    add(messages.END, -1)
    add(messages.FREED, [0, 4096])
    add(messages.KEPT, [0, 8192])
    signature = [[["x", 1, [5], None], ["y", 3, [], "int"]], "float"]
    add(messages.VALUE, 1, signature)
    return [*samples, *_with_tables(messages.VALUE), *_through_arena()[:1]]


def from_host() -> list[Sample]:
    """What a host sends to a worker that holds objects 1, 2 and 3."""
    values = _values()
    samples = []
    target = ExtType(OBJECT, NUMBER.pack(1))
    method = ExtType(METHOD, NUMBER.pack(1) + b"method")

    def add(*message: Any) -> None:
        samples.append(_sample(Encoder(lambda value: None).encode(list(message))))

    for value in values:
        add(messages.REQUEST, 1, "call", None, [value], {"key": value}, messages.GRAD)
    samples = [sample._replace(body=(*sample.body[:3], target, *sample.body[4:])) for sample in samples]
    for op, args in {
        "open": (),
        "load": ("make", 1),
        "method": ("method", 1),
        "special": ("__len__",),
        "getattr": ("attribute",),
        "setattr": ("attribute", 2),
        "delattr": ("attribute",),
        "iter": (),
        "next": (),
        "stream": (2,),
        "length_hint": (),
        "repr": (),
        "format": ("",),
        "doc": (),
        "dir": (),
        "signature": (),
    }.items():
        body: Any = (messages.REQUEST, 1, op, ExtType(OBJECT, NUMBER.pack(2)), args, {}, messages.NO_GRAD)
        samples.append(Sample(body, None, ()))
    samples.append(Sample((messages.REQUEST, 1, "call", method, (target, (method,)), {}, 2), None, ()))
    raised = ("__exit__", (ExtType(0, b""), "ValueError", "text", (ExtType(0, b""), 1)))
    samples.append(Sample((messages.REQUEST, 1, "special", target, raised, {}, 0), None, ()))
    add(messages.RELEASE, [[3, 1]], [-1], [])
    add(messages.RELEASE, [], [], [0])
    add(messages.MORE, -1, 2)
    return [*samples, *_with_tables(messages.REQUEST), *_through_arena()[1:]]


def _through_arena() -> list[Sample]:
    """A worker's answer with large arrays in its arena, and a host's request that lends them back, as they are and in part."""
    if importlib.util.find_spec("numpy") is None:
        return []
    import numpy as np

    fd, size = arena(len(BLOCKS) * SMALLEST), len(BLOCKS) * SMALLEST
    outlet, inlet = Outlet(os.dup(fd), size), Inlet(fd, size, lambda offset: None)
    arrays = [np.arange(SMALLEST / 8), np.zeros((2, SMALLEST // 4), "f2")]
    answer = Encoder(lambda value: None, outlet).encode([messages.VALUE, 1, arrays])
    _, _, (first, second) = Decoder(lambda code, payload: None, place=False, inlet=inlet).decode(answer)
    encoder = Encoder(lambda value: None, inlet=inlet)
    samples = [_sample(answer)]
    for lent in ([first], [first[16:], second], [second[1:]]):
        request = [messages.REQUEST, 1, "call", None, lent, {}, messages.GRAD]
        samples.append(_sample(encoder.encode(request, [])))
    return samples
