"""Moments that Ctrl-C does not tear."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from isohub.rpc.interrupts import Uninterrupted


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_the_moment() -> None:
    steps = []

    def moment() -> None:
        with Uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("after the interrupt")
        steps.append("after the moment")

    with pytest.raises(KeyboardInterrupt):
        moment()
    assert steps == ["after the interrupt"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_not_lost_when_the_moment_fails() -> None:
    def moment() -> None:
        with Uninterrupted():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(KeyboardInterrupt) as caught:
        moment()
    assert isinstance(caught.value.__context__, ValueError)


def test_moments_may_lie_in_one_another() -> None:
    steps = []

    def moment() -> None:
        with Uninterrupted():
            with Uninterrupted():
                signal.raise_signal(signal.SIGINT)
            steps.append("after the inner one")

    with pytest.raises(KeyboardInterrupt):
        moment()
    assert steps == ["after the inner one"]


def test_somebody_elses_handler_is_called_with_what_it_would_have_got() -> None:
    got = []
    signal.signal(signal.SIGINT, lambda number, frame: got.append((number, frame is not None)))
    with Uninterrupted():
        signal.raise_signal(signal.SIGINT)
        assert got == []
    assert got == [(signal.SIGINT, True)]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_is_no_handler_stays_as_it_is(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, handler)
    with Uninterrupted():
        assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_have_no_interrupts() -> None:
    seen = []

    def moment() -> None:
        with Uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=moment)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
