"""Tensors and arrays without gaps that share memory with nothing else in their message: leaves, which need no table.

Most tensors of most calls are of this kind, and for them a table and a buffer cost more than the rest of the message. A leaf is::

    2 bytes   how long the head is, these two included; little-endian
    ...       the rest of the head, as msgpack: [framework, dtype, shape], as in ``tensors``
    ...       the items, row by row; or where in a block of the receiver's own arena they lie, which the sender lends

A process meets the same few heads again and again, so both sides remember what they have made of one.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any, Callable, TypeVar

from msgpack import packb, unpackb

from .dtypes import has_no_width, installed, is_ml_dtype, numpy_dtype, numpy_spec, torch_dtype, torch_spec
from .messages import WireError
from .tensor_reader import TensorReader, checked_row
from .tensors import NUMPY, TORCH, dense_strides, extent

__all__ = [
    "head_of_array",
    "head_of_tensor",
    "lent_leaf",
    "read_lent",
    "read_small",
    "small_array",
    "small_tensor",
]

# A larger one is better off with a buffer of its own.
_SMALL = 16 * 1024
# No head of ours is half as long, and those of the peer are remembered.
_LONGEST_HEAD = 1024
# Heads that are remembered; a program with more kinds of arrays pays a little for each.
_MOST_HEADS = 1000
_array_heads: dict[Any, bytes] = {}
_tensor_heads: dict[Any, bytes] = {}
_makers: dict[bytes, Callable[[Any], Any]] = {}
_PLACE = struct.Struct("<QQQ")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def small_array(array: Any) -> bytes | None:
    """The leaf of a NumPy array; None if it cannot be one, or is not small."""
    if array.nbytes > _SMALL:
        return None
    head = head_of_array(array)
    if head is None:
        return None
    items: bytes = array.tobytes()
    return head + items


def small_tensor(tensor: Any) -> bytes | None:
    """The leaf of a tensor; None if it cannot be one, or is not small."""
    size = tensor.numel() * tensor.element_size()
    head = head_of_tensor(tensor) if size <= _SMALL else None
    if head is None or not size:
        return head
    return head + ctypes.string_at(tensor.data_ptr(), size)


def head_of_array(array: Any) -> bytes | None:
    """The head of a NumPy array; None if it cannot be a leaf."""
    if not array.flags.c_contiguous or type(array) is not sys.modules["numpy"].ndarray:
        return None
    key = (array.dtype, array.shape)
    head = _array_heads.get(key)
    if head is None:
        spec = None if array.dtype.hasobject else numpy_spec(array.dtype)
        if type(spec) is not str or has_no_width(array.dtype):
            return None
        head = _remember(_array_heads, key, _head(NUMPY, spec, array.shape))
    return head


def head_of_tensor(tensor: Any) -> bytes | None:
    """The head of a tensor; None if it cannot be a leaf."""
    if tensor.layout is not sys.modules["torch"].strided or tensor.device.type != "cpu":
        return None
    if hasattr(tensor, "is_neg") and (tensor.is_neg() or tensor.is_conj()):
        return None
    key = (tensor.dtype, tensor.shape, tensor.stride())
    head = _tensor_heads.get(key)
    if head is None:
        name = torch_spec(tensor.dtype)
        if name is None or list(key[2]) != dense_strides(key[1]):
            return None
        head = _remember(_tensor_heads, key, _head(TORCH, name, tensor.shape))
    return head


def read_small(payload: bytes) -> Any:
    """The tensor or array of a leaf with its items.

    Raises:
        WireError: it is no such leaf.
        Unavailable: nothing here can hold it.
    """
    head = _head_in(payload)
    # A copy, which starts on a boundary, and which its owner may write to.
    return _make(head, bytearray(memoryview(payload)[len(head) :]))


def lent_leaf(head: bytes, offset: int, start: int, size: int) -> bytes:
    """The leaf of what has this head and lies `start` bytes into the block at `offset`, `size` bytes long."""
    return head + _PLACE.pack(offset, start, size)


def read_lent(payload: bytes, borrow: Callable[[int, int, int], memoryview]) -> Any:
    """The tensor or array of a leaf that `lent_leaf` has made.

    Args:
        payload: the leaf.
        borrow: what makes a view of a place.

    Raises:
        WireError: it is no such leaf.
        Unavailable: nothing here can hold it.
    """
    head = _head_in(payload)
    if len(payload) != len(head) + _PLACE.size:
        raise WireError("a place in a block has %d bytes" % (len(payload) - len(head)))
    return _make(head, borrow(*_PLACE.unpack_from(payload, len(head))))


def _head_in(payload: bytes) -> bytes:
    return payload[: int.from_bytes(payload[:2], "little")]


def _make(head: bytes, items: Any) -> Any:
    make = _makers.get(head)
    if make is None:
        make = _remember(_makers, head, _maker(head))
    return make(items)


def _head(framework: int, spec: str, shape: Any) -> bytes:
    head: bytes = packb([framework, spec, list(shape)])
    return (len(head) + 2).to_bytes(2, "little") + head


def _maker(head: bytes) -> Callable[[Any], Any]:
    """What makes the value from the items, in memory of its own, and raises if there are too few of them."""
    if len(head) > _LONGEST_HEAD:
        raise WireError("a small tensor with a head of %d bytes" % len(head))
    framework, spec, shape = unpackb(head[2:])
    if type(spec) is not str:
        raise WireError("a small tensor of dtype %.40r" % (spec,))
    count = extent(shape, None) if type(shape) is list else 0
    row = checked_row([framework, spec, shape, None, 0, 0 if count else -1, None])
    torch = installed("torch") if framework == TORCH else None
    if torch is not None and hasattr(torch, "frombuffer"):
        dtype, _ = torch_dtype(torch, spec)
        if count:
            return lambda items: torch.frombuffer(items, dtype=dtype).view(shape)
        return lambda items: torch.empty(shape, dtype=dtype)
    numpy = installed("numpy")
    if torch is None and numpy is not None and spec != "complex32" and not is_ml_dtype(spec):
        dtype = numpy_dtype(numpy, spec)
        if not has_no_width(dtype):
            return lambda items: numpy.ndarray(shape, dtype, items)
    # Something is missing here or old, and the reader of tables knows what to do then.
    return lambda items: TensorReader([row], [items], place=False).read(0)


def _remember(memory: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    if len(memory) >= _MOST_HEADS:
        memory.clear()
    memory[key] = value
    return value
