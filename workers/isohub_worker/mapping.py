"""A file that two processes map, and parts of it that are one process's own: all that knows the operating system's mmap.

Memory of a shared mapping is the same for both. In a private one both see the same bytes, but who writes gets a copy of the
page that nobody else sees.

A page of the file takes memory from when it is first written to. Where there is none left, whoever writes by the mapping is
killed (SIGBUS), and whoever writes to the file is told.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from typing import Any

__all__ = ["PAGE", "Mapping", "whole_pages"]

PAGE = mmap.PAGESIZE
# Whether there can be windows; Python 3.7 cannot close them, and only Linux forgets what was written into them.
_HAS_WINDOWS = hasattr(mmap.mmap, "madvise") and sys.platform.startswith("linux")
_MAP_FIXED = 0x10  # on Linux, macOS and the BSDs alike; not in the mmap module before Python 3.13


class Mapping:
    """A shared mapping of a whole file.

    Args:
        fd: the file, which is closed here.
        size: how many bytes it has.

    Attributes:
        memory: the mapping, with the buffer protocol.
        base: its address.

    Raises:
        MemoryError: the system does not let it be mapped.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._file = _identity(fd)
        self.memory = _mapped(fd, size, mmap.MAP_SHARED, 0)
        self._windows: mmap.mmap | None = None
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def write(self, offset: int, address: int, size: int) -> int:
        """Copy `size` bytes at `address` of this process to `offset`, where there may be no pages yet.

        Returns:
            How many bytes there was room for.
        """
        done = 0
        while done < size and self._has_file():
            count = _pwrite(self._fd, address + done, size - done, offset + done)
            if count > 0:
                done += count
            elif count == 0 or ctypes.get_errno() != errno.EINTR:
                break
        return done

    def private_view(self, offset: int, size: int) -> Any:
        """A private mapping of `size` bytes at `offset`, apart from this one; it ends with its last view.

        Raises:
            MemoryError: the system does not let it be mapped.
        """
        self._require_file()
        return _mapped(self._fd, size, mmap.MAP_PRIVATE, offset)

    def private_window(self, offset: int, size: int) -> Any | None:
        """Like `private_view`, where no other window is open; `close_window` ends it. None if there cannot be windows.

        It is a part of one mapping of the whole file, which there is already: making one takes as long as a short call. Under a
        limit of memory all of that mapping would count.
        """
        if self._windows is None:
            if not _HAS_WINDOWS or _is_limited():
                return None
            self._require_file()
            self._windows = _mapped(self._fd, len(self.memory), mmap.MAP_PRIVATE, 0)
        return (ctypes.c_ubyte * size).from_buffer(self._windows, offset)

    def close_window(self, offset: int, size: int) -> None:
        """What was written into the window is gone."""
        assert self._windows is not None
        self._windows.madvise(mmap.MADV_DONTNEED, offset, size)

    def make_private(self, offset: int, size: int) -> None:
        """From here on what this process writes into these pages is its own.

        Raises:
            MemoryError: the system does not let them be mapped.
        """
        self._map_again(offset, size, mmap.MAP_PRIVATE)

    def make_shared(self, offset: int, size: int) -> None:
        """The opposite of `make_private`; what was written meanwhile is gone."""
        self._map_again(offset, size, mmap.MAP_SHARED)

    def _map_again(self, offset: int, size: int, flag: int) -> None:
        # In place of the old mapping, at the same address and in one step: other threads may be looking.
        self._require_file()
        address = _mmap(self.base + offset, size, _PROT, flag | _MAP_FIXED, self._fd, offset)
        if address != self.base + offset:
            raise MemoryError(_refusal(size, os.strerror(ctypes.get_errno())))

    def _has_file(self) -> bool:
        """Whether the file descriptor is still what it was: in a worker the repository's code may have closed it."""
        try:
            return _identity(self._fd) == self._file
        except OSError:
            return False

    def _require_file(self) -> None:
        if not self._has_file():
            raise MemoryError("the file of the shared memory was closed")

    def __del__(self) -> None:
        if self._has_file():
            os.close(self._fd)


def whole_pages(size: int) -> int:
    """The least multiple of the page's size that is not less than `size`."""
    return -(-size // PAGE) * PAGE


def _mapped(fd: int, size: int, flags: int, offset: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, size, flags=flags, prot=_PROT, offset=offset)
    except OSError as error:
        raise MemoryError(_refusal(size, error.strerror)) from error


def _is_limited() -> bool:
    import resource

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits)


def _refusal(size: int, why: str | None) -> str:
    return "the system does not let %d bytes be mapped: %s" % (size, why)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


_PROT = mmap.PROT_READ | mmap.PROT_WRITE
_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_pwrite = _libc.pwrite
_pwrite.restype = ctypes.c_ssize_t
_pwrite.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
