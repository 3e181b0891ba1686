"""Tensors and arrays as flat buffers and a table that says how to look at them.

An array lies on the wire as a span of bytes; the table has one row for each tensor or array of a message::

    [framework, dtype, shape, strides, offset, buffer, device]

`framework` is TORCH or NUMPY; `dtype` is spelt as in ``dtypes``; `shape` and `strides` count elements; `offset` counts bytes from
the start of the buffer; `buffer` is an index into the message's buffers, or -1 where there are no bytes at all; `device` is where
the tensor is wanted in the worker, or None for the CPU.

Two tensors of one message that look at overlapping memory share one buffer, so writing to one shows in the other, as it
did where they came from. Nothing else is shared: each side owns what it has.

A process without torch gets tensors as NumPy arrays, and a process without NumPy gets arrays as tensors.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any, Sequence

from .dtypes import TORCH_DTYPES, has_no_width, installed, is_ml_dtype, numpy_dtype, numpy_spec, torch_name
from .messages import Unavailable, WireError

__all__ = [
    "NUMPY",
    "TORCH",
    "TensorArgument",
    "TensorReader",
    "TensorWriter",
    "is_array",
    "is_tensor",
]

TORCH, NUMPY = 0, 1

# Which items need more than the 8 bytes of alignment that the memory of a large message has.
_WIDE = ("complex128", "<c16", ">c16")


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


class TensorWriter:
    """Collects the tensors and arrays of one message while it is being packed."""

    def __init__(self) -> None:
        self.table: list[list[Any]] = []
        self._spans: list[tuple[int, int, object]] = []  # start address, end address, owner of the memory

    def add_tensor(self, tensor: Any) -> int | None:
        """Take a torch tensor in. Returns its row in the table, or None if it has no form as bytes."""
        torch = sys.modules["torch"]
        name = str(tensor.dtype)[len("torch.") :]
        if name not in TORCH_DTYPES or tensor.layout != torch.strided or tensor.is_quantized:
            return None
        device = None if tensor.device.type == "cpu" else str(tensor.device)
        if tensor.device.type == "meta":
            return None
        tensor = tensor.detach()
        for settle in ("resolve_conj", "resolve_neg"):
            if hasattr(tensor, settle):
                tensor = getattr(tensor, settle)()
        tensor = tensor.cpu()
        shape, strides = list(tensor.shape), list(tensor.stride())
        size = _extent(shape, strides) * tensor.element_size()
        address = tensor.data_ptr() if size else 0
        return self._add([TORCH, name, shape, strides, 0, -1, device], address, size, tensor)

    def add_array(self, array: Any, framework: int = NUMPY, device: str | None = None) -> int | None:
        """Take a NumPy array in. Returns its row in the table, or None if it has no form as bytes."""
        numpy = sys.modules["numpy"]
        if array.dtype.hasobject or (type(array) is not numpy.ndarray and _has_more_than_bytes(array)):
            return None
        dtype = numpy_spec(array.dtype)
        if dtype is None or (has_no_width(array.dtype) and array.ndim > 0):
            return None
        if framework == TORCH:
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            dtype = array.dtype.name
            if dtype not in TORCH_DTYPES:
                return None
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            array = numpy.ascontiguousarray(array)
        itemsize = array.dtype.itemsize
        size = array.size * itemsize
        # NumPy leaves any stride at an axis with nothing to stride over.
        strides = [
            stride // itemsize if size and count > 1 else 0
            for stride, count in zip(array.strides, array.shape)
        ]
        address = array.__array_interface__["data"][0] if size else 0
        return self._add([framework, dtype, list(array.shape), strides, 0, -1, device], address, size, array)

    def _add(self, row: list[Any], address: int, size: int, owner: object) -> int:
        self.table.append(row)
        self._spans.append((address, address + size, owner))
        return len(self.table) - 1

    def finish(self) -> list[memoryview]:
        """Settle which rows share memory, and return the buffers; they keep what they show alive."""
        groups: list[_Memory] = []
        for index in sorted(range(len(self._spans)), key=lambda at: self._spans[at][:2]):
            start, end, owner = self._spans[index]
            if start == end:
                continue
            if not groups or start >= groups[-1].end:
                groups.append(_Memory(start))
            group = groups[-1]
            group.end = max(group.end, end)
            group.owners.append(owner)
            group.rows.append(self.table[index])
            self.table[index][4] = start - group.start
            self.table[index][5] = len(groups) - 1
        return [group.view() for group in groups]


class _Memory:
    """A span of this process's memory, the rows that look at it, and the objects that keep it alive."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.rows: list[list[Any]] = []
        self.owners: list[Any] = []

    def view(self) -> memoryview:
        if len(self.rows) == 1 and self.rows[0][0] == TORCH and is_tensor(self.owners[0]):
            self._close_gaps(self.rows[0], self.owners[0])
        size = self.end - self.start
        # Rounded up, since ctypes remembers each length that it was ever asked for; nobody looks at what is too much.
        array = (ctypes.c_ubyte * (-(-size // 4096) * 4096)).from_address(self.start)
        array._owners = self.owners  # type: ignore[attr-defined]
        return memoryview(array).cast("B")[:size]

    def _close_gaps(self, row: list[Any], tensor: Any) -> None:
        """A few rows of a large tensor, which nothing else in the message shares, travel without what lies between."""
        if self.end - self.start > tensor.numel() * tensor.element_size():
            tensor = tensor.contiguous()
            row[3] = list(tensor.stride())
            self.start = tensor.data_ptr()
            self.end = self.start + tensor.numel() * tensor.element_size()
            self.owners = [tensor]


class TensorReader:
    """Makes the tensors and arrays of one message from its table and buffers.

    Args:
        table: as the peer sent it; nothing in it is believed.
        buffers: writable, one for each of the table's buffers; their memory becomes the arrays'.
        place: whether a row's `device` is honoured (in the worker) or everything stays on the CPU (in the host).
    """

    def __init__(self, table: object, buffers: Sequence[Any], place: bool) -> None:
        if type(table) is not list:
            raise WireError("the table of tensors is not a list")
        self._table = table
        self._buffers = buffers
        self._place = place
        self._wide = {row[5] for row in table if type(row) is list and len(row) == 7 and row[1] in _WIDE}
        self._settled: dict[int, memoryview] = {}

    def read(self, index: int) -> Any:
        """The tensor or array of row `index`.

        Raises:
            WireError: the row is not one, or it leads out of its buffer.
            Unavailable: nothing here can hold it, or not on the device that it is wanted on.
        """
        if not 0 <= index < len(self._table):
            raise WireError("tensor %d of %d" % (index, len(self._table)))
        framework, dtype, shape, strides, offset, buffer, device = _checked_row(self._table[index])
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
            data = memoryview(self._buffers[index]).cast("B")
            # Settled once for all rows: those that share memory would not if each made a copy of its own.
            alignment = 16 if index in self._wide else 8
            data = memoryview(bytearray(data)) if data.readonly else _aligned(data, alignment)
            self._settled[index] = data
        return data


def _placed(tensor: Any, device: str) -> Any:
    try:
        return tensor.to(device)
    except (RuntimeError, AssertionError, MemoryError) as error:
        raise Unavailable("a tensor cannot be put on %.40r: %s" % (device, error)) from error


def _read_torch(torch: Any, name: str, shape: Any, strides: Any, offset: int, data: memoryview | None) -> Any:
    if name not in TORCH_DTYPES:
        raise WireError("unknown dtype %.40r" % (name,))
    dtype = getattr(torch, name, None)
    if dtype is None:
        raise Unavailable("torch %s has no dtype %.40r" % (torch.__version__, name))
    if data is None:
        _require_no_items(shape)
        return torch.empty(shape, dtype=dtype)
    itemsize = torch.empty((), dtype=dtype).element_size()
    extent = _extent(shape, strides)
    _require_inside(offset, extent * itemsize, data)
    data = _aligned(data[offset : offset + extent * itemsize], itemsize)
    if hasattr(torch, "frombuffer"):
        flat = torch.frombuffer(data, dtype=dtype)
    else:
        # torch before 1.10
        numpy = importlib.import_module("numpy")
        flat = torch.from_numpy(numpy.frombuffer(data, dtype=name if name != "bfloat16" else "int16"))
        if name == "bfloat16":
            flat = flat.view(dtype)
    return flat.as_strided(shape, strides)


def _read_numpy(numpy: Any, spec: Any, shape: Any, strides: Any, offset: int, data: memoryview | None) -> Any:
    if spec == "complex32":
        # NumPy has no half complex: widen the memory, of which the shape may show the same item any number of times.
        flat = numpy.empty(0, "float16")
        if data is not None:
            size = _extent(shape, strides) * 4
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
    size = _extent(shape, strides) * dtype.itemsize
    _require_inside(offset, size, data)
    data = _aligned(data[offset : offset + size], dtype.alignment)
    return numpy.ndarray(shape, dtype, data, 0, [stride * dtype.itemsize for stride in strides])


def _aligned(data: memoryview, alignment: int) -> memoryview:
    """`data`, or a copy of it if it does not start on a boundary that the processor likes.

    A short message lies somewhere inside a larger receive buffer; a copy also lets go of that.
    """
    if not data.nbytes or ctypes.addressof(ctypes.c_char.from_buffer(data)) % alignment == 0:
        return data
    return memoryview(bytearray(data))


def _checked_row(row: object) -> tuple[int, Any, list[int], list[int], int, int, str | None]:
    if type(row) is not list or len(row) != 7:
        raise WireError("a row of the table of tensors has 7 fields")
    framework, dtype, shape, strides, offset, buffer, device = row
    if framework not in (TORCH, NUMPY) or not isinstance(dtype, (str, list)):
        raise WireError("a tensor of framework %.40r and dtype %.40r" % (framework, dtype))
    for numbers in (shape, strides, [offset, buffer]):
        if type(numbers) is not list or any(type(number) is not int for number in numbers):
            raise WireError("a tensor's shape, strides, offset and buffer are whole numbers")
    if len(shape) != len(strides) or len(shape) > 64 or offset < 0 or any(n < 0 for n in [*shape, *strides]):
        raise WireError("a tensor of shape %.80r and strides %.80r" % (shape, strides))
    if not (device is None or isinstance(device, str)):
        raise WireError("a tensor on device %.40r" % (device,))
    return framework, dtype, shape, strides, offset, buffer, device


def _extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many items the memory of such an array spans, first to last."""
    if any(size == 0 for size in shape):
        return 0
    return sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1


def _require_inside(offset: int, size: int, data: memoryview) -> None:
    if offset + size > data.nbytes:
        raise WireError("a tensor needs %d bytes at %d of a buffer of %d" % (size, offset, data.nbytes))


def _require_no_items(shape: Sequence[int]) -> None:
    if not any(size == 0 for size in shape):
        raise WireError("a tensor of shape %.80r has no buffer" % (list(shape),))


def _has_more_than_bytes(array: Any) -> bool:
    numpy = sys.modules["numpy"]
    return not isinstance(array, (numpy.memmap, numpy.recarray))
