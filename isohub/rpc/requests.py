"""What is asked of a worker, on its way there: packed, with what else there is to tell, and with what others ask meanwhile.

A frame costs about as much as a short message. So a message waits for others if those are sure to come: threads that run in a
moment ask again, and a worker that has enough to do takes nothing before it has answered something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgpack import ExtType

from isohub.errors import UnsupportedValue
from isohub.rpc.calls import Calls
from isohub.rpc.cancels import Cancels
from isohub.rpc.link import Link
from isohub.rpc.releases import Releases
from isohub.rpc.turns import Turns
from isohub_worker import messages
from isohub_worker.arena import Inlet, Outlet
from isohub_worker.codec import CannotEncode, Encoder

__all__ = ["Requests"]

# A worker has enough to do with this many calls for each thread.
_AHEAD = 16


class Requests:
    """Sends what one channel asks. Any thread may call it.

    Args:
        name: what the worker is called in messages.
        link: by which it leaves.
        reference: answers the extension that stands for a remote object.
        arena: where large tensors are put, and those of the worker lie; None if there is no shared memory.
        calls: what is open.
        turns: who waits for answers.
        cancels: has closed streams stopped.
        releases: what has to be told.
        threads: how many calls the worker does at once.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        reference: Callable[[object], ExtType | None],
        arena: tuple[Outlet, Inlet] | None,
        calls: Calls,
        turns: Turns,
        cancels: Cancels,
        releases: Releases,
        threads: int,
    ) -> None:
        self._name = name
        self._link = link
        self._reference = reference
        self._encoder = Encoder(reference, *(arena or ()))
        self._calls = calls
        self._turns = turns
        self._cancels = cancels
        self._releases = releases
        self._enough = _AHEAD * threads

    def tell(self, message: list[Any], lent: list[int] | None = None) -> None:
        """Send a message, now or with others a moment later.

        Args:
            message: what to say.
            lent: as in `Encoder.encode`.

        Raises:
            CannotEncode: it has a value that has no form that can cross.
            ForeignObject: or one that belongs to another worker.
        """
        # Before the notes are taken, which would be lost if it cannot be sent.
        parts = self._encoder.encode(message, lent)
        news: tuple[list[Any], ...] = ()
        if self._releases.notes:
            # What the message names cannot be among what was dropped by now.
            news = (self._encoder.encode(self._take_releases()),)
        others_follow = self._turns.woken
        if (others_follow or len(self._calls.open) > self._enough) and len(parts) == 1 and not news:
            self._link.hold(parts)
            # If nobody reads an answer before that.
            self._releases.request()
            if others_follow:
                self.flush_if_due()  # they may have run by now
        else:
            self._link.send(*news, parts)

    def flush_if_due(self) -> None:
        """Send what is held, unless threads that are about to run add to it, or the worker could not begin it yet."""
        held = len(self._link.held)
        if not held or self._turns.woken:
            return
        if held >= self._enough or len(self._calls.open) - held < self._enough:
            self._link.flush()

    def flush(self) -> None:
        """Send what is held and what waits for other messages to go along, if none came."""
        if self._link.over:
            return
        if self._releases.notes:
            self._link.send(self._encoder.encode(self._take_releases()))
        self._link.flush()

    def close(self) -> None:
        """Nothing is asked any more, and nothing is known of the arenas."""
        self._encoder = Encoder(self._reference)

    def _take_releases(self) -> list[Any]:
        objects, streams, blocks = self._releases.take()
        for stream in streams:
            if self._calls.close_stream(stream):
                self._cancels.stop(stream)
        return [messages.RELEASE, objects, streams, blocks]

    def unsupported(
        self, error: CannotEncode, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> UnsupportedValue:
        """The error for arguments that cannot be sent, which says which of them it was."""
        where = ""
        first = 1 if op == "call" else 0  # the others have a name before the caller's arguments
        for label, value in [*((f"argument {i}", arg) for i, arg in enumerate(args, first)), *kwargs.items()]:
            try:
                self._encoder.encode(value)
            except CannotEncode:
                where = f" ({label})"
                break
        return UnsupportedValue(
            f"cannot send this to {self._name}: {error}{where}",
            hint="pass plain values, arrays, tensors or objects of the same worker; functions stay where they are",
        )
