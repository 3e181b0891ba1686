"""Tensors and arrays on their way in: made from a table and its buffers, of which nothing is believed; see ``tensors``."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any, Sequence

from .dtypes import has_no_width, installed, is_ml_dtype, numpy_dtype, torch_dtype, torch_name
from .messages import Unavailable, WireError
from .tensors import NUMPY, TORCH, extent

__all__ = ["TensorReader", "checked_row"]

# Which items need more than the 8 bytes of alignment that the memory of a large message has.
_WIDE = ("complex128", "<c16", ">c16")


class TensorReader:
    """Makes the tensors and arrays of one message from its table and buffers.

    Args:
        table: as the peer sent it; nothing in it is believed.
        buffers: writable, one for each of the table's buffers; their memory becomes the arrays'. A MemoryError in place of one
            is raised for those that need it.
        place: whether a row's `device` is honoured (in the worker) or everything stays on the CPU (in the host).
    """

    def __init__(self, table: object, buffers: Sequence[Any], place: bool) -> None:
        if type(table) is not list:
            raise WireError("the table of tensors is not a list")
        self._table = table
        self._buffers = buffers
        self._place = place
        self._settled: dict[int, memoryview] = {}
        self._wide: set[int] | None = None  # buffers of which a row needs more than the usual alignment

    def read(self, index: int) -> Any:
        """The tensor or array of row `index`.

        Raises:
            WireError: the row is not one, or it leads out of its buffer.
            Unavailable: nothing here can hold it, or not on the device that it is wanted on.
        """
        if not 0 <= index < len(self._table):
            raise WireError("tensor %d of %d" % (index, len(self._table)))
        framework, dtype, shape, strides, offset, buffer, device = checked_row(self._table[index])
        data = self._buffer(buffer)
        torch = installed("torch") if framework == TORCH or is_ml_dtype(dtype) else None
        if torch is not None and (framework == TORCH or installed("ml_dtypes") is None):
            tensor = _read_torch(torch, dtype, shape, strides, offset, data)
            return _placed(tensor, device) if device is not None and self._place else tensor
        numpy = installed("numpy")
        if numpy is not None:
            return _read_numpy(numpy, dtype, shape, strides, offset, data)
        torch, name = installed("torch"), torch_name(dtype)
        if torch is None or name is None:
            raise Unavailable("a value of this call is an array, and there is no numpy to hold it")
        return _read_torch(torch, name, shape, strides, offset, data)

    def _buffer(self, index: int) -> memoryview | None:
        if index == -1:
            return None
        if not 0 <= index < len(self._buffers):
            raise WireError("buffer %d of %d" % (index, len(self._buffers)))
        data = self._settled.get(index)
        if data is None:
            if isinstance(self._buffers[index], MemoryError):
                raise self._buffers[index]
            data = memoryview(self._buffers[index]).cast("B")
            # Settled once for all rows: those that share memory would not if each made a copy of its own.
            data = memoryview(bytearray(data)) if data.readonly else _aligned(data, self._alignment(index))
            self._settled[index] = data
        return data

    def _alignment(self, index: int) -> int:
        if self._wide is None:
            self._wide = {row[5] for row in map(checked_row, self._table) if row[1] in _WIDE}
        return 16 if index in self._wide else 8


def _placed(tensor: Any, device: str) -> Any:
    try:
        return tensor.to(device)
    except (RuntimeError, AssertionError, MemoryError) as error:
        raise Unavailable("a tensor cannot be put on %.40r: %s" % (device, error)) from error


def _read_torch(torch: Any, name: str, shape: Any, strides: Any, offset: int, data: memoryview | None) -> Any:
    dtype, itemsize = torch_dtype(torch, name)
    if data is None:
        _require_no_items(shape)
        return torch.empty(shape, dtype=dtype)
    size = extent(shape, strides) * itemsize
    _require_inside(offset, size, data)
    data = _aligned(data[offset : offset + size], itemsize)
    if hasattr(torch, "frombuffer"):
        flat = torch.frombuffer(data, dtype=dtype) if size else torch.empty(0, dtype=dtype)
    else:
        # torch before 1.10
        numpy = importlib.import_module("numpy")
        flat = torch.from_numpy(numpy.frombuffer(data, dtype=name if name != "bfloat16" else "int16"))
        if name == "bfloat16":
            flat = flat.view(dtype)
    return flat.view(shape) if strides is None else flat.as_strided(shape, strides)


def _read_numpy(numpy: Any, spec: Any, shape: Any, strides: Any, offset: int, data: memoryview | None) -> Any:
    if spec == "complex32":
        # NumPy has no half complex: widen the memory, of which the shape may show the same item any number of times.
        flat = numpy.empty(0, "float16")
        if data is not None:
            size = extent(shape, strides) * 4
            _require_inside(offset, size, data)
            flat = numpy.frombuffer(_aligned(data[offset : offset + size], 4), "float16")
        spec, offset = "complex64", 0
        data = data if data is None else memoryview(flat.astype("float32")).cast("B")
    dtype = numpy_dtype(numpy, spec)
    if has_no_width(dtype) and shape:
        raise WireError("an array of %.40r" % (spec,))
    if data is None:
        if dtype.itemsize:
            _require_no_items(shape)
        return numpy.zeros(shape, dtype)
    itemsize = dtype.itemsize
    size = extent(shape, strides) * itemsize
    _require_inside(offset, size, data)
    data = _aligned(data[offset : offset + size], dtype.alignment)
    if strides is None:
        return numpy.ndarray(shape, dtype, data)
    return numpy.ndarray(shape, dtype, data, 0, [stride * itemsize for stride in strides])


def _aligned(data: memoryview, alignment: int) -> memoryview:
    """`data`, or a copy of it if it does not start on a boundary that the processor likes.

    A short message lies somewhere inside a larger receive buffer; a copy also lets go of that.
    """
    if (
        not data.nbytes
        or alignment == 1
        or ctypes.addressof(ctypes.c_char.from_buffer(data)) % alignment == 0
    ):
        return data
    return memoryview(bytearray(data))


def checked_row(row: Any) -> list[Any]:
    """The row, if it is one: of the types that ``tensors`` says, and nothing negative.

    Raises:
        WireError: it is not.
    """
    if type(row) is not list or len(row) != 7:
        raise WireError("a row of the table of tensors has 7 fields")
    framework, dtype, shape, strides, offset, buffer, device = row
    if framework not in (TORCH, NUMPY) or not isinstance(dtype, (str, list)):
        raise WireError("a tensor of framework %.40r and dtype %.40r" % (framework, dtype))
    if type(offset) is not int or type(buffer) is not int or offset < 0:
        raise WireError("a tensor at %.40r of buffer %.40r" % (offset, buffer))
    for numbers in (shape,) if strides is None else (shape, strides):
        if type(numbers) is not list or len(numbers) > 64:
            raise WireError("a tensor of shape %.80r and strides %.80r" % (shape, strides))
        for number in numbers:
            if type(number) is not int or number < 0:
                raise WireError("a tensor of shape %.80r and strides %.80r" % (shape, strides))
    if strides is not None and len(shape) != len(strides):
        raise WireError("a tensor of shape %.80r and strides %.80r" % (shape, strides))
    if not (device is None or isinstance(device, str)):
        raise WireError("a tensor on device %.40r" % (device,))
    return row


def _require_inside(offset: int, size: int, data: memoryview) -> None:
    if offset + size > data.nbytes:
        raise WireError("a tensor needs %d bytes at %d of a buffer of %d" % (size, offset, data.nbytes))


def _require_no_items(shape: Sequence[int]) -> None:
    if not any(size == 0 for size in shape):
        raise WireError("a tensor of shape %.80r has no buffer" % (list(shape),))
