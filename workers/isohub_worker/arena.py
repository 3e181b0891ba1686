"""Shared memory for large buffers: the sender copies once, the receiver looks at the copy where it lies.

There is an arena for each direction, and only its sender gives out space in it, so the two processes never share a lock. A block
belongs to the receiver from the moment it is sent until the last view of it dies there; then the receiver says so with its next
message, and the sender may use the space again. Nobody writes into a block that the other side can still see.

What the receiver sends back out of a block, it does not send at all: it lends the block. The owner of the arena looks at it in a
mapping that keeps its own writes to itself, while the receiver waits for the answer and writes nothing. If the owner still looks
when it has answered, or the receiver waits no longer, then the receiver's own mapping of the block becomes private too. From
there on each has its own, and only the pages that one of them writes to are copied.

An arena is a file without a name, inherited by the worker: it takes memory only where it was written to, and there is nothing
to clean up when both processes are gone, however they went. What is first put into a part of it is written by way of the file,
which says if there is no memory left; then the arena is full.
"""

from __future__ import annotations

import bisect
import ctypes
import threading
import weakref
from collections import deque
from typing import Any, Callable

from .mapping import PAGE, Mapping, whole_pages
from .messages import WireError

__all__ = ["SMALLEST", "Inlet", "Outlet", "Watch"]

# A smaller buffer is through a socket before anybody has looked for space.
SMALLEST = 64 * 1024


class Outlet:
    """The sender's side: gives out space, first fit, so that the pages at the front stay in use and warm.

    Args:
        fd: the arena's file, which is closed here.
        size: how many bytes there are, at the most.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._mapping = Mapping(fd, size)
        self._lock = threading.Lock()
        self._free = [(0, size)]  # offset and size of what is free, in order
        # Up to here there are pages, or those who use the blocks are making them.
        self._backed = 0
        self._used: dict[int, _Block] = {}
        self._borrowed: dict[
            int, Watch
        ] = {}  # by their own id: a weak reference has the hash of what it refers to
        self._returned: deque[int] = deque()  # blocks of which a borrowed view has died

    def put(self, address: int, size: int) -> int | None:
        """Copy `size` bytes at `address` of this process into the arena.

        Returns:
            The offset of the block; None if there is no space.
        """
        offset, backed = self._take(whole_pages(size))
        if offset is None:
            return None
        if backed:
            ctypes.memmove(self._mapping.base + offset, address, size)
            return offset
        written = self._mapping.write(offset, address, size)
        if written == size:
            return offset
        with self._lock:
            self._backed = min(self._backed, offset + written // PAGE * PAGE)
            block = self._used[offset]
            block.sent = False
            self._reclaim(offset, block)
        return None

    def free(self, offset: int) -> None:
        """The receiver has no view of the block at `offset` any more.

        Raises:
            WireError: there is no such block.
        """
        with self._lock:
            block = self._used.get(offset)
            if block is None or not block.sent:
                raise WireError("the peer gives back a block that it was not given")
            block.sent = False
            self._reclaim(offset, block)

    def borrow(self, offset: int, start: int, size: int) -> tuple[memoryview, Watch]:
        """A view of `size` bytes, `start` bytes into the block at `offset`, which the receiver lends for a call.

        Raises:
            WireError: the receiver has no such block, or it is not as long.
            MemoryError: the system does not let it be mapped.
        """
        with self._lock:
            self._reclaim_returned()
            block = self._used.get(offset)
            if block is None or not block.sent or start < 0 or size <= 0 or start + size > block.size:
                raise WireError("the peer lends %d bytes at %d of block %d" % (size, start, offset))
            block.borrowed += 1
            alone = block.borrowed == 1
        length = whole_pages(start + size)
        try:
            memory = self._mapping.private_window(offset, length) if alone else None
            if memory is not None:
                watch = Watch(memory, self._close_window, offset, length)
            else:
                memory = self._mapping.private_view(offset, length)
                watch = Watch(memory, self._give_back, offset, length)
        except BaseException:
            self._returned.append(offset)
            raise
        self._borrowed[id(watch)] = watch
        return memoryview(memory).cast("B")[start : start + size], watch

    def _close_window(self, watch: Watch) -> None:
        self._mapping.close_window(watch.offset, watch.size)
        self._give_back(watch)

    def _give_back(self, watch: Watch) -> None:
        # Runs wherever the garbage collector is, perhaps while this thread has the lock.
        self._borrowed.pop(id(watch), None)
        self._returned.append(watch.offset)

    def _reclaim_returned(self) -> None:
        while self._returned:
            offset = self._returned.popleft()
            block = self._used[offset]
            block.borrowed -= 1
            self._reclaim(offset, block)

    def _take(self, size: int) -> tuple[int | None, bool]:
        """The offset of a new block, and whether it has its pages already; None if there is no space."""
        with self._lock:
            self._reclaim_returned()
            for at, (offset, available) in enumerate(self._free):
                if available >= size:
                    if available == size:
                        del self._free[at]
                    else:
                        self._free[at] = (offset + size, available - size)
                    self._used[offset] = _Block(size)
                    backed = offset + size <= self._backed
                    if not backed:
                        self._backed = offset + size
                    return offset, backed
        return None, False

    def _reclaim(self, offset: int, block: _Block) -> None:
        """The space of `block` is free again if nobody looks at it."""
        if block.sent or block.borrowed:
            return
        del self._used[offset]
        size = block.size
        at = bisect.bisect(self._free, (offset, 0))
        if at < len(self._free) and self._free[at][0] == offset + size:
            size += self._free.pop(at)[1]
        if at > 0 and sum(self._free[at - 1]) == offset:
            at -= 1
            before = self._free.pop(at)
            offset, size = before[0], before[1] + size
        self._free.insert(at, (offset, size))


class _Block:
    """Space that was given out: whether the receiver has it, and how many views this side has borrowed."""

    __slots__ = ("borrowed", "sent", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = True
        self.borrowed = 0


class Inlet:
    """The receiver's side: views of blocks, until they die.

    Args:
        fd: the arena's file, which is closed here.
        size: how many bytes there are, at the most.
        on_dead: called with the offset of a block, in whatever thread its last view dies; it must not do much.
    """

    def __init__(self, fd: int, size: int, on_dead: Callable[[int], None]) -> None:
        self._mapping = Mapping(fd, size)
        self._size = size
        self._on_dead = on_dead
        self._views: dict[int, Watch] = {}

    def view(self, offset: int, size: int) -> memoryview:
        """The `size` bytes of the block at `offset`, which is this process's own until the last view of them dies.

        Raises:
            WireError: it does not lie in the arena.
        """
        if offset < 0 or size <= 0 or offset % PAGE or offset + size > self._size:
            raise WireError("a block of %d bytes at %d of an arena of %d" % (size, offset, self._size))
        # Whole pages, since ctypes remembers each length that it was ever asked for.
        length = whole_pages(size)
        pages = (ctypes.c_ubyte * length).from_buffer(self._mapping.memory, offset)
        self._views[offset] = Watch(pages, self._forget, offset, length)
        return memoryview(pages).cast("B")[:size]

    def lendable(self, address: int, size: int) -> tuple[int, int] | None:
        """Where in a block the `size` bytes at `address` of this process lie, as the block's offset and a distance from it.

        None if they lie in no block, or in one that is this process's alone by now.
        """
        at = address - self._mapping.base
        if not 0 <= at < self._size:
            return None
        view = self._views.get(at)
        if view is None:
            # Not the beginning of a block, but some part of it.
            known = list(self._views.values())
            view = next((view for view in known if view.offset < at < view.offset + view.size), None)
        if view is None or view.private or at + size > view.offset + view.size:
            return None
        return view.offset, at - view.offset

    def keep_apart(self, offset: int) -> None:
        """The owner of the arena may look at the block at `offset` for longer than it was lent for.

        Raises:
            MemoryError: the system does not let it be mapped.
        """
        view = self._views.get(offset)
        if view is not None and not view.private:
            self._mapping.make_private(offset, view.size)
            view.private = True

    def _forget(self, view: Watch) -> None:
        self._views.pop(view.offset, None)
        if view.private:
            try:
                self._mapping.make_shared(view.offset, view.size)
            except MemoryError:
                return  # what its owner writes into it would not be seen here, so it is not given back
        self._on_dead(view.offset)


class Watch(weakref.ref):  # type: ignore[type-arg]
    """Knows of memory whether anybody still looks at it; whoever made it keeps it, or nobody would be told.

    Attributes:
        offset: of the block.
        size: how many bytes it has, in whole pages.
        private: whether it is this process's alone.
    """

    __slots__ = ("offset", "private", "size")

    offset: int
    size: int
    private: bool

    def __new__(cls, memory: Any, on_dead: Callable[[Watch], None], offset: int, size: int) -> Watch:
        self = super().__new__(cls, memory, on_dead)
        self.offset = offset
        self.size = size
        self.private = False
        return self

    def __init__(self, memory: Any, on_dead: Callable[[Watch], None], offset: int, size: int) -> None:
        super().__init__(memory, on_dead)  # type: ignore[call-arg]
