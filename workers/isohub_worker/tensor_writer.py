"""Tensors and arrays on their way out: a table and the buffers that it is about; see ``tensors``."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from .dtypes import TORCH_DTYPES, has_no_width, numpy_spec, torch_spec
from .tensors import NUMPY, TORCH, address_of, dense_strides, extent, is_tensor

__all__ = ["Memory", "TensorWriter"]


class TensorWriter:
    """Collects the tensors and arrays of one message while it is being packed."""

    def __init__(self) -> None:
        self.table: list[list[Any]] = []
        self._owners: list[
            tuple[Any, int]
        ] = []  # for each row the tensor or array, and how many bytes it spans

    def add_tensor(self, tensor: Any) -> int | None:
        """Take a torch tensor in. Returns its row in the table, or None if it has no form as bytes."""
        torch = sys.modules["torch"]
        name = torch_spec(tensor.dtype)
        if name is None or tensor.layout is not torch.strided:
            return None
        device = tensor.device
        if device.type == "meta":
            return None
        if hasattr(tensor, "is_neg") and (tensor.is_neg() or tensor.is_conj()):
            tensor = tensor.detach().resolve_conj().resolve_neg()
        place = None
        if device.type != "cpu":
            place = str(device)
            tensor = tensor.detach().cpu()
        shape, strides = list(tensor.shape), list(tensor.stride())
        if strides == dense_strides(shape):
            row = [TORCH, name, shape, None, 0, -1, place]
            return self._add(row, tensor, tensor.numel() * tensor.element_size())
        row = [TORCH, name, shape, strides, 0, -1, place]
        return self._add(row, tensor, extent(shape, strides) * tensor.element_size())

    def add_array(self, array: Any, framework: int = NUMPY, device: str | None = None) -> int | None:
        """Take a NumPy array in. Returns its row in the table, or None if it has no form as bytes."""
        numpy = sys.modules["numpy"]
        if type(array) is not numpy.ndarray and not isinstance(array, (numpy.memmap, numpy.recarray)):
            return None  # it is more than its bytes
        if array.dtype.hasobject or (has_no_width(array.dtype) and array.ndim > 0):
            return None
        dtype = numpy_spec(array.dtype)
        if dtype is None:
            return None
        if framework == TORCH:
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            dtype = array.dtype.name
            if dtype not in TORCH_DTYPES:
                return None
        strides = None
        flags = array.flags
        if not flags.c_contiguous:
            if flags.f_contiguous:
                itemsize = array.dtype.itemsize
                # NumPy leaves any stride at an axis with nothing to stride over.
                strides = [
                    stride // itemsize if count > 1 else 0
                    for stride, count in zip(array.strides, array.shape)
                ]
            else:
                array = numpy.ascontiguousarray(array)
        return self._add([framework, dtype, list(array.shape), strides, 0, -1, device], array, array.nbytes)

    def _add(self, row: list[Any], owner: Any, size: int) -> int:
        self.table.append(row)
        self._owners.append((owner, size))
        return len(self.table) - 1

    def finish(self) -> list[Memory]:
        """Settle which rows share memory, and return the buffers, which keep what they show alive."""
        groups: list[Memory] = []
        for start, end, row, owner in sorted(self.spans(), key=lambda span: span[:2]):
            if not groups or start >= groups[-1].end:
                groups.append(Memory(start))
            group = groups[-1]
            group.end = max(group.end, end)
            group.owners.append(owner)
            group.rows.append(row)
            row[4] = start - group.start
            row[5] = len(groups) - 1
        for group in groups:
            group.settle()
        return groups

    def spans(self) -> list[tuple[int, int, list[Any], Any]]:
        """Where the tensors lie, from and to which address, each with its row and itself; not those without bytes."""
        found = []
        for row, (owner, size) in zip(self.table, self._owners):
            if size:
                start = address_of(owner)
                found.append((start, start + size, row, owner))
        return found


class Memory:
    """A span of this process's memory, the rows that look at it, and the objects that keep it alive.

    Attributes:
        start: its address.
        end: where it ends.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.rows: list[list[Any]] = []
        self.owners: list[Any] = []

    def __len__(self) -> int:
        return self.end - self.start

    def settle(self) -> None:
        """There will be no other rows."""
        if len(self.rows) == 1 and self.rows[0][3] is not None and is_tensor(self.owners[0]):
            self._close_gaps(self.rows[0], self.owners[0])

    def view(self) -> memoryview:
        size = len(self)
        # Rounded up, since ctypes remembers each length that it was ever asked for; nobody looks at what is too much.
        array = (ctypes.c_ubyte * (-(-size // 4096) * 4096)).from_address(self.start)
        array._owners = self.owners  # type: ignore[attr-defined]
        return memoryview(array).cast("B")[:size]

    def _close_gaps(self, row: list[Any], tensor: Any) -> None:
        """A few rows of a large tensor, which nothing else in the message shares, travel without what lies between."""
        if self.end - self.start > tensor.numel() * tensor.element_size():
            tensor = tensor.detach().contiguous()
            row[3] = None
            self.start = tensor.data_ptr()
            self.end = self.start + tensor.numel() * tensor.element_size()
            self.owners = [tensor]
