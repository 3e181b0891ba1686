"""Calls from asyncio: the same calls, awaited.

The event loop watches the socket on which answers arrive, and takes them in itself while no other thread does: an answer then
reaches the task that waits for it without another thread. What another thread takes in, it hands over to the loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from isohub.rpc.proxy import RemoteObject, question

if TYPE_CHECKING:
    from isohub.rpc.calls import Call
    from isohub.rpc.channel import Channel
    from isohub.rpc.limited import Limited

__all__ = ["acall"]


async def acall(fn: RemoteObject | Limited, *args: Any, **kwargs: Any) -> Any:
    """Call the remote callable `fn` without holding up the event loop.

    Cancelling the task stops what the worker does. The errors are those of a plain call.
    """
    channel, op, target, args, timeout = question(fn, args)
    if channel.ended:
        heir = await asyncio.get_running_loop().run_in_executor(None, channel.heir, target, timeout)
        channel, timeout = heir or (channel, timeout)
    readers = _readers.setdefault(asyncio.get_running_loop(), {})
    reader = readers.get(channel)
    if reader is None:
        reader = readers[channel] = _Reader(channel, readers)
    call, answer = reader.ask(op, target, args, kwargs, timeout)
    try:
        return await answer
    except BaseException:
        channel.cancel(call)
        raise


class _Reader:
    """Takes in the answers of one channel for one event loop, from the first call that is waited for to the last.

    Args:
        channel: whose answers they are.
        readers: those of the event loop; this one leaves when nothing is waited for.
    """

    def __init__(self, channel: Channel, readers: dict[Channel, _Reader]) -> None:
        self._channel = channel
        self._readers = readers
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._fd = channel.watch()
        self._close = weakref.finalize(self, os.close, self._fd)
        self._loop.add_reader(self._fd, channel.look)
        # What is there already is not announced again.
        self._loop.call_soon(channel.look)

    def ask(
        self, op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> tuple[Call, asyncio.Future[Any]]:
        """Send a call; with it the future of its answer."""
        try:
            call = self._channel.send_call(op, target, args, kwargs, timeout)
        except BaseException:
            self._leave_if_idle()
            raise
        future = self._waiting[call.number] = self._loop.create_future()
        call.when_done(self._answered)
        if timeout is not None:
            self._loop.call_later(timeout, self._channel.give_up, call)
        return call, future

    def _answered(self, call: Call) -> None:
        # In the middle of taking in an answer, perhaps in another thread.
        if threading.get_ident() == self._thread:
            self._settle(call)
            return
        try:
            self._loop.call_soon_threadsafe(self._settle, call)
        except RuntimeError:
            pass  # the event loop was closed, and its tasks with it

    def _settle(self, call: Call) -> None:
        future = self._waiting.pop(call.number)
        if not future.done():
            if call.fault is None:
                future.set_result(call.value)
            else:
                future.set_exception(self._channel.error(call.fault))
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if not self._waiting and self._close.alive:
            self._loop.remove_reader(self._fd)
            self._close()
            del self._readers[self._channel]


# For each event loop what it waits for; used by its own thread alone.
_readers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Channel, _Reader]] = (
    weakref.WeakKeyDictionary()
)
