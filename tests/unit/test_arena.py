"""The arena: space is given out and taken back without gaps, and a block lives as long as anybody looks at it."""

from __future__ import annotations

import ctypes
import gc
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub_worker.arena import Inlet, Outlet
from isohub_worker.messages import WireError

_PAGE = 4096
_SIZE = 64 * _PAGE


def _arena(size: int = _SIZE) -> tuple[Outlet, Inlet]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    return Outlet(os.dup(fd), size), Inlet(fd, size)


def _put(outlet: Outlet, data: bytes) -> int | None:
    buffer = ctypes.create_string_buffer(data, len(data))
    return outlet.put(ctypes.addressof(buffer), len(data))


def test_a_block_shows_what_was_put() -> None:
    outlet, inlet = _arena()
    offset = _put(outlet, b"weights")
    assert offset is not None
    assert bytes(inlet.view(offset, 7)) == b"weights"


def test_a_block_is_given_back_when_its_last_view_dies() -> None:
    outlet, inlet = _arena()
    offset = _put(outlet, bytes(range(16)))
    assert offset is not None
    view = inlet.view(offset, 16)
    array = np.frombuffer(view, np.uint8)[4:8]
    del view
    gc.collect()
    assert inlet.take_dead() == []
    assert array.tolist() == [4, 5, 6, 7]
    del array
    gc.collect()
    assert inlet.has_dead
    assert inlet.take_dead() == [offset]
    assert inlet.take_dead() == []


def test_a_death_is_told_at_once() -> None:
    told: list[bool] = []
    fd = os.memfd_create("test")
    os.ftruncate(fd, _SIZE)
    inlet = Inlet(fd, _SIZE, on_dead=lambda: told.append(True))
    view = inlet.view(0, 1)
    assert told == []
    del view
    gc.collect()
    assert told == [True]


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


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10 * _PAGE)), max_size=60))
def test_all_space_comes_back(steps: list[tuple[bool, int]]) -> None:
    outlet, inlet = _arena()
    views: list[tuple[int, memoryview, bytes]] = []
    for put, size in steps:
        if put:
            data = bytes([len(views) % 256]) * size
            offset = _put(outlet, data)
            if offset is not None:
                views.append((offset, inlet.view(offset, size), data))
        elif views:
            views.pop(size % len(views))
        for offset in inlet.take_dead():
            outlet.free(offset)
        assert all(bytes(view) == data for _, view, data in views)
    views.clear()
    for offset in inlet.take_dead():
        outlet.free(offset)
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
