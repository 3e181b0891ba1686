"""Values to frames and back: msgpack with a closed set of extension types.

What msgpack has no type for takes one of the forms in ``forms``. Whatever has no form either is not a value, and the `reference`
of the side that encodes decides: the worker makes a remote object of it, the host refuses it.

A message is ``[body]``, or ``[body, [table, blocks], *frames]`` if there are tensors or arrays in it (see ``tensors``). Each of
their buffers is a block of the arena, in `blocks` as ``[offset, size]``, or the next frame, in `blocks` as None.

Decoding makes only what stands in ``forms``: nothing that the peer names is imported or constructed, and a malformed message
raises WireError, whatever is wrong with it.
"""

from __future__ import annotations

import ctypes
import struct
from enum import Enum
from typing import Any, Callable, Sequence

import msgpack
from msgpack import ExtType

from .arena import SMALLEST, Inlet, Outlet
from .forms import BUILDERS, METHOD, NO_FORM, OBJECT, READERS, TENSOR, form_of, int_form, unhashable
from .messages import Unavailable, WireError
from .tensors import TORCH, TensorArgument, TensorReader, TensorWriter, is_array, is_tensor

__all__ = ["CannotEncode", "Decoder", "Encoder"]

# What msgpack packs by itself.
_NATIVE = frozenset({type(None), bool, float, str, bytes, list, dict})
_INDEX = struct.Struct("<I")
_KEPT_BUFFER = 1 << 20

Reference = Callable[[Any], "ExtType | None"]


class CannotEncode(TypeError):
    """The value has no form that can cross, and is not to become a remote object."""


class Encoder:
    """Packs messages for one peer.

    Args:
        reference: answers the extension that stands for an object which has no value form, or None if there is none.
        outlet: where large buffers are put; without one they are frames.
    """

    def __init__(self, reference: Reference, outlet: Outlet | None = None) -> None:
        self._reference = reference
        self._outlet = outlet
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
        except CannotEncode:
            raise
        except ValueError as error:
            if type(error) is not ValueError:
                raise  # it was not msgpack that raised, but `reference`
            # msgpack says the same of a list that contains itself and of one nested 512 deep.
            raise CannotEncode("a value is nested too deeply, or contains itself (%s)" % error) from None
        if len(body) <= _KEPT_BUFFER:
            self._idle.append(packing)
        if tensors is None:
            return [body]
        blocks: list[tuple[int, int] | None] = []
        frames = []
        for buffer in tensors.finish():
            block = self._put(buffer)
            blocks.append(block)
            if block is None:
                frames.append(buffer)
        return [body, msgpack.packb([tensors.table, blocks]), *frames]

    def _put(self, buffer: memoryview) -> tuple[int, int] | None:
        if self._outlet is None or buffer.nbytes < SMALLEST:
            return None
        offset = self._outlet.put(ctypes.addressof(ctypes.c_char.from_buffer(buffer)), buffer.nbytes)
        return None if offset is None else (offset, buffer.nbytes)


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
        form = self._form(value)
        if form is not NO_FORM:
            return form
        reference = self.reference(value)
        if reference is None:
            cls = type(value)
            raise CannotEncode("%s.%s has no form that can cross" % (cls.__module__, cls.__qualname__))
        return reference

    def _form(self, value: Any) -> Any:
        if is_tensor(value):
            return self._tensor(self._writer().add_tensor(value))
        if is_array(value):
            return self._tensor(self._writer().add_array(value))
        if isinstance(value, TensorArgument):
            return self._tensor(_add_argument(self._writer(), value))
        if isinstance(value, Enum):
            return self._member(value.value)
        return form_of(value)

    def _member(self, value: Any) -> Any:
        if type(value) is int:
            return int_form(value)
        return value if type(value) in _NATIVE else self.default(value)

    def _writer(self) -> TensorWriter:
        if self.tensors is None:
            self.tensors = TensorWriter()
        return self.tensors

    def _tensor(self, row: int | None) -> Any:
        return NO_FORM if row is None else ExtType(TENSOR, _INDEX.pack(row))


def _add_argument(tensors: TensorWriter, argument: TensorArgument) -> int | None:
    if is_tensor(argument.array):
        row = tensors.add_tensor(argument.array)
        if row is not None and argument.device is not None:
            tensors.table[row][6] = argument.device
        return row
    import numpy

    return tensors.add_array(numpy.asarray(argument.array), TORCH, argument.device)


class Decoder:
    """Unpacks messages of one peer.

    Args:
        resolve: makes something of an OBJECT or METHOD extension, given its code and payload.
        place: whether tensors go to the device that the peer asked for.
        inlet: where the peer puts large buffers.
    """

    def __init__(self, resolve: Callable[[int, bytes], Any], place: bool, inlet: Inlet | None = None) -> None:
        self._resolve = resolve
        self._place = place
        self._inlet = inlet

    def decode(self, frames: Sequence[Any]) -> Any:
        """The message in `frames`: the body as bytes, then anything with the buffer protocol.

        Raises:
            WireError: the frames are no message.
            Unavailable: a value needs what this process lacks; the error carries the rest of the message.
        """
        try:
            tensors = None
            if len(frames) > 1:
                table, blocks = msgpack.unpackb(frames[1])
                tensors = TensorReader(table, self._buffers(blocks, frames[2:]), self._place)
            unpacking = _Unpacking(self._resolve, tensors)
            message = msgpack.unpackb(
                frames[0],
                ext_hook=unpacking.extension,
                list_hook=unpacking.sequence,
                object_pairs_hook=unpacking.mapping,
                strict_map_key=False,
                unicode_errors="surrogatepass",
                timestamp=3,  # msgpack's own extension, which never gets here: a datetime
            )
        except WireError:
            raise
        except Exception as error:
            # Whatever a hostile body makes msgpack or a constructor raise, it means the same thing.
            raise WireError("malformed message: %s: %s" % (type(error).__name__, error)) from error
        if unpacking.heads:
            raise WireError("the head of a composite stands where none can be")
        if unpacking.unavailable is not None:
            unpacking.unavailable.message = message
            raise unpacking.unavailable
        return message

    def _buffers(self, blocks: list[Any], frames: Sequence[Any]) -> list[Any]:
        unused = iter(frames)
        buffers = []
        for block in blocks:
            if block is None:
                buffers.append(next(unused))
            elif self._inlet is None:
                raise WireError("a block of an arena, and there is none")
            else:
                offset, size = block
                buffers.append(self._inlet.view(offset, size))
        return buffers


class _Unpacking:
    """One message on its way in."""

    __slots__ = ("heads", "resolve", "tensors", "unavailable")

    def __init__(self, resolve: Callable[[int, bytes], Any], tensors: TensorReader | None) -> None:
        self.resolve = resolve
        self.tensors = tensors
        self.heads = 0  # of composites, which have not become values yet
        self.unavailable: Unavailable | None = None

    def extension(self, code: int, payload: bytes) -> Any:
        try:
            if code == TENSOR:
                return self._tensor(payload)
            if code in (OBJECT, METHOD):
                return self.resolve(code, payload)
            build = BUILDERS.get(code)
            if build is None:
                return READERS[code](payload)
        except KeyError:
            raise WireError("unknown extension type %d, or an unknown name in it" % code) from None
        except (Unavailable, MemoryError) as error:
            return self._do_without(error)
        self.heads += 1
        return _Head(build)

    def sequence(self, items: list[Any]) -> Any:
        if not items or type(items[0]) is not _Head:
            return items
        self.heads -= 1
        try:
            return items[0].build(*items[1:])
        except (Unavailable, MemoryError) as error:
            return self._do_without(error)

    def mapping(self, pairs: list[tuple[Any, Any]]) -> Any:
        try:
            return dict(pairs)
        except TypeError as error:
            return self._do_without(unhashable(error))

    def _tensor(self, payload: bytes) -> Any:
        if self.tensors is None:
            raise WireError("a tensor in a message without any")
        return self.tensors.read(_INDEX.unpack(payload)[0])

    def _do_without(self, error: Exception) -> None:
        """Go on, since the rest of the message says whose value this would have been."""
        if not isinstance(error, Unavailable):
            error = Unavailable("there is not enough memory to hold it")
        self.unavailable = error


class _Head:
    """The first element of a composite: what makes the value from the others."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any]) -> None:
        self.build = build
