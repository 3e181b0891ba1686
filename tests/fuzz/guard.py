"""What must not happen while frames are taken in: code that runs, files that open, memory that grows, time that passes."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Finding", "Guard"]

# What the wire modules do, of all that Python reports to who listens: looking at memory, and mapping it.
_HARMLESS = frozenset(
    """
    ctypes.addressof ctypes.cdata ctypes.cdata/buffer ctypes.get_errno ctypes.string_at mmap.__new__ sys._getframe builtins.id
    gc.collect
    """.split()
)
_MIB = 1 << 20
#: No input may take longer. What is made of a frame takes microseconds, so this allows for a machine that does something else.
_SLOWEST = 5.0
#: The process may be larger by this at the end than after its first part; what is remembered on purpose is there by then.
_GROWTH = 32 * _MIB
#: No input may need more than this besides; frames are short.
_PEAK = 512 * _MIB


_LIBC = ctypes.CDLL(None)


class Finding(Exception):
    """What should not have happened."""


class Guard:
    """Watches one run.

    Attributes:
        slowest: seconds that the slowest input took.
    """

    def __init__(self) -> None:
        self.slowest = 0.0
        self._watching = False
        self._events: Counter[str] = Counter()
        self._settled = 0
        sys.addaudithook(self._hear)
        warnings.simplefilter("always")
        warnings.showwarning = self._warned

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._watching and event not in _HARMLESS:
            self._events[f"{event} {args!r:.200}"] += 1

    def _warned(self, message: Any, *args: Any, **kwargs: Any) -> None:
        if self._watching:
            self._events[f"warning {message!r:.200}"] += 1

    @contextmanager
    def input(self) -> Iterator[None]:
        """One input is taken in."""
        began = time.perf_counter()
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            took = time.perf_counter() - began
            if took > self.slowest:
                self.slowest = took
        if self._events:
            raise Finding(f"while it was taken in: {', '.join(self._events)}")
        if took > _SLOWEST:
            raise Finding(f"it took {took:.1f} s")

    @staticmethod
    def expect_end() -> None:
        """The process ends, and says where it was, if this is not called again within a minute."""
        faulthandler.dump_traceback_later(60, exit=True)

    def settle(self) -> None:
        """From here on memory is not to grow."""
        self._settled = resident()

    def check_memory(self) -> dict[str, int]:
        """How large the process has become, in MiB."""
        now, most = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if now - self._settled > _GROWTH:
            raise Finding(f"memory grew from {self._settled // _MIB} MiB to {now // _MIB} MiB")
        if most - self._settled > _PEAK:
            raise Finding(f"memory was {self._settled // _MIB} MiB and reached {most // _MIB} MiB")
        return {"settled": self._settled // _MIB, "end": now // _MIB, "most": most // _MIB}


def resident() -> int:
    """How many bytes of memory this process has, without what the allocator keeps for later."""
    gc.collect()
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
