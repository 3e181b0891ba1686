"""The two locks of a folder: who works on it, one at a time, and who uses it, many at a time.

Both are the kernel's and end with their last holder, whatever kills it. A build's programs inherit its use, so that one that
outlives a killed build still counts. Windows has no shared locks and needs none here: it does not delete files in use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from isohub.errors import BuildError
from isohub.progress import Step

if os.name == "posix":
    import fcntl

__all__ = ["LONGEST_WAIT", "Use", "at_work"]

LONGEST_WAIT = 3 * 3600.0
"""Seconds to wait for others: longer than any build takes, since its steps have limits of their own."""


@contextmanager
def at_work(path: Path, step: Step, limit: float) -> Iterator[None]:
    """Be the only one at work while the block runs, and say so while others have to be waited for.

    Args:
        path: the lock's file.
        step: is told of the wait.
        limit: seconds to wait.

    Raises:
        BuildError: the others took longer.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            step.note("waiting for another process that is at it")
            lock.acquire(timeout=limit)
    except filelock.Timeout as error:
        raise BuildError(
            f"another process has been at work for more than {limit:.0f} s",
            step="lock",
            hint=f"find and end the process that holds {path}",
        ) from error
    try:
        yield
    finally:
        lock.release()


class Use:
    """One use of a folder, until it is closed.

    Args:
        path: the lock's file, beside the folder.
        exclusive: nobody else uses it.
        limit: seconds to wait for the others.

    Raises:
        BuildError: the others did not end in time.
    """

    def __init__(self, path: Path, *, exclusive: bool = False, limit: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        deadline = time.monotonic() + limit
        while not self._locked(exclusive):
            if time.monotonic() >= deadline:
                self.close()
                raise BuildError(
                    f"{path.with_suffix('')} is in use",
                    step="lock",
                    hint="close the Hubs that use it, and try again",
                )
            time.sleep(0.05)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a program inherits to share this use."""
        return () if self._fd is None or os.name != "posix" else (self._fd,)

    def close(self) -> None:
        """End the use; programs that inherited it go on."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Use:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _locked(self, exclusive: bool) -> bool:
        if os.name == "posix":
            assert self._fd is not None
            try:
                fcntl.flock(self._fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
