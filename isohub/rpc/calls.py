"""Which calls wait for what: the state of one connection's calls and streams. No I/O, no threads.

A call goes through one row of this table, and a message that fits no row is a broken protocol::

    state      VALUE        FAULT        ITEM         END          abandon      close        fail
    waiting    done         done         violation    violation    abandoned                 done
    abandoned  (gone)       (gone)       violation    violation    abandoned                 (gone)
    streaming  violation    done         streaming    done                      (gone)       done

A message for a call that is not there is a violation. For a stream that is not there it is ignored, unless it is a VALUE: it may
have been on its way when the stream was closed. Streams have negative numbers, so that this needs no memory of them.

Threads open, abandon and close as they like, and one of them at a time receives: what they share is only ever changed by single
operations on dicts and deques.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from isohub_worker import messages
from isohub_worker.messages import WireError

__all__ = ["Call", "Calls", "Stream"]

# A stream may run this many items ahead of its reader; it starts with few and is given more while it is read.
_FIRST_CREDIT = 2
_MOST_CREDIT = 64


class Call:
    """One question and its one answer.

    Attributes:
        ready: whether the answer is there, and with it the other two.
        value: the result, if it came.
        fault: what was raised instead: an exception to raise, or the fields of a fault for the reader to make one of; else None.
        timeout: how many seconds it may take; None for no limit.
    """

    __slots__ = ("_on_done", "fault", "number", "ready", "timeout", "value")

    fault: Any
    value: Any

    def __init__(self, number: int, timeout: float | None) -> None:
        self.number = number
        self.timeout = timeout
        self.ready = False
        self._on_done: list[Callable[[Call], None]] = []

    def when_done(self, tell: Callable[[Call], None]) -> None:
        """Have `tell` called, once, by whoever reads the answer; at once if it is there."""
        self._on_done.append(tell)
        if self.ready:
            self._tell()

    def finish(self, value: Any = None, fault: Any = None) -> None:
        self.value = value
        self.fault = fault
        self.ready = True
        if self._on_done:
            self._tell()

    def _tell(self) -> None:
        # Perhaps by two threads at once, of which one gets each.
        try:
            while True:
                self._on_done.pop()(self)
        except IndexError:
            return


class Stream:
    """Items of a remote iterator that have arrived, and how many more were asked for.

    Attributes:
        items: arrived and not yet read.
        ended: nothing more will arrive.
        fault: what the iterator raised, to be raised once `items` are read; None if it simply ended.
    """

    __slots__ = ("_arrived", "_asked", "_window", "ended", "fault", "items", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.items: deque[Any] = deque()
        self.ended = False
        self.fault: Any = None
        self._window = _FIRST_CREDIT
        # Two numbers, where their difference would do: the one that reads counts the first, the one that receives the second.
        self._asked = _FIRST_CREDIT
        self._arrived = 0

    @property
    def first_credit(self) -> int:
        return _FIRST_CREDIT

    @property
    def ready(self) -> bool:
        """Whether reading it does not have to wait."""
        return bool(self.items) or self.ended

    def more(self) -> int:
        """How many items to ask for now: the window is filled up when half of it is used."""
        ahead = len(self.items) + self._asked - self._arrived
        if self.ended or ahead > self._window // 2:
            return 0
        self._window = min(self._window * 2, _MOST_CREDIT)
        count = self._window - ahead
        self._asked += count
        return count

    def arrive(self, value: Any) -> None:
        if self._arrived == self._asked:
            raise WireError(f"stream {self.number} sent more items than were asked for")
        # In this order, so that an item is rather counted twice than not at all.
        self.items.append(value)
        self._arrived += 1

    def end(self, fault: Any = None) -> None:
        # In this order: who sees the end must see what it was.
        self.fault = fault
        self.ended = True


class Calls:
    """All that is open on one connection.

    Attributes:
        open: calls that are waited for, by number.
        streams: streams that are read, by number.
    """

    def __init__(self) -> None:
        self._call_numbers = itertools.count(1)
        self._stream_numbers = itertools.count(-1, -1)
        self.open: dict[int, Call] = {}
        self._abandoned: set[int] = set()
        self.streams: dict[int, Stream] = {}

    @property
    def none_open(self) -> bool:
        """Whether nothing is open: neither for a caller nor, abandoned, for the worker alone."""
        return not (self.open or self.streams or self._abandoned)

    def open_call(self, timeout: float | None = None) -> Call:
        call = Call(next(self._call_numbers), timeout)
        self.open[call.number] = call
        return call

    def open_stream(self) -> Stream:
        stream = Stream(next(self._stream_numbers))
        self.streams[stream.number] = stream
        return stream

    def abandon(self, call: Call) -> bool:
        """Nobody waits for `call` any more; its answer is dropped when it comes. False if it has come."""
        if call.number in self._abandoned:
            return True
        self._abandoned.add(call.number)
        if self.open.pop(call.number, None) is not None:
            return True
        self._abandoned.discard(call.number)
        return False

    def close_stream(self, number: int) -> bool:
        """Nobody reads this stream any more; what of it is still on its way is ignored. False if it has ended."""
        return self.streams.pop(number, None) is not None

    def is_open(self, number: int) -> bool:
        """Whether a call has no answer yet, be it waited for or not."""
        return number in self.open or number in self._abandoned

    def oldest(self) -> int:
        """The number of the oldest call that has no answer yet, be it waited for or not; some number if there is none."""
        # Copies, which are made in one go: others change these meanwhile.
        return min([*self.open.copy(), *self._abandoned.copy()], default=0)

    def withdraw(self, number: int) -> None:
        """The question was never sent."""
        self.open.pop(number, None)
        self.streams.pop(number, None)

    def disown(self, number: int) -> None:
        """Nobody waits for what was perhaps asked."""
        self.streams.pop(number, None)
        call = self.open.get(number)
        if call is not None:
            self.abandon(call)

    def receive(self, message: list[Any]) -> Call | Stream | None:
        """Let an answer take effect; the call or stream that it was for, if somebody waits for that.

        Raises:
            WireError: no call is open that this can answer.
        """
        kind, number, *rest = message
        if kind == messages.HELLO:
            raise WireError("the worker introduced itself twice")
        if number < 0:
            return self._receive_item(kind, number, rest)
        if kind not in (messages.VALUE, messages.FAULT):
            raise WireError(f"an item for call {number}, which is not a stream")
        call = self.open.pop(number, None)
        if call is None:
            if number not in self._abandoned:
                raise WireError(f"an answer to call {number}, which is not open")
            self._abandoned.discard(number)
            return None
        if kind == messages.VALUE:
            call.finish(value=rest[0])
        else:
            call.finish(fault=rest[0])
        return call

    def _receive_item(self, kind: int, number: int, rest: list[Any]) -> Stream | None:
        if kind == messages.VALUE:
            raise WireError(f"a single answer to stream {number}")
        stream = self.streams.get(number)
        if stream is None:
            return None
        if kind == messages.ITEM:
            stream.arrive(rest[0])
        else:
            self.streams.pop(number, None)
            stream.end(rest[0] if kind == messages.FAULT else None)
        return stream

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """End everything that is open with an error of its own. Nothing is opened any more."""
        calls, streams = list(self.open.values()), list(self.streams.values())
        self.open.clear()
        self.streams.clear()
        for call in calls:
            call.finish(fault=make_error())
        for stream in streams:
            stream.end(make_error())
