"""A file that two processes map, and parts of it that are one process's own: all that knows the operating system's mmap.

Memory of a shared mapping is the same for both. In a private one both see the same bytes, but who writes gets a copy of the
page that nobody else sees.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from typing import Any

__all__ = ["HAS_WINDOWS", "PAGE", "Mapping", "whole_pages"]

PAGE = mmap.PAGESIZE
#: Whether there can be windows; Python 3.7 cannot close them, and only Linux forgets what was written into them.
HAS_WINDOWS = hasattr(mmap.mmap, "madvise") and sys.platform.startswith("linux")
_MAP_FIXED = 0x10  # on Linux, macOS and the BSDs alike; not in the mmap module before Python 3.13


class Mapping:
    """A shared mapping of a whole file.

    Args:
        fd: the file, which is closed here.
        size: how many bytes it has.

    Attributes:
        memory: the mapping, with the buffer protocol.
        base: its address.
    """

    def __init__(self, fd: int, size: int) -> None:
        try:
            self.memory = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._windows: mmap.mmap | None = None
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def private_view(self, offset: int, size: int) -> Any:
        """A private mapping of `size` bytes at `offset`, apart from this one; it ends with its last view."""
        return mmap.mmap(self._fd, size, flags=mmap.MAP_PRIVATE, prot=_PROT, offset=offset)

    def private_window(self, offset: int, size: int) -> Any:
        """Like `private_view`, where no other window is open; `close_window` ends it.

        It is a part of one mapping of the whole file, which there is already: making one takes as long as a short call.
        """
        if self._windows is None:
            self._windows = mmap.mmap(self._fd, len(self.memory), flags=mmap.MAP_PRIVATE, prot=_PROT)
        return (ctypes.c_ubyte * size).from_buffer(self._windows, offset)

    def close_window(self, offset: int, size: int) -> None:
        """What was written into the window is gone."""
        assert self._windows is not None
        self._windows.madvise(mmap.MADV_DONTNEED, offset, size)

    def make_private(self, offset: int, size: int) -> None:
        """From here on what this process writes into these pages is its own."""
        self._map_again(offset, size, mmap.MAP_PRIVATE)

    def make_shared(self, offset: int, size: int) -> None:
        """The opposite of `make_private`; what was written meanwhile is gone."""
        self._map_again(offset, size, mmap.MAP_SHARED)

    def _map_again(self, offset: int, size: int, flag: int) -> None:
        # In place of the old mapping, at the same address and in one step: other threads may be looking.
        address = _mmap(self.base + offset, size, _PROT, flag | _MAP_FIXED, self._fd, offset)
        if address != self.base + offset:
            raise OSError(ctypes.get_errno(), "mmap: %s" % os.strerror(ctypes.get_errno()))

    def __del__(self) -> None:
        os.close(self._fd)


def whole_pages(size: int) -> int:
    """The least multiple of the page's size that is not less than `size`."""
    return -(-size // PAGE) * PAGE


_PROT = mmap.PROT_READ | mmap.PROT_WRITE
_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
