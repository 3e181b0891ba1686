"""A remote callable whose calls have a timeout of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isohub.rpc.channel import Channel
    from isohub.rpc.proxy import RemoteObject

__all__ = ["Limited"]


class Limited:
    """Calls what it was made of, and so do `submit` and `acall` with it.

    Args:
        channel: the channel of the worker.
        op: the operation that a call is.
        target: what it is done on.
        first: arguments that go before those of the call.
        timeout: seconds that a call may take; None for no limit.
    """

    __slots__ = ("question",)

    def __init__(
        self, channel: Channel, op: str, target: RemoteObject, first: tuple[Any, ...], timeout: float | None
    ) -> None:
        self.question = channel, op, target, first, timeout

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        channel, op, target, first, timeout = self.question
        return channel.call(op, target, first + args, kwargs, timeout)
