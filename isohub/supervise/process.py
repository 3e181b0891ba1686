"""A worker process, from the outside: asked for, born, ended."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import weakref
from collections.abc import Mapping

from isohub.strays import kill_strays, new_mark
from isohub.supervise.launch import forget_group, kill_group

__all__ = ["Process"]

# The kernel's word on who has sent something: process, user and group, by the numbers that they have here.
_CREDENTIALS = struct.Struct("3i") if hasattr(socket, "SCM_CREDENTIALS") else None


class Process:
    """A worker process, which may not be there yet.

    Its zygote says when it is born and when it ends. What waits for that is ended by `ask_to_end` too, if it is not born by then.

    Attributes:
        control: the host's end of its control channel.
        pid: of the process, and number of its group; None until it is born.
        returncode: its exit status, negative for the signal that killed it; None until it has ended, or if nobody knows.
        error: why it could not be started, if that is so.
        because: what ended it, if that was not the process itself.
        mark: of what it starts.
        ending: it was killed, or has closed its control channel, so its end should be heard of soon.
    """

    def __init__(self) -> None:
        self.control, self._theirs = socket.socketpair()
        if _CREDENTIALS:
            self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.pid: int | None = None
        self.returncode: int | None = None
        self.error: OSError | None = None
        self.because: str | None = None
        self.mark = new_mark()
        self.ending = False
        self._lock = threading.Lock()
        self._refused = False
        self._settled = threading.Event()
        self._ended = threading.Event()
        _processes.add(self)

    # ---- for the worker that it is to be

    @property
    def their_end(self) -> int:
        """The file descriptor of the other end of the control channel, until it is born or never will be."""
        return self._theirs.fileno()

    def settled(self) -> bool:
        """Wait until it is born, or certainly never will be; False if it was refused, and may be asked for again."""
        self._settled.wait()
        with self._lock:
            if self._refused:
                self._refused = False
                self._settled.clear()
                return False
        self._theirs.close()
        return True

    def introduced(self, seconds: float) -> int | None:
        """Wait until it says that it is there, once it is born.

        Returns:
            The number of its process, for which the kernel stands; in a sandbox `pid` is another one. None if it has ended, or
            was asked to.

        Raises:
            TimeoutError: it says nothing.
        """
        with self._lock:
            if self._ended.is_set():
                return None
            control = self.control.dup()  # whoever hears of its end closes the other one
        with control:
            control.settimeout(seconds)
            try:
                if not _CREDENTIALS:
                    return self.pid if control.recv(1) else None
                word, ancillary, *_ = control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise TimeoutError(f"it said nothing within {seconds:g} s") from None
                return None
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and word:
                return int(_CREDENTIALS.unpack(data)[0])
        return None

    def tell(self, record: Mapping[str, str | float]) -> None:
        """Say where it is to connect and how often to give a sign of life, once it has introduced itself."""
        with self._lock:
            try:
                self.control.sendall(json.dumps(record).encode() + b"\n")
            except OSError:
                pass  # it has ended, or is told to go already

    def wait(self) -> int | None:
        """Wait for its end, and that of what it has started; its exit status."""
        self._ended.wait()
        return self.returncode

    def ask_to_end(self) -> None:
        """Close the control channel, at which the worker goes. One that is not born yet is waited for no longer."""
        with self._lock:
            try:
                self.control.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed: the process has ended, or is about to
            if self.pid is None:
                self._refused = False
                self._end()

    def tell_soon(self, text: bytes) -> bytes:
        """Write into the control channel, without waiting; what of `text` there was no room for."""
        with self._lock:
            try:
                return text[self.control.send(text, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                return text
            except OSError:
                return b""  # it is closed: the process has ended, or is about to

    def kill(self, because: str | None = None) -> None:
        """End it now, and all that it has started; `because` is what is then said of it."""
        with self._lock:
            if self.pid is not None and not self._ended.is_set():
                self.because = self.because or because
                self.ending = True
                kill_group(self.pid)

    def gave_sign_of_life(self) -> bool:
        """Whether it has, since this was last asked; see ``isohub_worker.loop``."""
        with self._lock:
            try:
                signs = self.control.recv(4096, socket.MSG_DONTWAIT)
            except OSError:
                return False  # nothing came, or it has ended
            self.ending = self.ending or not signs
            return bool(signs)

    # ---- for its zygote

    def born(self, pid: int) -> None:
        """It has this number from now on."""
        with self._lock:
            self.pid = pid
            self._settled.set()
            if self._ended.is_set():
                # Nobody waits for it any more.
                kill_group(pid)

    def refused(self) -> None:
        """The zygote will not fork it."""
        with self._lock:
            self._refused = not self._ended.is_set()
            self._settled.set()

    def failed(self, error: OSError) -> None:
        """It could not be started."""
        with self._lock:
            self.error = error
            self._end()

    def ended(self, status: int | None, because: str | None = None) -> None:
        """It has ended, but its number is not free yet. What it has started ends here."""
        with self._lock:
            if self.pid is not None:
                kill_group(self.pid)
                kill_strays(self.mark)
                forget_group(self.pid)
            self.returncode, self.because = status, self.because or because
            self._end()

    def _end(self) -> None:
        self.control.close()
        self._settled.set()
        self._ended.set()

    def after_fork(self) -> None:
        """In a forked child: let go of the control channel, or the host's death would not close it."""
        self.control.close()
        self._theirs.close()


_processes: weakref.WeakSet[Process] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for process in list(_processes):
        process.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
