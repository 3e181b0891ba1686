"""Which GPUs the programs of this user have taken, so that two that ask for the least used one do not both get the same.

A lease is a lock of the kernel's and ends with its holder, whatever kills it. Each GPU has any number of places, and whoever
takes the GPU takes its first free place. So where every GPU is taken, the next program shares the one with the fewest others.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from isohub.errors import ConfigError
from isohub.supervise.run_folder import run_folder

if os.name == "posix":
    import fcntl

__all__ = ["Lease", "take", "take_one"]


class Lease:
    """A GPU that this process has taken, and not its forks: these neither keep it nor give it back.

    Args:
        path: the place.

    Raises:
        BlockingIOError: another has it.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.name == "posix":
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise
        _leases.add(self)

    def release(self) -> None:
        """Give it back."""
        _leases.discard(self)
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def take(uuid: str) -> Lease:
    """Take the GPU, however many others have taken it."""
    return take_one([uuid])[1]


def take_one(uuids: Sequence[str]) -> tuple[str, Lease]:
    """Take the GPU that the fewest have taken; of several such the first.

    Returns:
        Which it is, and its lease.

    Raises:
        ConfigError: there is no folder to note it in.
    """
    try:
        folder = run_folder("gpus")
        for place in itertools.count():
            for uuid in uuids:
                try:
                    return uuid, Lease(folder / f"{uuid.replace('/', '-')}.{place}")
                except BlockingIOError:
                    continue
    except OSError as error:
        raise ConfigError(
            f"cannot note which GPU is taken: {error}",
            hint=f"XDG_RUNTIME_DIR names a folder that only user {os.getuid()} can enter",
        ) from error
    raise AssertionError("unreachable")


def _let_go() -> None:
    """In a forked child: what is closed here stays locked by the parent, and is free when that ends."""
    for lease in [*_leases]:
        lease.release()


_leases: set[Lease] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
