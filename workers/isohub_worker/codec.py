"""Values to messages and back: msgpack with a closed set of extension types.

What msgpack has no type for takes one of the forms in ``forms``. Whatever has no form either is not a value, and the `reference`
of the side that encodes decides: the worker makes a remote object of it, the host refuses it.

A message has the parts ``[body]``, or ``[body, [table, blocks], *buffers]`` if it holds other tensors or arrays than small ones
(see ``tensors`` and ``small_tensors``). Each of their buffers is a block of the sender's arena, in `blocks` as
``[offset, size]``, or some of a block of the receiver's arena, which it lends, as ``[offset, start, size]``, or the next part,
as None.

Decoding makes only what stands in ``forms``: nothing that the peer names is imported or constructed, and a malformed message
raises WireError, whatever is wrong with it.
"""

from __future__ import annotations

import struct
from enum import Enum
from functools import partial
from typing import Any, Callable, Sequence

from msgpack import ExtType, Packer, unpackb

from .arena import SMALLEST, Inlet, Outlet, Watch
from .forms import (
    BUILDERS,
    LENT_TENSOR,
    METHOD,
    NO_FORM,
    OBJECT,
    READERS,
    SMALL_TENSOR,
    TENSOR,
    form_of,
    int_form,
    unhashable,
)
from .messages import Unavailable, WireError
from .small_tensors import (
    head_of_array,
    head_of_tensor,
    lent_leaf,
    read_lent,
    read_small,
    small_array,
    small_tensor,
)
from .tensor_reader import TensorReader
from .tensor_writer import Memory, TensorWriter
from .tensors import TORCH, TensorArgument, address_of, is_array, is_tensor

__all__ = ["CannotEncode", "Decoder", "Encoder"]

# What msgpack packs by itself.
_NATIVE = frozenset({type(None), bool, float, str, bytes, list, dict})
_INDEX = struct.Struct("<I")
_KEPT_BUFFER = 1 << 20
_BOUNDARY = 16

Reference = Callable[[Any], "ExtType | None"]


class CannotEncode(TypeError):
    """The value has no form that can cross, and is not to become a remote object."""


class Encoder:
    """Packs messages for one peer.

    Args:
        reference: answers the extension that stands for an object which has no value form, or None if there is none.
        outlet: where large buffers are put; without one they are parts of the message.
        inlet: out of which blocks can be lent.
        take_back: undoes what `reference` has done since the last message; None if it does nothing.
    """

    def __init__(
        self,
        reference: Reference,
        outlet: Outlet | None = None,
        inlet: Inlet | None = None,
        take_back: Callable[[], None] | None = None,
    ) -> None:
        self._reference = reference
        self._take_back = take_back
        self._outlet = outlet
        self._inlet = inlet
        # A packer has a buffer of hundreds of KiB, which costs more to get than most messages take to pack. Not one for all:
        # several threads may pack at once, and packing a value may run code that packs another.
        self._idle: list[_Packing] = []

    def encode(self, message: Any, lent: list[int] | None = None) -> list[Any]:
        """The parts of `message`.

        Args:
            message: what to say.
            lent: is given the blocks that are lent; without it none are.

        Raises:
            CannotEncode: a value in it can neither cross nor be referred to.
        """
        try:
            packing = self._idle.pop()
        except IndexError:
            packing = _Packing(self._reference, self._inlet)
        packing.lent = lent
        body = packing.pack(message)
        tensors = None
        if packing.leaves or packing.tensors is not None:
            if packing.shares_memory():
                if self._take_back is not None:
                    self._take_back()
                if lent:
                    lent.clear()
                packing.start(with_leaves=False)
                body = packing.pack(message)
            tensors = packing.tensors
            packing.start()
        if len(body) <= _KEPT_BUFFER:
            self._idle.append(packing)
        if tensors is None:
            return [body]
        blocks: list[list[int] | None] = []
        buffers = []
        for memory in tensors.finish():
            block = None if len(memory) < SMALLEST else self._block(memory, lent)
            blocks.append(block)
            if block is None:
                buffers.append(memory.view())
        return [body, packing.pack([tensors.table, blocks]), *buffers]

    def _block(self, memory: Memory, lent: list[int] | None) -> list[int] | None:
        size = len(memory)
        if lent is not None and self._inlet is not None:
            place = self._inlet.lendable(memory.start, size)
            if place is not None:
                lent.append(place[0])
                return [*place, size]
        offset = None if self._outlet is None else self._outlet.put(memory.start, size)
        return None if offset is None else [offset, size]


class _Packing:
    """Packs one message at a time."""

    __slots__ = ("_inlet", "_packer", "_reference", "_with_leaves", "leaves", "lent", "tensors")

    def __init__(self, reference: Reference, inlet: Inlet | None) -> None:
        self._reference = reference
        self._inlet = inlet
        self._packer = Packer(default=self.default, strict_types=True, unicode_errors="surrogatepass")
        self.lent: list[int] | None = None
        self.start()

    def start(self, with_leaves: bool = True) -> None:
        """Begin a message.

        Args:
            with_leaves: whether tensors may be leaves.
        """
        self.tensors: TensorWriter | None = None
        self._with_leaves = with_leaves
        self.leaves: list[Any] = []  # the tensors and arrays that have become leaves

    def pack(self, message: Any) -> bytes:
        try:
            return self._packer.pack(message)  # type: ignore[no-any-return]
        except ValueError as error:
            if type(error) is not ValueError:
                raise  # it was not msgpack that raised, but `reference`
            # msgpack says the same of a list that contains itself and of one nested 512 deep.
            raise CannotEncode("a value is nested too deeply, or contains itself (%s)" % error) from None

    def shares_memory(self) -> bool:
        """Whether a leaf of this message shares memory with another tensor, so that it cannot be one."""
        if not self.leaves or (len(self.leaves) == 1 and self.tensors is None):
            return False
        spans = [] if self.tensors is None else [span[:2] for span in self.tensors.spans()]
        for value in self.leaves:
            start = address_of(value)
            spans.append((start, start + value.nbytes))
        spans.sort()
        return any(start < end for (_, end), (start, _) in zip(spans, spans[1:]))  # noqa: RUF007

    def default(self, value: Any) -> Any:
        """What msgpack packs in place of `value`, a thing that it has no type for."""
        form = self._form(value)
        if form is not NO_FORM:
            return form
        reference = self._reference(value)
        if reference is None:
            cls = type(value)
            raise CannotEncode("%s.%s has no form that can cross" % (cls.__module__, cls.__qualname__))
        return reference

    def _form(self, value: Any) -> Any:
        if is_tensor(value):
            leaf = self._leaf(value, small_tensor, head_of_tensor) if self._with_leaves else None
            return self._tensor(self._writer().add_tensor(value)) if leaf is None else leaf
        if is_array(value):
            leaf = self._leaf(value, small_array, head_of_array) if self._with_leaves else None
            return self._tensor(self._writer().add_array(value)) if leaf is None else leaf
        if isinstance(value, TensorArgument):
            return self._tensor(_add_argument(self._writer(), value))
        if isinstance(value, Enum):
            return self._member(value.value)
        return form_of(value)

    def _leaf(
        self,
        value: Any,
        small: Callable[[Any], bytes | None],
        head_of: Callable[[Any], bytes | None],
    ) -> ExtType | None:
        leaf, code = small(value), SMALL_TENSOR
        if leaf is None and self.lent is not None and self._inlet is not None:
            leaf, code = self._lent_leaf(value, head_of, self.lent, self._inlet), LENT_TENSOR
        if leaf is None:
            return None
        self.leaves.append(value)
        return ExtType(code, leaf)

    def _lent_leaf(
        self, value: Any, head_of: Callable[[Any], bytes | None], lent: list[int], inlet: Inlet
    ) -> bytes | None:
        head = head_of(value)
        place = None if head is None else inlet.lendable(address_of(value), value.nbytes)
        # What does not begin on a boundary is left to the table's reader.
        if head is None or place is None or place[1] % _BOUNDARY:
            return None
        lent.append(place[0])
        return lent_leaf(head, *place, value.nbytes)

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
        outlet: of which the peer lends blocks.

    Attributes:
        borrowed: what messages have borrowed; whoever handles a message takes it away.
    """

    def __init__(
        self,
        resolve: Callable[[int, bytes], Any],
        place: bool,
        inlet: Inlet | None = None,
        outlet: Outlet | None = None,
    ) -> None:
        self._resolve = resolve
        self._place = place
        self._inlet = inlet
        self._outlet = outlet
        self.borrowed: list[Watch] = []
        # What takes a message apart knows its hooks, and that takes longer to make than most messages to take apart.
        self._idle: list[_Unpacking] = []

    def decode(self, parts: Sequence[Any]) -> Any:
        """The message of these parts: the body as bytes, then anything with the buffer protocol.

        Raises:
            WireError: the parts are no message.
            Unavailable: a value needs what this process lacks; the error carries the rest of the message.
        """
        try:
            unpacking = self._idle.pop()
        except IndexError:
            unpacking = _Unpacking(self._resolve, self._borrow)
        try:
            if len(parts) > 1:
                table, blocks = unpackb(parts[1])
                unpacking.tensors = TensorReader(table, self._buffers(blocks, parts[2:]), self._place)
            message = unpacking.unpack(parts[0])
        except WireError:
            raise
        except Exception as error:
            # Whatever a hostile body makes msgpack or a constructor raise, it means the same thing.
            raise WireError("malformed message: %s: %.300s" % (type(error).__name__, error)) from error
        if unpacking.heads:
            raise WireError("the head of a composite stands where none can be")
        unpacking.tensors = None
        unavailable, unpacking.unavailable = unpacking.unavailable, None
        self._idle.append(unpacking)
        if unavailable is not None:
            unavailable.message = message
            raise unavailable
        return message

    def _buffers(self, blocks: list[Any], parts: Sequence[Any]) -> list[Any]:
        unused = iter(parts)
        buffers: list[Any] = []
        for block in blocks:
            if block is None:
                buffers.append(next(unused))
            elif len(block) == 2 and self._inlet is not None:
                buffers.append(self._inlet.view(*block))
            elif len(block) == 3:
                try:
                    buffers.append(self._borrow(*block))
                except MemoryError as error:
                    buffers.append(error)
            else:
                raise WireError("a block of an arena that is not there")
        return buffers

    def _borrow(self, offset: int, start: int, size: int) -> memoryview:
        if self._outlet is None:
            raise WireError("a block of an arena that is not there")
        view, watch = self._outlet.borrow(offset, start, size)
        self.borrowed.append(watch)
        return view


class _Unpacking:
    """Unpacks one message at a time."""

    __slots__ = ("borrow", "heads", "resolve", "tensors", "unavailable", "unpack")

    def __init__(
        self, resolve: Callable[[int, bytes], Any], borrow: Callable[[int, int, int], memoryview]
    ) -> None:
        self.resolve = resolve
        self.borrow = borrow
        self.tensors: TensorReader | None = None
        self.heads = 0  # of composites, which have not become values yet
        self.unavailable: Unavailable | None = None
        self.unpack = partial(
            unpackb,
            ext_hook=self.extension,
            list_hook=self.sequence,
            object_pairs_hook=self.mapping,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            timestamp=3,  # msgpack's own extension, which never gets here: a datetime
        )

    def extension(self, code: int, payload: bytes) -> Any:
        try:
            if code == TENSOR:
                return self._tensor(payload)
            if code == SMALL_TENSOR:
                return read_small(payload)
            if code == LENT_TENSOR:
                return read_lent(payload, self.borrow)
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
