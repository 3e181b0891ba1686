"""The register of workers: a file for each worker of this user on this machine, for whoever asks which there are.

A file is named after the process that started the worker, its host, and counts as long as that lives; a process is its number and
the time of its start, since numbers are given out again. The host removes the file when the worker ends, and who finds one of a
host that is gone removes it, too. What is in a file is checked and only ever shown. The register is no part of anybody's work:
where it cannot be written, workers do without.

A file begins with three numbers that the host writes through a mapping, which costs a call next to nothing: the worker's state,
its calls and its streams. What it is follows as JSON, once it has been started.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import secrets
import stat
import struct
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from isohub.supervise.lifecycle import State
from isohub.supervise.run_folder import run_folder

__all__ = ["Entry", "Worker", "here", "is_process", "on_this_machine"]

_COUNTERS = struct.Struct("=3Q")
_LARGEST = 64 * 1024
_NAME = re.compile(r"(\d+)-(\d+)-[0-9a-f]+\.worker")
_STATES = [*State]


@dataclass(frozen=True)
class Worker:
    """What the register holds of a worker that has been started.

    Attributes:
        name: such as ``owner/repo@main``.
        pid: its process.
        start: when that started, as the system counts; 0 where it does not tell.
        host: the process that started it.
        gpus: the GPUs that it is pinned to; None if it is not.
        log: the file with its output.
        since: when it was started, by ``time.monotonic``.
    """

    name: str
    pid: int
    start: int
    host: int
    gpus: tuple[str, ...] | None
    log: str
    since: float


class Entry:
    """A worker's place in the register, as its host keeps it.

    Attributes:
        tally: how many calls it was asked for, and how many streams; whoever asks it keeps them up.
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._path: Path | None = None
        memory: bytearray | mmap.mmap = bytearray(_COUNTERS.size)
        try:
            memory = self._create()
        except OSError:
            self._path = None
        self._counters = memoryview(memory).cast("Q")
        self.tally = self._counters[1:]
        _entries.add(self)

    def start(self, name: str, pid: int, gpus: tuple[str, ...] | None, log: Path) -> None:
        """Note what was started; again, if it has become another process."""
        self._worker = worker = Worker(name, pid, _start(pid), os.getpid(), gpus, str(log), time.monotonic())
        if self._path is not None:
            try:
                with self._path.open("r+b", buffering=0) as file:
                    file.seek(_COUNTERS.size)
                    file.write(json.dumps(asdict(worker)).encode())
                    file.truncate()
            except OSError:
                pass  # the disk is full, or somebody tidied up

    def note(self, state: State) -> None:
        """Note the state that it has come to."""
        self._counters[0] = _STATES.index(state)

    def remove(self) -> None:
        """It has ended."""
        _entries.discard(self)
        if self._path is not None:
            _discard(self._path)

    def read(self) -> tuple[Worker, State, int] | None:
        """The worker, its state and the number of its calls; None if it has not been started."""
        return None if self._worker is None else (self._worker, *_told(*self._counters))

    def _create(self) -> mmap.mmap:
        pid = os.getpid()
        self._path = _folder() / f"{pid}-{_start(pid)}-{secrets.token_hex(8)}.worker"
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Written and not only made longer: on a full disk a mapping of what is not there would end this process.
            os.write(fd, bytes(_COUNTERS.size))
            return mmap.mmap(fd, _COUNTERS.size)
        except OSError:
            _discard(self._path)
            raise
        finally:
            os.close(fd)


def here() -> list[tuple[Worker, State, int]]:
    """The workers of this process, each with its state and the number of its calls."""
    return [found for entry in [*_entries] if (found := entry.read()) is not None]


def on_this_machine() -> list[tuple[Worker, State, int]]:
    """Those of all processes of this user. Removes the files of hosts that are gone."""
    found = []
    try:
        paths = [*_folder().iterdir()]
    except OSError:
        return here()
    for path in paths:
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        if not is_process(int(name[1]), int(name[2])):
            _discard(path)
        elif (read := _read(path)) is not None and is_process(read[0].pid, read[0].start):
            found.append(read)
    return found


def is_process(pid: int, start: int) -> bool:
    """Whether the process of this number that started then is still there."""
    if start:
        return _start(pid) == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _folder() -> Path:
    try:
        # A container may share the folder and count its processes for itself.
        space = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    except OSError:
        space = "0"
    return run_folder(f"workers-{space}")


def _start(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The second field is the program's name and may have anything in it.
    state, *numbers = text.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(numbers[18])


def _read(path: Path) -> tuple[Worker, State, int] | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_size > _LARGEST:
            return None
        content = os.read(fd, _LARGEST)
    finally:
        os.close(fd)
    try:
        return (_worker(json.loads(content[_COUNTERS.size :])), *_told(*_COUNTERS.unpack_from(content)))
    except (ValueError, IndexError, RecursionError, struct.error):
        return None


def _worker(told: Any) -> Worker:
    if not isinstance(told, dict) or told.keys() != {field.name for field in fields(Worker)}:
        raise ValueError("not what is written here")
    kinds = {"name": str, "pid": int, "start": int, "host": int, "log": str, "since": float}
    if not all(type(told[name]) is kind for name, kind in kinds.items()):
        raise ValueError("not what is written here")
    if not (0 < told["pid"] < 2**31 and 0 < told["host"] < 2**31 and 0 <= told["since"] <= time.monotonic()):
        raise ValueError("not what is written here")
    gpus = told["gpus"]
    if gpus is not None:
        if type(gpus) is not list or not all(type(gpu) is str for gpu in gpus):
            raise ValueError("not what is written here")
        gpus = tuple(gpus)
    return Worker(**{**told, "gpus": gpus})


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # it is no file at all


def _told(state: int, calls: int, streams: int) -> tuple[State, int]:
    # The first call is its start.
    return _STATES[state], max(0, calls - 1) + streams


def _forget() -> None:
    """In a forked child: the workers are the parent's."""
    _entries.clear()


_entries: set[Entry] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
