"""What a worker says takes effect: on calls and streams, on the arenas, on what is being cancelled. No I/O.

Nothing of it is believed. Whatever is no message of the protocol, or says what cannot be at that moment, is a violation, after
which nothing that this worker says counts any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from isohub.errors import UnsupportedValue
from isohub.rpc.calls import Calls
from isohub.rpc.cancels import Cancels
from isohub_worker import messages
from isohub_worker.arena import Inlet, Outlet
from isohub_worker.codec import Decoder
from isohub_worker.faults import read_fault
from isohub_worker.messages import Unavailable, WireError
from isohub_worker.packets import unpack

__all__ = ["Arrivals"]


class Arrivals:
    """Takes in what arrives on one channel. One thread at a time calls it.

    Args:
        name: what the worker is called in messages.
        decoder: of what it sends.
        calls: what is answered.
        cancels: what is told when something has ended.
        arena: where tensors to the worker lie, and those from it; None if there is no shared memory.
        kill: ends the worker when it breaks the protocol, or may not be left alone with memory; what it is given is said of it.

    Attributes:
        over: whether the worker has ended; then an empty frame means no more than that.
        violation: how it broke the protocol, if it did.
    """

    def __init__(
        self,
        name: str,
        decoder: Decoder,
        calls: Calls,
        cancels: Cancels,
        arena: tuple[Outlet, Inlet] | None,
        kill: Callable[[str | None], None],
    ) -> None:
        self.over = False
        self.violation: WireError | None = None
        self._name = name
        self._decoder = decoder
        self._calls = calls
        self._cancels = cancels
        self._arena = arena
        self._kill = kill

    def take(self, frames: Sequence[Any]) -> bool:
        """Let what is in these frames take effect; whether somebody waits for more."""
        if self.violation is not None or (self.over and not frames[0]):
            return False
        try:
            for parts in unpack(frames):
                self._heed(parts)
        except WireError as error:
            self.violation = error
            self._kill(None)
            return False
        return bool(self._calls.open or self._calls.streams)

    def take_hello(self, frames: Sequence[Any]) -> tuple[int, str]:
        """The protocol and the key that the first message names.

        Raises:
            WireError: it is not what a worker says first.
        """
        try:
            (parts,) = unpack(frames)
            hello = messages.check(self._decoder.decode(parts), messages.FROM_WORKER)
        except (Unavailable, ValueError) as error:
            raise WireError(str(error)) from None
        if hello[0] != messages.HELLO:
            raise WireError("it does not introduce itself")
        return hello[1], hello[2]

    def close(self) -> None:
        """Nothing arrives any more, and nothing is known of the arenas."""
        self._arena = None
        del self._decoder

    def _heed(self, parts: Sequence[Any]) -> None:
        """Let a message take effect."""
        try:
            message = messages.check(self._decoder.decode(parts), messages.FROM_WORKER)
            if message[0] == messages.FAULT:
                message[2] = read_fault(message[2])
        except Unavailable as error:
            unsupported = UnsupportedValue(f"the answer of {self._name} cannot be held here: {error}")
            kind, number, *_ = messages.check(error.message, messages.FROM_WORKER)
            if kind not in (messages.VALUE, messages.FAULT, messages.ITEM):
                raise WireError(f"a value in a message of kind {kind}") from None
            message = [messages.FAULT, number, unsupported]
        if message[0] in (messages.FREED, messages.KEPT):
            self._heed_blocks(*message)
            return
        if message[0] == messages.NOT_RUNNING:
            self._cancels.settle(message[1])
            return
        if self._calls.receive(message) is None and message[0] in (messages.FAULT, messages.END):
            self._cancels.settle(message[1])

    def _heed_blocks(self, kind: int, blocks: list[Any]) -> None:
        if self._arena is None:
            raise WireError("the worker speaks of an arena, and there is none")
        outlet, _ = self._arena
        for block in blocks:
            if type(block) is not int:
                raise WireError(f"the worker speaks of a block of an arena, which is {type(block).__name__}")
            if kind == messages.FREED:
                outlet.free(block)
            else:
                self.keep_apart(block)

    def keep_apart(self, block: int) -> None:
        """The worker may look at a block of its arena, which this process has, for longer than it was lent for."""
        if self._arena is None:
            return
        try:
            self._arena[1].keep_apart(block)
        except MemoryError as error:
            # It would see what is written here from now on. What it has answered holds.
            self._kill(
                f"was ended, or it would share memory with this process that it only was lent ({error})"
            )
