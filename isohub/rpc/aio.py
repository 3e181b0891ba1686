"""Calls from asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from typing import Any

from isohub.rpc.proxy import RemoteObject, submit

__all__ = ["acall"]


async def acall(fn: RemoteObject, *args: Any, **kwargs: Any) -> Any:
    """Call the remote callable `fn` without holding up the event loop.

    Cancelling the task drops the answer. The errors are those of a plain call.
    """
    return await asyncio.wrap_future(submit(fn, *args, **kwargs))
