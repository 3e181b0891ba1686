"""Shared memory for large buffers: the sender copies once, the receiver looks at the copy where it lies.

There is an arena for each direction, and only its sender gives out space in it, so the two processes never share a lock. A block
belongs to the receiver from the moment it is sent until the last view of it dies there; then the receiver says so with its next
message, and the sender may use the space again. Nobody writes into a block that the other side can still see.

An arena is a file without a name, inherited by the worker: it takes memory only where it was written to, and there is nothing
to clean up when both processes are gone, however they went.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
import threading
import weakref
from collections import deque
from typing import Callable

from .messages import WireError

__all__ = ["SMALLEST", "Inlet", "Outlet"]

# A smaller buffer is through a socket before anybody has looked for space.
SMALLEST = 64 * 1024
_PAGE = 4096


class Outlet:
    """The sender's side: gives out space, first fit, so that the pages at the front stay in use and warm.

    Args:
        fd: the arena's file, which is closed here.
        size: how many bytes there are, at the most.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._map = _mapped(fd, size)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._lock = threading.Lock()
        self._free = [(0, size)]  # offset and size of what is free, in order
        self._used: dict[int, int] = {}

    def put(self, address: int, size: int) -> int | None:
        """Copy `size` bytes at `address` of this process into the arena.

        Returns:
            The offset of the block; None if there is no space.
        """
        offset = self._take(_whole_pages(size))
        if offset is not None:
            ctypes.memmove(self._base + offset, address, size)
        return offset

    def free(self, offset: int) -> None:
        """The receiver has no view of the block at `offset` any more.

        Raises:
            WireError: there is no such block.
        """
        with self._lock:
            size = self._used.pop(offset, None)
            if size is None:
                raise WireError("the peer gives back block %d, which it was not given" % offset)
            at = bisect.bisect(self._free, (offset, 0))
            if at < len(self._free) and self._free[at][0] == offset + size:
                size += self._free.pop(at)[1]
            if at > 0 and sum(self._free[at - 1]) == offset:
                at -= 1
                before = self._free.pop(at)
                offset, size = before[0], before[1] + size
            self._free.insert(at, (offset, size))

    def _take(self, size: int) -> int | None:
        with self._lock:
            for at, (offset, available) in enumerate(self._free):
                if available >= size:
                    if available == size:
                        del self._free[at]
                    else:
                        self._free[at] = (offset + size, available - size)
                    self._used[offset] = size
                    return offset
        return None


class Inlet:
    """The receiver's side: views of blocks, and what has to be said once they are dead.

    Args:
        fd: the arena's file, which is closed here.
        size: how many bytes there are, at the most.
        on_dead: called, in whatever thread that happens, when there is something to say; it must not do much.
    """

    def __init__(self, fd: int, size: int, on_dead: Callable[[], None] | None = None) -> None:
        self._map = _mapped(fd, size)
        self._size = size
        self._on_dead = on_dead
        self._dead: deque[int] = deque()
        self._views: dict[int, _View] = {}

    def view(self, offset: int, size: int) -> memoryview:
        """The `size` bytes of the block at `offset`, which is this process's own until the last view of them dies.

        Raises:
            WireError: it does not lie in the arena.
        """
        if offset < 0 or size <= 0 or offset % _PAGE or offset + size > self._size:
            raise WireError("a block of %d bytes at %d of an arena of %d" % (size, offset, self._size))
        # Whole pages, since ctypes remembers each length that it was ever asked for.
        pages = (ctypes.c_ubyte * _whole_pages(size)).from_buffer(self._map, offset)
        self._views[offset] = _View(pages, self._forget, offset)
        return memoryview(pages).cast("B")[:size]

    def _forget(self, view: _View) -> None:
        self._views.pop(view.offset, None)
        self._dead.append(view.offset)
        if self._on_dead is not None:
            self._on_dead()

    @property
    def has_dead(self) -> bool:
        """Whether `take_dead` would answer anything."""
        return bool(self._dead)

    def take_dead(self) -> list[int]:
        """The blocks whose last view has died since this was last asked."""
        dead = []
        try:
            while True:
                dead.append(self._dead.popleft())
        except IndexError:
            return dead  # it is empty, perhaps because another thread asks too


class _View(weakref.ref):  # type: ignore[type-arg]
    __slots__ = ("offset",)

    offset: int

    def __new__(cls, pages: object, callback: Callable[[_View], None], offset: int) -> _View:
        self = super().__new__(cls, pages, callback)
        self.offset = offset
        return self

    def __init__(self, pages: object, callback: Callable[[_View], None], offset: int) -> None:
        super().__init__(pages, callback)  # type: ignore[call-arg]


def _mapped(fd: int, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
