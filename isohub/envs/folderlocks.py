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

from isohub.disk import mark_used
from isohub.errors import BuildError
from isohub.progress import Step

if os.name == "posix":
    import fcntl

__all__ = ["LONGEST_WAIT", "Use", "at_work", "occupied"]

LONGEST_WAIT = 3 * 3600.0
"""Seconds to wait for others: longer than any build takes, since its steps have limits of their own."""

_LOOK = 0.5
"""Seconds after which somebody is taken to be at work, and not just to look as we do."""


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
        counts: its beginning and its end are remembered as times of use.
        limit: seconds to wait for the others.

    Raises:
        BuildError: the others did not end in time.
        OSError: there is no such file, and none can be made.
    """

    def __init__(
        self, path: Path, *, exclusive: bool = False, counts: bool = False, limit: float = 0.0
    ) -> None:
        self._path = path
        self._counts = False
        self._fd: int | None = _opened(path)
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
        self._counts = counts
        if counts:
            mark_used(path)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a program inherits to share this use."""
        return () if self._fd is None or os.name != "posix" else (self._fd,)

    def close(self) -> None:
        """End the use; programs that inherited it go on."""
        if self._fd is not None:
            if self._counts:
                mark_used(self._path)
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


def occupied(work: Path, use: Path) -> str | None:
    """Why the folder with these two locks cannot be removed now; None if it can."""
    if not (work.exists() or use.exists()):
        return None  # nobody has had to do with it yet, and a look makes no files
    try:
        # Only who is at work asks to be the only user, so another one who looks is never taken for a user.
        with at_work(work, Step(), _LOOK):
            try:
                Use(use, exclusive=True).close()
            except BuildError:
                return "a worker uses it"
    except BuildError:
        return "another process builds or removes it"
    except OSError as error:
        return f"nothing can be removed there: {error.strerror}"
    return None


def _opened(path: Path) -> int:
    flags = getattr(os, "O_CLOEXEC", 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError:
        if not path.exists():
            raise
        # In a cache that cannot be written a lock that is there can be shared all the same.
        return os.open(path, os.O_RDONLY | flags)
