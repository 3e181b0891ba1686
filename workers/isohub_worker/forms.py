"""The forms of values that msgpack has no type for: the closed set of what can be made from what a peer sends.

A leaf is an extension with a payload. A composite is a list whose first element is an empty extension that names the kind, so
that the values in it are packed once, in place. Tensors and arrays have a place of their own, see ``tensors``.
"""

from __future__ import annotations

import struct
import sys
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Callable, Sequence
from uuid import UUID

from msgpack import ExtType

from .images import image_form, read_image
from .messages import Unavailable, WireError
from .records import Record
from .tensors import is_array, is_tensor

__all__ = [
    "BUILDERS",
    "LENT_TENSOR",
    "METHOD",
    "NO_FORM",
    "NUMBER",
    "OBJECT",
    "READERS",
    "REFERENCE",
    "SMALL_TENSOR",
    "TENSOR",
    "form_of",
    "int_form",
    "unhashable",
]

# Composites: [Ext(kind, b""), *fields].
_TUPLE, _SET, _FROZENSET, _ORDERED, _RECORD, _SLICE, _RANGE, _IMAGE, _SIZE, _SCALAR = range(10)
# Leaves: Ext(kind, payload).
_INT, _COMPLEX, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _PATH, _SINGLETON = range(32, 42)
_DTYPE, _DEVICE = range(49, 51)
# A row of the table of tensors; and what needs no table: a small tensor, and one that is lent. See ``small_tensors``.
TENSOR, SMALL_TENSOR, LENT_TENSOR = 48, 51, 52
# What the two sides resolve for themselves: an object of the worker, or a method of one. The worker sends OBJECT as REFERENCE and
# sometimes the description of a type; the host sends OBJECT as NUMBER, and METHOD as NUMBER and a name.
OBJECT, METHOD = 64, 65
NUMBER = struct.Struct("<Q")
REFERENCE = struct.Struct("<QI")

# Says that a value has no form, where None could be one.
NO_FORM = object()

_TAGS = {kind: ExtType(kind, b"") for kind in range(10)}
_SINGLETONS = {b"...": Ellipsis, b"NotImplemented": NotImplemented}
_PATHS: dict[bytes, Callable[[str], PurePath]] = {b"p": Path, b"x": PurePosixPath, b"w": PureWindowsPath}
# Of a bound of a range; integers themselves may have any number.
_MOST_BITS = 1 << 16
_COMPLEX_PARTS = struct.Struct("<dd")
_TIMEDELTA_PARTS = struct.Struct("<iii")


# ---- on the way out


def form_of(value: Any) -> Any:
    """What msgpack packs in place of `value`; NO_FORM if it has none. Not for tensors, arrays and members of enumerations."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    scalar = _scalar_form(value)
    if scalar is not NO_FORM:
        return scalar
    if isinstance(value, Record):
        return _record(Record.type_name(value), Record.keys(value), tuple(value))
    if isinstance(value, tuple):
        return _tuple_form(value)
    torch_form = _torch_form(value)
    if torch_form is not None:
        return torch_form
    if callable(value):
        # Classes, functions and models: even a dataclass is behaviour rather than data when it can be called.
        return NO_FORM
    if isinstance(value, dict):
        return _dict_form(value)
    if is_dataclass(value):
        names = [field.name for field in fields(value) if hasattr(value, field.name)]
        return _record(_type_name(type(value)), names, [getattr(value, name) for name in names])
    if isinstance(value, PurePath):
        kind = b"p" if isinstance(value, Path) else b"w" if isinstance(value, PureWindowsPath) else b"x"
        return ExtType(_PATH, kind + str(value).encode("utf-8", "surrogatepass"))
    return image_form(_TAGS[_IMAGE], value) or NO_FORM


def int_form(value: int) -> Any:
    """What is packed for a plain integer: itself where msgpack can."""
    return value if -(2**63) <= value < 2**64 else _write_int(value)


def _write_int(value: int) -> ExtType:
    return ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _type_name(cls: type) -> str:
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def _record(type_name: str, names: Sequence[Any], values: Sequence[Any]) -> Any:
    if not Record.can_have(names):
        return NO_FORM
    return [_TAGS[_RECORD], type_name, list(names), list(values)]


def _tuple_form(value: Any) -> Any:
    cls = type(value)
    torch = sys.modules.get("torch")
    if torch is not None and cls is getattr(torch, "Size", None):
        return [_TAGS[_SIZE], *value]
    names = getattr(cls, "_fields", None)
    if names is None and hasattr(cls, "n_sequence_fields"):
        # The kind of tuple that C code makes, such as torch.return_types.max: its fields are its member descriptors.
        names = [name for name, item in vars(cls).items() if type(item).__name__ == "member_descriptor"]
        names = names[: cls.n_sequence_fields]
    if names is None or len(names) != len(value):
        return NO_FORM
    return _record(_type_name(cls), names, tuple(value))


def _dict_form(value: Any) -> Any:
    cls = type(value)
    if cls.__module__ == "collections":
        return dict(value)
    return _record(_type_name(cls), list(value), list(value.values()))


def _scalar_form(value: Any) -> Any:
    """NumPy's scalars, and plain values of a subclass."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "generic") and isinstance(value, numpy.generic):
        plain = not value.dtype.hasobject and value.dtype.names is None
        return [_TAGS[_SCALAR], numpy.asarray(value)] if plain else NO_FORM
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int):
        return int_form(int(value))
    if isinstance(value, float):
        return float(value)
    return NO_FORM


def _torch_form(value: Any) -> ExtType | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "dtype"):
        return None
    if isinstance(value, torch.dtype):
        return ExtType(_DTYPE, str(value).encode())
    if isinstance(value, torch.device):
        return ExtType(_DEVICE, str(value).encode())
    return None


_WRITERS: dict[type, Callable[[Any], Any]] = {
    tuple: lambda value: [_TAGS[_TUPLE], *value],
    int: _write_int,
    complex: lambda value: ExtType(_COMPLEX, _COMPLEX_PARTS.pack(value.real, value.imag)),
    set: lambda value: [_TAGS[_SET], *value],
    frozenset: lambda value: [_TAGS[_FROZENSET], *value],
    OrderedDict: lambda value: [_TAGS[_ORDERED], [[key, item] for key, item in value.items()]],
    slice: lambda value: [_TAGS[_SLICE], value.start, value.stop, value.step],
    range: lambda value: [_TAGS[_RANGE], value.start, value.stop, value.step],
    datetime: lambda value: ExtType(_DATETIME, b"%d" % value.fold + value.isoformat().encode()),
    date: lambda value: ExtType(_DATE, value.isoformat().encode()),
    time: lambda value: ExtType(_TIME, b"%d" % value.fold + value.isoformat().encode()),
    timedelta: lambda value: ExtType(
        _TIMEDELTA, _TIMEDELTA_PARTS.pack(value.days, value.seconds, value.microseconds)
    ),
    Decimal: lambda value: ExtType(_DECIMAL, str(value).encode()),
    UUID: lambda value: ExtType(_UUID, value.bytes),
    type(Ellipsis): lambda value: ExtType(_SINGLETON, b"..."),
    type(NotImplemented): lambda value: ExtType(_SINGLETON, b"NotImplemented"),
}


# ---- on the way in


def unhashable(error: TypeError) -> Unavailable:
    """The error for a key or an item that has a hash over there only: an object with identity is a list of fields here."""
    return Unavailable("a key of a dict or an item of a set has no hash here: %s" % error)


def _read_torch_name(payload: bytes) -> Any:
    """A dtype or device: torch's own where torch is loaded, else its name, which torch takes just as well."""
    name = payload.decode()
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "device"):
        return name
    if not name.startswith("torch."):
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise Unavailable("torch %s has no device %.40r" % (torch.__version__, name)) from error
    # Not getattr, which would import whichever module of torch's the peer names.
    dtype = vars(torch).get(name[len("torch.") :])
    if not isinstance(dtype, torch.dtype):
        raise Unavailable("torch %s has no dtype %.40r" % (torch.__version__, name))
    return dtype


READERS: dict[int, Callable[[bytes], Any]] = {
    _INT: lambda payload: int.from_bytes(payload, "little", signed=True),
    _COMPLEX: lambda payload: complex(*_COMPLEX_PARTS.unpack(payload)),
    _DATETIME: lambda payload: datetime.fromisoformat(payload[1:].decode()).replace(fold=int(payload[:1])),
    _DATE: lambda payload: date.fromisoformat(payload.decode()),
    _TIME: lambda payload: time.fromisoformat(payload[1:].decode()).replace(fold=int(payload[:1])),
    _TIMEDELTA: lambda payload: timedelta(*_TIMEDELTA_PARTS.unpack(payload)),
    _DECIMAL: lambda payload: Decimal(payload.decode()),
    _UUID: lambda payload: UUID(bytes=payload),
    _PATH: lambda payload: _PATHS[payload[:1]](payload[1:].decode("utf-8", "surrogatepass")),
    _SINGLETON: _SINGLETONS.__getitem__,
    _DTYPE: _read_torch_name,
    _DEVICE: _read_torch_name,
}
"""What makes the value of a leaf from its payload."""


def _hashed(make: Callable[[Any], Any], items: Any) -> Any:
    try:
        return make(items)
    except TypeError as error:
        raise unhashable(error) from error


def _read_ordered(pairs: Any) -> Any:
    if type(pairs) is not list:
        # An array can be short on the wire and have a trillion items.
        raise WireError("an ordered dict of %s" % type(pairs).__name__)
    return _hashed(OrderedDict, pairs)


def _read_record(type_name: Any, names: Any, values: Any) -> Record:
    if type(names) is not list or type(values) is not list:
        raise WireError("a record of %s and %s" % (type(names).__name__, type(values).__name__))
    return Record(type_name, names, values)


def _read_range(*bounds: Any) -> range:
    if any(type(bound) is int and bound.bit_length() > _MOST_BITS for bound in bounds):
        # A range knows its length, and to divide numbers of a megabyte takes minutes in which no other thread runs.
        raise Unavailable("a value is a range of numbers with more than %d bits" % _MOST_BITS)
    return range(*bounds)


def _read_size(*sizes: int) -> Any:
    torch = sys.modules.get("torch")
    return torch.Size(sizes) if torch is not None and hasattr(torch, "Size") else sizes


def _read_scalar(array: Any) -> Any:
    if not (is_array(array) or is_tensor(array)):
        raise WireError("a scalar of %s" % type(array).__name__)
    return array[()]


BUILDERS: dict[int, Callable[..., Any]] = {
    _TUPLE: lambda *items: items,
    _SET: lambda *items: _hashed(set, items),
    _FROZENSET: lambda *items: _hashed(frozenset, items),
    _ORDERED: _read_ordered,
    _RECORD: _read_record,
    _SLICE: slice,
    _RANGE: _read_range,
    _IMAGE: read_image,
    _SIZE: _read_size,
    _SCALAR: _read_scalar,
}
"""What makes the value of a composite from the elements after its head."""
