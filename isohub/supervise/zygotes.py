"""The zygotes of this program, shared by all workers that would start alike, whichever Hub they belong to.

A zygote that finds that it had better not be forked becomes a worker itself, and other workers like it get processes of their own
from then on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isohub.supervise.process import Process
from isohub.supervise.zygote import Origin, Zygote

__all__ = ["Lease"]


class Lease:
    """A worker's share in a zygote, which begins to import at once. The last one to end its share ends the zygote.

    Args:
        origin: what is imported, and how.
        process: the worker that is to be.
        log: file descriptor of its log, which gets the output of the import if there is no zygote yet.
        log_path: where that is.
    """

    def __init__(self, origin: Origin, process: Process, log: int, log_path: Path) -> None:
        self._origin = origin
        self._process = process
        self._log = log
        self._log_path = log_path
        self._zygote = _zygotes.join(origin, process, log, log_path)

    def launch(self, boot: Mapping[str, Any], arenas: Sequence[int]) -> None:
        """Have the process made; returns when it is born, has failed, or was asked to end before it was born.

        Args:
            boot: the boot record; see ``isohub_worker.loop``.
            arenas: file descriptors of the arenas.
        """
        while not self._zygote.fork(self._process, boot, self._log, arenas):
            former = self._zygote
            self._zygote = _zygotes.instead_of(former, self._process, self._log, self._log_path)
            _zygotes.leave(former, self._process)

    def importer(self) -> int | None:
        """The process that imports the hubconf for the worker; None if it cannot be launched."""
        return self._zygote.pid()

    def end(self) -> None:
        """The worker is gone, and nobody wants another one in its place. Only after `launch`."""
        _zygotes.leave(self._zygote, self._process)


class _Zygotes:
    """The zygotes of this program, by what they import."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: dict[Origin, Zygote] = {}
        self._alone: dict[Origin, str] = {}

    def join(self, origin: Origin, process: Process, log: int, log_path: Path) -> Zygote:
        """The zygote that this worker is to be a fork of; it has a share in it from now on."""
        with self._lock:
            zygote = self._shared.get(origin)
            if zygote is not None:
                zygote.leases.add(process)
                return zygote
            # A process in a sandbox has no say over others: what it calls its forks may be anybody.
            alone = "it is in a sandbox" if origin.before else self._alone.get(origin)
            zygote = Zygote(origin, process, log, log_path, alone, self.forget)
            if alone is None:
                self._shared[origin] = zygote
            return zygote

    def instead_of(self, former: Zygote, process: Process, log: int, log_path: Path) -> Zygote:
        """What takes the place of a zygote that would not fork this worker."""
        if former.was_ready:
            return self.join(former.origin, process, log, log_path)
        # Its first worker has what went wrong; the others find out for themselves, all at once, and not one after the other.
        alone = former.alone or "the import did not succeed in another process"
        return Zygote(former.origin, process, log, log_path, alone, self.forget)

    def forget(self, zygote: Zygote) -> None:
        """It forks no more."""
        with self._lock:
            if self._shared.get(zygote.origin) is zygote:
                del self._shared[zygote.origin]
                if zygote.alone is not None:
                    self._alone[zygote.origin] = zygote.alone

    def leave(self, zygote: Zygote, process: Process) -> None:
        """This worker has no share in it any more."""
        with self._lock:
            zygote.leases.discard(process)
            if zygote.leases:
                return
            if self._shared.get(zygote.origin) is zygote:
                del self._shared[zygote.origin]
        zygote.close()

    def after_fork(self) -> None:
        """In a forked child: all of them are the parent's."""
        self._lock = threading.Lock()
        self._shared = {}
        self._alone = {}


_zygotes = _Zygotes()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_zygotes.after_fork)
