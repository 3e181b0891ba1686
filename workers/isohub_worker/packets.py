"""How messages lie in frames: as few frames as can be, since each costs about as much as a short message.

A single message of one short part is that part. Anything else begins with a frame of its own making::

    2 bytes   TOGETHER, or MORE if other frames follow; no msgpack begins like either
    2 bytes   nothing
    4 bytes   how many numbers follow
    4 bytes   each: for every message, how many parts it has, and then for every one of these how long it is, or ALONE if it is
              the next of the frames that follow
    ...       the other parts, each on a boundary of 16 bytes

Integers are little-endian.
"""

from __future__ import annotations

import struct
from typing import Any, Sequence

from .messages import WireError

__all__ = ["has_more", "pack", "unpack"]

# A longer part is copied once less in a frame of its own.
_LONGEST = 64 * 1024
_TOGETHER, _MORE = b"\xc1\0", b"\xc1\1"
_ALONE = 0xFFFFFFFF
_HEAD = struct.Struct("<2sxxI")
_BOUNDARY = 16
_PADDING = [bytes(-size % _BOUNDARY) for size in range(_BOUNDARY)]


def pack(*messages: Sequence[Any]) -> Sequence[Any]:
    """The frames for these messages, of which each has its parts, bytes or memoryviews of them; none for none."""
    if not messages:
        return ()
    if len(messages) == 1 and len(messages[0]) == 1 and len(messages[0][0]) <= _LONGEST:
        return messages[0]
    numbers: list[int] = []
    short: list[Any] = []
    alone: list[Any] = []
    for parts in messages:
        numbers.append(len(parts))
        for part in parts:
            if len(part) <= _LONGEST:
                numbers.append(len(part))
                short += (part, _PADDING[len(part) % _BOUNDARY])
            else:
                numbers.append(_ALONE)
                alone.append(part)
    head = struct.pack("<2sxxI%dI" % len(numbers), _MORE if alone else _TOGETHER, len(numbers), *numbers)
    return [b"".join((head, _PADDING[len(head) % _BOUNDARY], *short)), *alone]


def has_more(first: Any) -> bool:
    """Whether what begins with the frame `first` has other frames."""
    return bool(first[:2] == _MORE)


def unpack(frames: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """The parts of the messages that these frames hold.

    Raises:
        WireError: they hold no messages.
    """
    first = frames[0]
    if first[:1] != b"\xc1":
        return (frames,)
    try:
        mark, count = _HEAD.unpack_from(first)
        numbers = iter(struct.unpack_from("<%dI" % count, first, _HEAD.size))
    except (struct.error, MemoryError, OverflowError):
        raise WireError("the head of a message is cut off") from None
    view = memoryview(first)
    at = _HEAD.size + 4 * count
    following = iter(frames[1:])
    messages = []
    for parts_count in numbers:
        parts: list[Any] = []
        while len(parts) < parts_count:
            size = next(numbers, None)
            if size == _ALONE:
                part = next(following, None)
            elif size is not None:
                at += -at % _BOUNDARY
                part = view[at : at + size]
                at += size
            if size is None or part is None or (size != _ALONE and len(part) != size):
                raise WireError("a part of a message is missing")
            parts.append(part)
        if not parts:
            raise WireError("a message without parts")
        messages.append(parts)
    if mark not in (_TOGETHER, _MORE) or not messages or next(following, None) is not None:
        raise WireError("the head of a message does not fit what follows")
    return messages
