"""Threads that wait for answers which one of them reads."""

from __future__ import annotations

import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from isohub.rpc.turns import Turns

_LONG = 20.0


class Answer:
    ready = False


class Source:
    """Where answers come from, in any order; it checks that one thread at a time asks."""

    def __init__(self) -> None:
        self.turns = Turns(self.read, none_follow=lambda: self.ends.append(len(self.turns.woken)))
        self.ends: list[int] = []
        self.coming: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.readers: set[int] = set()
        self._busy = threading.Lock()

    def read(self, deadline: float | None) -> bool:
        assert self._busy.acquire(blocking=False), "two threads read at once"
        try:
            assert self.turns.reading == {"by": threading.get_ident()}
            self.readers.add(threading.get_ident())
            answer = self.coming.get(
                timeout=_LONG if deadline is None else max(0, deadline - time.monotonic())
            )
        except queue.Empty:
            assert deadline is not None, "an answer was lost"
            return False
        finally:
            self._busy.release()
        answer.ready = True
        return True


@pytest.fixture
def source() -> Iterator[Source]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads interrupt each other wherever they can
    yield Source()
    sys.setswitchinterval(before)


def run(*functions: Callable[[], object]) -> list[object]:
    """Run them at once, and answer what they answer."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(_LONG) for future in [pool.submit(function) for function in functions]]


def test_one_that_waits_alone_reads_for_itself(source: Source) -> None:
    first, second = Answer(), Answer()
    source.coming.put(first)
    source.coming.put(second)
    assert source.turns.wait(second, None)
    assert first.ready
    assert not source.turns.reading
    assert source.turns.wait(first, None), "what is ready needs no reading"


def test_a_deadline_ends_the_wait_of_the_one_that_reads(source: Source) -> None:
    assert not source.turns.wait(Answer(), time.monotonic() + 0.01)
    assert not source.turns.reading


def test_a_deadline_ends_the_wait_of_one_that_does_not_read(source: Source) -> None:
    late = Answer()
    answer = Answer()

    def wait_briefly() -> bool:
        in_time = source.turns.wait(late, time.monotonic() + 0.05)
        source.coming.put(answer)
        return in_time

    assert run(lambda: source.turns.wait(answer, None), wait_briefly) == [True, False]


def parked(source: Source, count: int) -> None:
    """Wait until `count` threads sleep."""
    until(lambda: len(source.turns._parked) >= count)


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + _LONG
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_the_one_that_leaves_hands_over(source: Source) -> None:
    answers = [Answer() for _ in range(8)]

    def wait(answer: Answer, following: Answer | None) -> bool:
        # Each answer comes only when the one before it was taken, by the thread that waited for it.
        waited = source.turns.wait(answer, None)
        if following is not None:
            source.coming.put(following)
        return waited

    def start() -> None:
        parked(source, 7)
        source.coming.put(answers[0])

    pairs = zip(answers, [*answers[1:], None], strict=True)
    run(start, *(lambda pair=pair: wait(*pair) for pair in pairs))
    assert len(source.readers) > 1


def test_one_that_was_woken_for_nothing_wakes_the_next(source: Source) -> None:
    """Of those that wait for items of one iterator another one may have taken what it was woken for."""

    class Taken(Answer):
        """Ready for all but the thread that waits for it, until it is for that, too."""

        by: int | None = None
        there = taken = False

        @property
        def ready(self) -> bool:
            return self.there and not (self.taken and threading.get_ident() == self.by)

        @ready.setter
        def ready(self, value: bool) -> None:
            self.there, self.taken = value, False

    first, item, last = Answer(), Taken(), Answer()

    class Both(Answer):
        def __setattr__(self, name: str, value: object) -> None:
            item.there = item.taken = first.ready = last.ready = True

    def wait_for_item() -> bool:
        item.by = threading.get_ident()
        return source.turns.wait(item, None)

    with ThreadPoolExecutor(3) as pool:
        reading = pool.submit(source.turns.wait, first, None)
        until(lambda: source.turns.reading != {})
        taking = pool.submit(wait_for_item)
        parked(source, 1)
        waiting = pool.submit(source.turns.wait, last, None)
        parked(source, 2)
        source.coming.put(Both())
        assert reading.result(_LONG)
        try:
            assert waiting.result(_LONG / 4), "although nothing else arrives"
        finally:
            source.coming.put(item)
        assert taking.result(_LONG)


def test_everybody_can_be_woken_at_once(source: Source) -> None:
    answers = [Answer() for _ in range(8)]

    class Death(Answer):
        def __setattr__(self, name: str, value: object) -> None:
            for answer in answers:
                answer.ready = True

    def end() -> None:
        parked(source, 7)
        source.coming.put(Death())

    run(end, *(lambda answer=answer: source.turns.wait(answer, None) for answer in answers))
    with source.turns:
        assert source.turns.reading == {"by": threading.get_ident()}
    assert not source.turns.reading


def test_threads_that_wait_all_the_time_get_every_answer(source: Source) -> None:
    rounds, threads = 300, 16
    asked: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def answer_in_any_order() -> None:
        pending: list[Answer] = []
        chance = random.Random(7)
        while (answer := asked.get()) is not None:
            pending.append(answer)
            while pending and (chance.random() < 0.7 or len(pending) >= threads // 2):
                source.coming.put(pending.pop(chance.randrange(len(pending))))

    def ask() -> int:
        for turn in range(rounds):
            answer = Answer()
            asked.put(answer)
            # Some give up at once, so that it is handed over in every state there is.
            patience = 0.0005 if turn % 7 == 0 else None
            while not source.turns.wait(answer, None if patience is None else time.monotonic() + patience):
                asked.put(Answer())
            assert answer.ready
        return rounds

    def nudge() -> None:
        # What is held back is let go by what is asked after it; somebody must ask last.
        while not done.wait(0.001):
            asked.put(Answer())

    done = threading.Event()
    with ThreadPoolExecutor(2) as others:
        answering, nudging = others.submit(answer_in_any_order), others.submit(nudge)
        try:
            assert run(*[ask] * threads) == [rounds] * threads
        finally:
            done.set()
            nudging.result(_LONG)
            asked.put(None)
            answering.result(_LONG)
    assert len(source.readers) > 1
    assert not source.turns.woken
    assert not source.turns._parked
    assert source.ends
