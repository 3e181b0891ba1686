"""Values to frames and back: msgpack with a closed set of extension types.

What msgpack has no type for becomes either an extension (a leaf) or a list whose first element is an empty extension that
names the kind (a composite), so that nested values are packed once, in place. Whatever is left has no value form, and the
`reference` of the side that encodes decides: the worker makes a remote object of it, the host refuses it.

A message is ``[body]``, or ``[body, table, *buffers]`` if there are tensors or arrays in it (see ``tensors``).

Decoding makes only what stands in this file: nothing that the peer names is imported or constructed, and a malformed message
raises WireError, whatever is wrong with it.
"""

from __future__ import annotations

import struct
import sys
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Callable, Sequence
from uuid import UUID

import msgpack
from msgpack import ExtType

from .images import image_form, read_image
from .messages import WireError
from .records import Record
from .tensors import TORCH, TensorArgument, TensorReader, TensorWriter, Unavailable, is_array, is_tensor

__all__ = ["METHOD", "NUMBER", "OBJECT", "REFERENCE", "CannotEncode", "Decoder", "Encoder", "Unavailable"]

# Composites: [Ext(kind, b""), *fields].
_TUPLE, _SET, _FROZENSET, _ORDERED, _RECORD, _SLICE, _RANGE, _IMAGE, _SIZE, _SCALAR = range(10)
# Leaves: Ext(kind, payload).
_INT, _COMPLEX, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _PATH, _SINGLETON = range(32, 42)
_TENSOR, _DTYPE, _DEVICE = range(48, 51)
# What the two sides resolve for themselves: an object of the worker, or a method of one. The worker sends OBJECT as REFERENCE and
# sometimes the description of a type; the host sends OBJECT as NUMBER, and METHOD as NUMBER and a name.
OBJECT, METHOD = 64, 65
NUMBER = struct.Struct("<Q")
REFERENCE = struct.Struct("<QI")

_KEPT_BUFFER = 1 << 20
# What msgpack packs by itself.
_NATIVE = frozenset({type(None), bool, int, float, str, bytes, list, dict})
# Says that a value has no form, where None could be one.
_NO_FORM = object()
_SINGLETONS = {b"...": Ellipsis, b"NotImplemented": NotImplemented}
_PATHS: dict[bytes, Callable[[str], PurePath]] = {b"p": Path, b"x": PurePosixPath, b"w": PureWindowsPath}
_INDEX = struct.Struct("<I")
_COMPLEX_PARTS = struct.Struct("<dd")
_TIMEDELTA_PARTS = struct.Struct("<iii")

Reference = Callable[[Any], "ExtType | None"]


class CannotEncode(TypeError):
    """The value has no form that can cross, and is not to become a remote object."""


class Encoder:
    """Packs messages for one peer.

    Args:
        reference: answers the extension that stands for an object which has no value form, or None if there is none.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        # A packer has a buffer of hundreds of KiB, which costs more to get than most messages take to pack. Not one for all:
        # several threads may pack at once, and packing a value may run code that packs another.
        self._idle: list[_Packing] = []

    def encode(self, message: Any) -> list[Any]:
        """The frames of `message`.

        Raises:
            CannotEncode: a value in it can neither cross nor be referred to.
        """
        try:
            packing = self._idle.pop()
        except IndexError:
            packing = _Packing(self._reference)
        try:
            body, tensors = packing.pack(message)
        except ValueError as error:
            if type(error) is not ValueError:
                raise  # it was not msgpack that raised, but `reference`
            # msgpack says the same of a list that contains itself and of one nested 512 deep.
            raise CannotEncode("a value is nested too deeply, or contains itself (%s)" % error) from None
        if len(body) <= _KEPT_BUFFER:
            self._idle.append(packing)
        if tensors is None:
            return [body]
        buffers = tensors.finish()
        return [body, msgpack.packb(tensors.table), *buffers]


class _Packing:
    """Packs one message at a time."""

    __slots__ = ("packer", "reference", "tensors")

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.tensors: TensorWriter | None = None
        self.packer = msgpack.Packer(default=self.default, strict_types=True, unicode_errors="surrogatepass")

    def pack(self, message: Any) -> tuple[bytes, TensorWriter | None]:
        self.tensors = None
        body = self.packer.pack(message)
        tensors, self.tensors = self.tensors, None
        return body, tensors

    def default(self, value: Any) -> Any:
        """What msgpack packs in place of `value`, a thing that it has no type for."""
        write = _WRITERS.get(type(value))
        if write is not None:
            return write(value)
        form = self._value_form(value)
        if form is not _NO_FORM:
            return form
        reference = self.reference(value)
        if reference is None:
            raise CannotEncode("%s has no form that can cross" % _type_name(type(value)))
        return reference

    def _value_form(self, value: Any) -> Any:
        if is_tensor(value):
            return self._tensor(self._writer().add_tensor(value))
        if is_array(value):
            return self._tensor(self._writer().add_array(value))
        if isinstance(value, TensorArgument):
            return self._tensor(_add_argument(self._writer(), value))
        if isinstance(value, Enum):
            return self._again(value.value)
        scalar = _scalar_form(value)
        if scalar is not _NO_FORM:
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
            return _NO_FORM
        if isinstance(value, dict):
            return _dict_form(value)
        if is_dataclass(value):
            names = [field.name for field in fields(value) if hasattr(value, field.name)]
            return _record(_type_name(type(value)), names, [getattr(value, name) for name in names])
        if isinstance(value, PurePath):
            kind = b"p" if isinstance(value, Path) else b"w" if isinstance(value, PureWindowsPath) else b"x"
            return ExtType(_PATH, kind + str(value).encode("utf-8", "surrogatepass"))
        return image_form(_TAGS[_IMAGE], value) or _NO_FORM

    def _again(self, value: Any) -> Any:
        if type(value) is int:
            return _int_form(value)
        return value if type(value) in _NATIVE else self.default(value)

    def _writer(self) -> TensorWriter:
        if self.tensors is None:
            self.tensors = TensorWriter()
        return self.tensors

    def _tensor(self, row: int | None) -> Any:
        return _NO_FORM if row is None else ExtType(_TENSOR, _INDEX.pack(row))


class Decoder:
    """Unpacks messages of one peer.

    Args:
        resolve: makes something of an OBJECT or METHOD extension, given its code and payload.
        place: whether tensors go to the device that the peer asked for.
    """

    def __init__(self, resolve: Callable[[int, bytes], Any], place: bool) -> None:
        self._resolve = resolve
        self._place = place

    def decode(self, frames: Sequence[Any]) -> Any:
        """The message in `frames`: the body as bytes, then anything with the buffer protocol.

        Raises:
            WireError: the frames are no message.
            Unavailable: a value needs what this process lacks; the error carries the rest of the message.
        """
        try:
            tensors = None
            if len(frames) > 1:
                tensors = TensorReader(msgpack.unpackb(frames[1]), frames[2:], self._place)
            unpacking = _Unpacking(self._resolve, tensors)
            message = msgpack.unpackb(
                frames[0],
                ext_hook=unpacking.extension,
                list_hook=unpacking.sequence,
                object_pairs_hook=unpacking.mapping,
                strict_map_key=False,
                unicode_errors="surrogatepass",
                timestamp=3,  # msgpack's own: a datetime, since it cannot be refused
            )
            if unpacking.open_tags:
                raise WireError("the head of a composite where none can be")
        except WireError:
            raise
        except Exception as error:
            # Whatever a hostile body makes msgpack or a constructor raise, it means the same thing.
            raise WireError("malformed message: %s: %s" % (type(error).__name__, error)) from error
        if unpacking.unavailable is not None:
            unpacking.unavailable.message = message
            raise unpacking.unavailable
        return message


class _Unpacking:
    """One message on its way in."""

    __slots__ = ("open_tags", "resolve", "tensors", "unavailable")

    def __init__(self, resolve: Callable[[int, bytes], Any], tensors: TensorReader | None) -> None:
        self.resolve = resolve
        self.tensors = tensors
        self.open_tags = 0
        self.unavailable: Unavailable | None = None

    def extension(self, code: int, payload: bytes) -> Any:
        try:
            if code == _TENSOR:
                return self._tensor(payload)
            if code in (OBJECT, METHOD):
                return self.resolve(code, payload)
            if code in _BUILDERS:
                self.open_tags += 1
                return _BUILDERS[code]
            return _READERS[code](payload)
        except KeyError:
            raise WireError("unknown extension type %d, or unknown name in it" % code) from None
        except (Unavailable, MemoryError) as error:
            return self._do_without(error)

    def sequence(self, items: list[Any]) -> Any:
        if not items or type(items[0]) is not _Builder:
            return items
        self.open_tags -= 1
        try:
            return items[0].build(*items[1:])
        except (Unavailable, MemoryError) as error:
            return self._do_without(error)

    def mapping(self, pairs: list[tuple[Any, Any]]) -> Any:
        try:
            return dict(pairs)
        except TypeError as error:
            return self._do_without(_unhashable(error))

    def _tensor(self, payload: bytes) -> Any:
        if self.tensors is None:
            raise WireError("a tensor in a message without any")
        return self.tensors.read(_INDEX.unpack(payload)[0])

    def _do_without(self, error: Exception) -> None:
        """The rest of the message is sound: it says whose value this would have been."""
        if not isinstance(error, Unavailable):
            error = Unavailable("there is not enough memory to hold it")
        self.unavailable = error


class _Builder:
    """The first element of a composite: what makes the value from the others."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any]) -> None:
        self.build = build


def _unhashable(error: TypeError) -> Unavailable:
    """What identifies an object over there may be a list of its fields here."""
    return Unavailable("a key of a dict or an item of a set has no hash here: %s" % error)


def _type_name(cls: type) -> str:
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def _record(type_name: str, names: Sequence[Any], values: Sequence[Any]) -> Any:
    if not Record.can_have(names):
        return _NO_FORM
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
        return _NO_FORM
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
        return [_TAGS[_SCALAR], numpy.asarray(value)] if plain else _NO_FORM
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int):
        return _int_form(int(value))
    if isinstance(value, float):
        return float(value)
    return _NO_FORM


def _torch_form(value: Any) -> ExtType | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "dtype"):
        return None
    if isinstance(value, torch.dtype):
        return ExtType(_DTYPE, str(value).encode())
    if isinstance(value, torch.device):
        return ExtType(_DEVICE, str(value).encode())
    return None


def _add_argument(tensors: TensorWriter, argument: TensorArgument) -> int | None:
    if is_tensor(argument.array):
        row = tensors.add_tensor(argument.array)
        if row is not None and argument.device is not None:
            tensors.table[row][6] = argument.device
        return row
    import numpy

    return tensors.add_array(numpy.asarray(argument.array), TORCH, argument.device)


def _int_form(value: int) -> Any:
    return value if -(2**63) <= value < 2**64 else _write_int(value)


def _write_int(value: int) -> ExtType:
    return ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


_TAGS = {kind: ExtType(kind, b"") for kind in range(10)}
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
    # Not getattr, which would import a module of torch's that the peer names.
    dtype = vars(torch).get(name[len("torch.") :])
    if not isinstance(dtype, torch.dtype):
        raise Unavailable("torch %s has no dtype %.40r" % (torch.__version__, name))
    return dtype


def _read_size(*sizes: int) -> Any:
    torch = sys.modules.get("torch")
    return torch.Size(sizes) if torch is not None and hasattr(torch, "Size") else sizes


_READERS: dict[int, Callable[[bytes], Any]] = {
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


def _read_set(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def read(*items: Any) -> Any:
        try:
            return make(items)
        except TypeError as error:
            raise _unhashable(error) from error

    return read


def _read_ordered(pairs: Any) -> Any:
    try:
        return OrderedDict(pairs)
    except TypeError as error:
        raise _unhashable(error) from error


def _read_scalar(array: Any) -> Any:
    if not (is_array(array) or is_tensor(array)):
        raise WireError("a scalar of %s" % type(array).__name__)
    return array[()]


_BUILDERS: dict[int, _Builder] = {
    _TUPLE: _Builder(lambda *items: items),
    _SET: _Builder(_read_set(set)),
    _FROZENSET: _Builder(_read_set(frozenset)),
    _ORDERED: _Builder(_read_ordered),
    _RECORD: _Builder(Record),
    _SLICE: _Builder(slice),
    _RANGE: _Builder(range),
    _IMAGE: _Builder(read_image),
    _SIZE: _Builder(_read_size),
    _SCALAR: _Builder(_read_scalar),
}
