"""Which GPUs the programs of this user have taken, so that two that ask for the least used one do not both get the same.

A lease is a lock of the kernel's and ends with its holder, whatever kills it. Each GPU has any number of places, and whoever
takes the GPU takes its first free place. So where every GPU is taken, the next program shares the one with the fewest others.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Protocol

from isohub.errors import ConfigError
from isohub.supervise.run_folder import run_folder

__all__ = ["Lease", "take", "take_one"]


class Lease(Protocol):
    """A GPU that this process has taken."""

    def release(self) -> None:
        """Give it back."""


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
    import filelock

    try:
        folder = run_folder("gpus")
        for place in itertools.count():
            for uuid in uuids:
                # A Hub may be closed by another thread than the one that loaded something.
                lock = filelock.FileLock(folder / f"{uuid.replace('/', '-')}.{place}", thread_local=False)
                try:
                    lock.acquire(timeout=0)
                except filelock.Timeout:
                    continue
                return uuid, lock
    except OSError as error:
        raise ConfigError(
            f"cannot note which GPU is taken: {error}",
            hint=f"XDG_RUNTIME_DIR names a folder that only user {os.getuid()} can enter",
        ) from error
    raise AssertionError("unreachable")
