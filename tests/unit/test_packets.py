"""Messages in frames: whatever is packed comes out again, and nothing else is taken for it.

Workers run these tests too; see tests/integration/test_worker_codec.py.
"""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isohub_worker.messages import WireError
from isohub_worker.packets import has_more, pack, unpack

many = settings(deadline=None, database=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

# A part that is no longer than this lies among others; a longer one has a frame of its own.
LIMIT = 64 * 1024
ALONE = 0xFFFFFFFF


def part(size: int) -> bytes:
    return bytes([size % 251]) * size


sizes = st.integers(0, 40) | st.integers(LIMIT - 2, LIMIT + 2)
# The first part is the body, packed by msgpack, which is never empty and never begins like a packet.
messages = st.tuples(sizes.filter(bool), st.lists(sizes, max_size=4)).map(
    lambda drawn: [*map(part, (drawn[0], *drawn[1]))]
)


def plain(unpacked: Any) -> list[list[bytes]]:
    return [[bytes(part) for part in parts] for parts in unpacked]


@many
@given(st.lists(messages, min_size=1, max_size=4), st.booleans())
def test_what_was_packed_comes_out(packed: list[list[bytes]], views: bool) -> None:
    sent = [[memoryview(part) for part in parts] for parts in packed] if views else packed
    frames = pack(*sent)
    assert has_more(frames[0]) == (len(frames) > 1)
    assert plain(unpack(frames)) == packed
    assert plain(unpack([memoryview(bytearray(frame)) for frame in frames])) == packed


@many
@given(messages)
def test_a_short_message_of_one_part_is_a_frame_as_it_is(parts: list[bytes]) -> None:
    frames = pack(parts)
    assert (frames[0] is parts[0]) == (len(parts) == 1 and len(parts[0]) <= LIMIT)
    assert len(frames) == 1 + sum(len(part) > LIMIT for part in parts)


def test_parts_lie_on_boundaries() -> None:
    (frame,) = pack([b"x", b"y" * 3, b"z" * 17], [b"w"])
    start = frame.index(b"x")
    for letter in (b"y", b"z", b"w"):
        assert (frame.index(letter) - start) % 16 == 0
    assert start % 16 == 0


def taken(frames: list[bytes]) -> None:
    """Messages of parts come out, or an error that says that there are none."""
    try:
        unpacked = unpack(frames)
    except WireError:
        return
    assert unpacked
    assert all(len(parts) >= 1 for parts in unpacked)
    # The parts are what arrived, or lie in it.
    assert sum(len(part) for parts in unpacked for part in parts) <= sum(map(len, frames))


@many
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_any_bytes_are_taken_or_refused(frames: list[bytes]) -> None:
    taken(frames)


numbers = st.integers(0, 40) | st.sampled_from([ALONE, ALONE - 1, 2**31, 2**16])


@many
@given(
    st.integers(0, 3),
    st.lists(numbers, max_size=8),
    st.none() | numbers,
    st.lists(st.binary(max_size=60), max_size=3),
)
def test_any_numbers_are_taken_or_refused(
    mark: int, drawn: list[int], count: int | None, rest: list[bytes]
) -> None:
    head = struct.pack(f"<BBxxI{len(drawn)}I", 0xC1, mark, len(drawn) if count is None else count, *drawn)
    taken([head + bytes(64), *rest])


@many
@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_a_mutilated_packet_is_taken_or_refused(packed: list[list[bytes]], data: Any) -> None:
    frames = [bytearray(frame) for frame in pack(*packed)]
    for _ in range(data.draw(st.integers(1, 3))):
        frame = frames[data.draw(st.integers(0, len(frames) - 1))]
        at = data.draw(st.integers(0, min(64, len(frame))))
        how = data.draw(st.integers(0, 2))
        if how == 0 and at < len(frame):
            frame[at] = data.draw(st.integers(0, 255))
        elif how == 1:
            del frame[at:]
        elif len(frames) > 1:
            frames.pop()
    taken([bytes(frame) for frame in frames])


def together(*numbers: int, mark: int = 0, count: int | None = None, rest: bytes = bytes(64)) -> bytes:
    head = struct.pack(
        f"<BBxxI{len(numbers)}I", 0xC1, mark, len(numbers) if count is None else count, *numbers
    )
    return head + bytes(-len(head) % 16) + rest


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1"],
        [b"\xc1\0\0\0\1\0\0"],
        [together()],
        [together(0)],
        [together(1)],
        [together(1, 65)],
        [together(1, 1, 1)],
        [together(2, 1)],
        [together(1, 1, count=5, rest=b"")],
        [together(1, 1, count=2**32 - 1)],
        [together(ALONE, 1)],
        [together(1, ALONE, mark=1)],
        [together(1, 1, mark=2)],
        [together(1, 1), b"another"],
        [together(1, ALONE, mark=1), b"one", b"two"],
    ],
    ids=lambda frames: repr(frames[0][:20]),
)
def test_what_does_not_fit_together_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        unpack(frames)


def test_a_short_packet_cannot_ask_for_much_memory() -> None:
    tracemalloc.start()
    try:
        for frame in (
            together(1, 1, count=2**32 - 1),
            together(2**32 - 1, 2**32 - 2),
            together(2**32 - 2, *[0] * 1000),
        ):
            with pytest.raises(WireError):
                unpack([frame])
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
