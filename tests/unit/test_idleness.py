"""When a worker was not used for too long."""

from __future__ import annotations

from isohub.supervise.idleness import Idleness


def test_it_is_idle_once_nothing_was_asked_for_long_enough() -> None:
    idleness = Idleness(3)
    looks = [idleness.look(now, asked=(1, 0), busy=False) for now in range(10, 15)]
    assert looks == [False, False, False, True, True]


def test_whatever_is_asked_begins_it_anew() -> None:
    idleness = Idleness(2)
    for now, asked in enumerate([(1, 0), (1, 0), (2, 0), (2, 0), (2, 1), (2, 1)]):
        assert not idleness.look(now, asked=asked, busy=False)
    assert idleness.look(6, asked=(2, 1), busy=False)


def test_a_call_counts_until_the_look_that_finds_it_done() -> None:
    """It may have ended just before that look."""
    idleness = Idleness(1)
    assert not idleness.look(0, asked=(1, 0), busy=True)
    assert not idleness.look(100, asked=(1, 0), busy=True)
    assert not idleness.look(101, asked=(1, 0), busy=False)
    assert idleness.look(102, asked=(1, 0), busy=False)
