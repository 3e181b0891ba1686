"""What can be said of single calls, where the Hub says it of all."""

from __future__ import annotations

import math
from collections.abc import Callable

from isohub.errors import ConfigError
from isohub.rpc.limited import Limited
from isohub.rpc.proxy import RemoteObject, question

__all__ = ["options"]


def options(*, timeout: float | None) -> Callable[[RemoteObject | Limited], Limited]:
    """Have calls end at a time of their own: ``isohub.options(timeout=2)(model)(image)``.

    Args:
        timeout: seconds that a call may take, instead of the Hub's; None for no limit.

    Returns:
        What makes of a remote callable one whose calls, also by `submit` and `acall`, are held to this. For anything else it
        raises a TypeError.

    Raises:
        ConfigError: it is not a number of seconds.
    """
    if timeout is not None and not _is_time(timeout):
        raise ConfigError(f"timeout is {timeout!r}, not a number of seconds above 0")

    def limit(fn: RemoteObject | Limited) -> Limited:
        channel, op, target, first, _ = question(fn, ())
        return Limited(channel, op, target, first, timeout)

    return limit


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]
