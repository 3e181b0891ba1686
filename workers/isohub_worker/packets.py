"""How the parts of a message lie in frames: as few frames as can be, since each costs about as much as a short message.

A message of one short part is that part. Any other begins with a frame of its own making::

    2 bytes   TOGETHER, or MORE if other frames follow; no msgpack begins like either
    2 bytes   nothing
    4 bytes   how many parts there are
    4 bytes   for each part, how long it is; ALONE if it is the next of the frames that follow
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


def pack(parts: Sequence[Any]) -> Sequence[Any]:
    """The frames for these parts, which are bytes or memoryviews of them."""
    if len(parts) == 1 and len(parts[0]) <= _LONGEST:
        return parts
    sizes = [len(part) if len(part) <= _LONGEST else _ALONE for part in parts]
    alone = [part for part in parts if len(part) > _LONGEST]
    head = struct.pack("<2sxxI%dI" % len(sizes), _MORE if alone else _TOGETHER, len(sizes), *sizes)
    pieces: list[Any] = [head, _PADDING[len(head) % _BOUNDARY]]
    for part in parts:
        if len(part) <= _LONGEST:
            pieces += (part, _PADDING[len(part) % _BOUNDARY])
    return [b"".join(pieces), *alone]


def has_more(first: Any) -> bool:
    """Whether a message that begins with the frame `first` has other frames."""
    return bool(first[:2] == _MORE)


def unpack(frames: Sequence[Any]) -> Sequence[Any]:
    """The parts that these frames hold.

    Raises:
        WireError: they are not the frames of a message.
    """
    first = frames[0]
    if first[:1] != b"\xc1":
        return frames
    try:
        mark, count = _HEAD.unpack_from(first)
        sizes = struct.unpack_from("<%dI" % count, first, _HEAD.size)
    except (struct.error, MemoryError, OverflowError):
        raise WireError("the head of a message is cut off") from None
    view = memoryview(first)
    at = _padded(_HEAD.size + 4 * count)
    following = iter(frames[1:])
    parts = []
    for size in sizes:
        if size == _ALONE:
            part = next(following, None)
            if part is None:
                raise WireError("a part of a message is missing")
        else:
            part = view[at : at + size]
            if len(part) != size:
                raise WireError("a part of a message is cut off")
            at += _padded(size)
        parts.append(part)
    if mark not in (_TOGETHER, _MORE) or not parts or next(following, None) is not None:
        raise WireError("the head of a message does not fit what follows")
    return parts


def _padded(size: int) -> int:
    return size + -size % _BOUNDARY
