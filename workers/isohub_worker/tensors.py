"""Tensors and arrays as flat buffers and a table that says how to look at them.

An array lies on the wire as a span of bytes; the table has one row for each tensor or array of a message::

    [framework, dtype, shape, strides, offset, buffer, device]

`framework` is TORCH or NUMPY; `dtype` is spelt as in ``dtypes``; `shape` and `strides` count elements, and `strides` is None for
what lies there row by row without gaps; `offset` counts bytes from the start of the buffer; `buffer` is an index into the
message's buffers, or -1 where there are no bytes at all; `device` is where the worker puts the tensor, or None for the CPU.

Two tensors of one message that look at overlapping memory share one buffer, so writing to one shows in the other, as it
did where they came from. Nothing else is shared: each side owns what it has.

A process without torch gets tensors as NumPy arrays, and a process without NumPy gets arrays as tensors.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Sequence

__all__ = [
    "NUMPY",
    "TORCH",
    "TensorArgument",
    "address_of",
    "dense_strides",
    "extent",
    "is_array",
    "is_tensor",
]

TORCH, NUMPY = 0, 1


class TensorArgument:
    """An array that is to arrive as a tensor, whatever it is here.

    Args:
        array: a NumPy array, or what ``numpy.asarray`` takes.
        device: where the worker puts it, such as ``"cuda:0"``; None for the CPU.
    """

    __slots__ = ("array", "device")

    def __init__(self, array: Any, device: str | None = None) -> None:
        self.array = array
        self.device = device


def is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(value, torch.Tensor)


def is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and hasattr(numpy, "ndarray") and isinstance(value, numpy.ndarray)


def address_of(value: Any) -> int:
    """Where the first item of a tensor or an array lies."""
    if is_tensor(value):
        return int(value.data_ptr())
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(value))
    except (TypeError, ValueError, BufferError):
        # It cannot be written to, or is not in one piece; asking like this takes four times as long.
        return int(value.__array_interface__["data"][0])


def extent(shape: Sequence[int], strides: Sequence[int] | None) -> int:
    """How many items the memory of such an array spans, first to last."""
    if strides is None:
        count = 1
        for size in shape:
            count *= size
        return count
    if any(size == 0 for size in shape):
        return 0
    return sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1


def dense_strides(shape: Sequence[int]) -> list[int]:
    """The strides of an array that lies in memory row by row without gaps."""
    strides = []
    count = 1
    for size in reversed(shape):
        strides.append(count)
        count *= size
    strides.reverse()
    return strides
