"""The arena: space is given out and taken back without gaps, and a block lives as long as anybody looks at it."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohub_worker.arena import SMALLEST, Inlet, Outlet
from isohub_worker.codec import Decoder, Encoder
from isohub_worker.messages import WireError
from isohub_worker.tensors import NUMPY

_PAGE = 4096
_SIZE = 64 * _PAGE


def _arena(size: int = _SIZE, on_dead: Callable[[int], None] = lambda offset: None) -> tuple[Outlet, Inlet]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    return Outlet(os.dup(fd), size), Inlet(fd, size, on_dead)


def _put(outlet: Outlet, data: bytes) -> int | None:
    buffer = ctypes.create_string_buffer(data, len(data))
    return outlet.put(ctypes.addressof(buffer), len(data))


def test_a_block_shows_what_was_put() -> None:
    outlet, inlet = _arena()
    offset = _put(outlet, b"weights")
    assert offset is not None
    assert bytes(inlet.view(offset, 7)) == b"weights"


def test_a_block_is_given_back_when_its_last_view_dies() -> None:
    dead: list[int] = []
    outlet, inlet = _arena(on_dead=dead.append)
    offset = _put(outlet, bytes(range(16)))
    assert offset is not None
    view = inlet.view(offset, 16)
    array = np.frombuffer(view, np.uint8)[4:8]
    del view
    gc.collect()
    assert dead == []
    assert array.tolist() == [4, 5, 6, 7]
    del array
    gc.collect()
    assert dead == [offset]


def test_blocks_do_not_overlap_and_a_full_arena_says_no() -> None:
    outlet, inlet = _arena()
    offsets = [_put(outlet, bytes([number]) * (_PAGE + 1)) for number in range(32)]
    assert sorted(offset for offset in offsets if offset is not None) == list(range(0, _SIZE, 2 * _PAGE))
    assert _put(outlet, b"x") is None
    for number, offset in enumerate(offsets):
        assert offset is not None
        assert bytes(inlet.view(offset, _PAGE + 1)) == bytes([number]) * (_PAGE + 1)


def test_freed_neighbours_become_one_space_again() -> None:
    outlet, _ = _arena()
    offsets = [_put(outlet, bytes(_SIZE // 4)) for _ in range(4)]
    for index in (2, 0, 3, 1):
        offset = offsets[index]
        assert offset is not None
        outlet.free(offset)
    assert _put(outlet, bytes(_SIZE)) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10 * _PAGE)), max_size=60))
def test_all_space_comes_back(steps: list[tuple[bool, int]]) -> None:
    dead: list[int] = []
    outlet, inlet = _arena(on_dead=dead.append)
    views: list[tuple[int, memoryview, bytes]] = []
    for put, size in steps:
        if put:
            data = bytes([len(views) % 256]) * size
            offset = _put(outlet, data)
            if offset is not None:
                views.append((offset, inlet.view(offset, size), data))
        elif views:
            views.pop(size % len(views))
        while dead:
            outlet.free(dead.pop())
        assert all(bytes(view) == data for _, view, data in views)
    views.clear()
    while dead:
        outlet.free(dead.pop())
    assert _put(outlet, bytes(_SIZE)) == 0


@pytest.mark.parametrize(
    ("offset", "size"), [(-_PAGE, 1), (1, 1), (0, 0), (0, -1), (0, _SIZE + 1), (_SIZE, 1), (2**80, 1)]
)
def test_a_block_outside_the_arena_is_refused(offset: int, size: int) -> None:
    _, inlet = _arena()
    with pytest.raises(WireError, match="of an arena of"):
        inlet.view(offset, size)


def test_what_was_not_given_out_cannot_be_given_back() -> None:
    outlet, _ = _arena()
    offset = _put(outlet, b"x")
    assert offset is not None
    outlet.free(offset)
    for wrong in (offset, 7, -1):
        with pytest.raises(WireError, match="was not given"):
            outlet.free(wrong)


# ---- what is lent back


class Lent:
    """A block that the receiver looks at as an array of its own, and what the owner borrows of it."""

    def __init__(self, data: bytes) -> None:
        self.outlet, self.inlet = _arena(on_dead=lambda offset: self.outlet.free(offset))
        offset = _put(self.outlet, data)
        assert offset is not None
        self.offset = offset
        self.size = len(data)
        self.theirs = np.frombuffer(self.inlet.view(offset, self.size), np.uint8)

    def place(self, array: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> tuple[int, int] | None:
        return self.inlet.lendable(array.ctypes.data, array.nbytes)


def test_what_is_lent_is_what_the_receiver_made_of_it() -> None:
    lent = Lent(bytes(range(200)))
    lent.theirs[:2] = 7
    assert lent.place(lent.theirs) == (lent.offset, 0)
    view, watch = lent.outlet.borrow(lent.offset, 0, 200)
    assert bytes(view) == bytes([7, 7, *range(2, 200)])
    assert watch() is not None
    del view
    assert watch() is None


def test_a_part_of_a_block_can_be_lent() -> None:
    lent = Lent(bytes(range(200)))
    place = lent.place(lent.theirs[50:60])
    assert place == (lent.offset, 50)
    view, _ = lent.outlet.borrow(*place, 10)
    assert bytes(view) == bytes(range(50, 60))


def test_only_blocks_that_live_can_be_lent() -> None:
    lent = Lent(bytes(_PAGE))
    assert lent.inlet.lendable(np.zeros(8).ctypes.data, 8) is None
    assert lent.inlet.lendable(lent.theirs.ctypes.data + _PAGE, 8) is None
    assert lent.inlet.lendable(lent.theirs.ctypes.data + 8, _PAGE) is None
    address = lent.theirs.ctypes.data
    del lent.theirs
    assert lent.inlet.lendable(address, 8) is None


def test_what_the_owner_writes_into_what_it_borrowed_is_its_own() -> None:
    lent = Lent(bytes(2 * _PAGE))
    view, _ = lent.outlet.borrow(lent.offset, 0, 2 * _PAGE)
    view[0] = 1
    assert lent.theirs[0] == 0
    again, _ = lent.outlet.borrow(lent.offset, 0, 2 * _PAGE)
    assert again[0] == 0


def test_what_is_kept_apart_is_each_side_s_own() -> None:
    lent = Lent(bytes(2 * _PAGE))
    lent.theirs[0] = 5
    view, _ = lent.outlet.borrow(lent.offset, 0, 2 * _PAGE)
    lent.inlet.keep_apart(lent.offset)
    lent.theirs[0] = 6
    lent.theirs[_PAGE] = 6
    assert (view[0], view[_PAGE]) == (5, 0)
    assert lent.place(lent.theirs) is None, "it is not what the file holds any more"


def test_space_that_was_kept_apart_is_shared_again() -> None:
    lent = Lent(bytes(_PAGE))
    lent.inlet.keep_apart(lent.offset)
    lent.theirs[0] = 6
    del lent.theirs
    assert _put(lent.outlet, bytes([9]) * _SIZE) == 0
    assert bytes(lent.inlet.view(0, _SIZE)) == bytes([9]) * _SIZE


def test_a_block_is_free_when_both_sides_look_at_it_no_more() -> None:
    lent = Lent(bytes([3]) * _PAGE)
    view, _ = lent.outlet.borrow(lent.offset, 0, _PAGE)
    del lent.theirs
    assert _put(lent.outlet, bytes(_SIZE)) is None
    assert bytes(view) == bytes([3]) * _PAGE
    del view
    assert _put(lent.outlet, bytes(_SIZE)) == 0


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, 0), (0, _PAGE + 1), (_PAGE, 1), (2**70, 1)])
def test_more_than_a_block_cannot_be_lent(start: int, size: int) -> None:
    lent = Lent(bytes(_PAGE))
    with pytest.raises(WireError, match="lends"):
        lent.outlet.borrow(lent.offset, start, size)


def test_what_was_given_back_cannot_be_lent() -> None:
    lent = Lent(bytes(_PAGE))
    del lent.theirs
    with pytest.raises(WireError, match="lends"):
        lent.outlet.borrow(lent.offset, 0, 1)


# ---- what a message says of blocks


class Sides:
    """The encoders and decoders of two sides, of which the first has an arena."""

    def __init__(self) -> None:
        size = 4 * SMALLEST
        self.outlet, self.inlet = _arena(size, on_dead=lambda offset: self.outlet.free(offset))
        self.give = Encoder(lambda value: None, outlet=self.outlet)
        self.get = Decoder(lambda code, payload: None, place=False, inlet=self.inlet)
        self.lend = Encoder(lambda value: None, inlet=self.inlet)
        self.borrow = Decoder(lambda code, payload: None, place=True, outlet=self.outlet)

    def given(self, value: object) -> Any:
        return self.get.decode(self.give.encode(value))


def test_what_is_lent_comes_back_without_its_bytes_and_is_known_as_borrowed() -> None:
    sides = Sides()
    array = sides.given(np.arange(SMALLEST, dtype=np.uint8))
    lent: list[int] = []
    parts = sides.lend.encode({"whole": array, "part": array[100:]}, lent)
    assert set(lent) == {0}
    assert sum(map(len, parts)) < 1000
    back = sides.borrow.decode(parts)
    assert bytes(back["whole"]) == bytes(array)
    back["whole"][100] = 7
    assert (back["part"][0], array[100]) == (7, 100)
    borrowed, sides.borrow.borrowed = sides.borrow.borrowed, []
    assert {watch.offset for watch in borrowed} == {0}
    assert any(watch() is not None for watch in borrowed)
    del back
    gc.collect()
    assert all(watch() is None for watch in borrowed)


def test_nothing_is_lent_that_nobody_asks_to_be() -> None:
    sides = Sides()
    array = sides.given(np.zeros(SMALLEST, np.uint8))
    parts = sides.lend.encode(array)
    assert sum(map(len, parts)) > SMALLEST
    sides.borrow.decode(parts)
    assert sides.borrow.borrowed == []


def _speaks_of(*blocks: Any) -> list[bytes]:
    """A message with an array of one byte, in the first of these blocks."""
    rows = [[NUMPY, "|u1", [1], None, 0, 0, None]]
    return [msgpack.packb(msgpack.ExtType(48, b"\0\0\0\0")), msgpack.packb([rows, list(blocks)])]


NONSENSE = [
    [],
    [0],
    "ab",
    "abc",
    {},
    {0: 0, 4096: 0, 1: 1},
    0,
    [0, 0, 0],
    [0, -1, 8],
    [0, 0, SMALLEST + 1],
    [0, SMALLEST, 1],
    [1, 0, 1],
    [4096, 0, 1],
    [SMALLEST, 0, 1],
    [-1, 0, 1],
    [2**63, 0, 1],
    [0, 2**63, 1],
    [0, 0, 2**63],
    [0.5, 0, 1],
    [0, 0.5, 1],
    [0, None, 1],
    [[0], 0, 1],
    [0, "0", 1],
    [0, 0, 1, 0],
    [None, None],
    [0, 2**63],
    [-4096, 8],
    [1, 8],
    [4 * SMALLEST, 8],
    [0.0, 8],
    [[], 8],
]


@pytest.mark.parametrize("block", NONSENSE, ids=str)
def test_nonsense_about_blocks_is_refused_on_both_sides(block: Any) -> None:
    sides = Sides()
    array = sides.given(np.zeros(SMALLEST, np.uint8))
    for decoder in (sides.get, sides.borrow):
        with pytest.raises(WireError):
            decoder.decode(_speaks_of(block))
    # Nothing of it is left, and what is sound is still taken.
    assert sides.borrow.borrowed == []
    assert sides.borrow.decode(_speaks_of([0, 8, 1])).tolist() == [0]
    assert array.sum() == 0


def test_who_has_no_arena_for_it_refuses_a_block() -> None:
    sides = Sides()
    array = sides.given(np.zeros(SMALLEST, np.uint8))
    with pytest.raises(WireError, match="not there"):
        sides.get.decode(_speaks_of([0, 0, 1]))
    with pytest.raises(WireError, match="not there"):
        sides.borrow.decode(_speaks_of([0, 8]))
    assert array.sum() == 0


def test_one_block_may_be_named_any_number_of_times() -> None:
    sides = Sides()
    array = sides.given(np.arange(SMALLEST, dtype=np.uint8))
    for decoder, block in ((sides.get, [0, 8]), (sides.borrow, [0, 7, 1])):
        rows = [[NUMPY, "|u1", [1], None, 0, at, None] for at in range(100)]
        body = [msgpack.ExtType(48, at.to_bytes(4, "little")) for at in range(100)]
        back = decoder.decode([msgpack.packb(body), msgpack.packb([rows, [block] * 100])])
        assert {item.tolist()[0] for item in back} == {block[1] * (len(block) == 3)}
    assert array[7] == 7


def test_a_worker_may_say_of_any_block_that_it_keeps_it() -> None:
    lent = Lent(bytes(2 * _PAGE))
    for offset in (-_PAGE, 1, _SIZE, 2**63, lent.offset, lent.offset):
        lent.inlet.keep_apart(offset)
    lent.theirs[0] = 1
    assert lent.theirs.tolist()[:2] == [1, 0]


def test_keeping_apart_what_is_gone_does_nothing() -> None:
    lent = Lent(bytes(_PAGE))
    lent.inlet.keep_apart(lent.offset + _PAGE)
