"""Which calls wait for what: the state of one connection's calls and streams. No I/O, no threads.

A call goes through one row of this table, and a message that fits no row is a broken protocol::

    state      VALUE        FAULT        ITEM         END          abandon      fail
    waiting    done         done         violation    violation    abandoned    done
    abandoned  (gone)       (gone)       violation    violation    abandoned    (gone)
    streaming  violation    done         streaming    done         (gone)       done

Messages for a number that is not there are ignored if they can belong to a stream that was closed while they were on their way,
and are a violation otherwise.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
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
        ready: whether the answer is there.
        value: the result, if it came.
        fault: what was raised instead: an exception to raise, or the fields of a fault for the reader to make one of.
        on_done: called once when `ready` becomes true, by whoever read the answer.
    """

    __slots__ = ("abandoned", "fault", "number", "on_done", "ready", "value")

    def __init__(self, number: int, on_done: Callable[[Call], None] | None = None) -> None:
        self.number = number
        self.ready = False
        self.abandoned = False
        self.value: Any = None
        self.fault: Any = None
        self.on_done = on_done

    def finish(self, value: Any = None, fault: Any = None) -> None:
        self.value = value
        self.fault = fault
        self.ready = True
        if self.on_done is not None:
            self.on_done(self)


class Stream:
    """Items of a remote iterator that have arrived, and how many more were asked for.

    Attributes:
        items: arrived and not yet read.
        ended: nothing more will arrive.
        fault: what the iterator raised, to be raised once `items` are read; None if it simply ended.
    """

    __slots__ = ("_owed", "_window", "ended", "fault", "items", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.items: deque[Any] = deque()
        self.ended = False
        self.fault: Any = None
        self._window = _FIRST_CREDIT
        self._owed = _FIRST_CREDIT  # asked for and not yet arrived

    @property
    def first_credit(self) -> int:
        return _FIRST_CREDIT

    @property
    def ready(self) -> bool:
        """Whether reading it does not have to wait."""
        return bool(self.items) or self.ended

    def more(self) -> int:
        """How many items to ask for now: the window is filled up when half of it is used."""
        if self.ended or self._owed + len(self.items) > self._window // 2:
            return 0
        self._window = min(self._window * 2, _MOST_CREDIT)
        count = self._window - self._owed - len(self.items)
        self._owed += count
        return count

    def arrive(self, value: Any) -> None:
        if self._owed == 0:
            raise WireError(f"stream {self.number} sent more items than were asked for")
        self._owed -= 1
        self.items.append(value)

    def end(self, fault: Any = None) -> None:
        self.ended = True
        self.fault = fault


class Calls:
    """All that is open on one connection."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0

    def open_call(self, on_done: Callable[[Call], None] | None = None) -> Call:
        call = Call(next(self._numbers), on_done)
        self._calls[call.number] = call
        return call

    def open_stream(self) -> Stream:
        stream = Stream(next(self._numbers))
        self._streams[stream.number] = stream
        self._last_stream = max(self._last_stream, stream.number)
        return stream

    def abandon(self, call: Call) -> None:
        """Nobody waits for `call` any more; its answer is dropped when it comes."""
        call.abandoned = True

    def close_stream(self, number: int) -> None:
        """Nobody reads this stream any more; what of it is still on its way is ignored."""
        self._streams.pop(number, None)

    def withdraw(self, number: int) -> None:
        """The question was never sent."""
        self._calls.pop(number, None)
        self._streams.pop(number, None)

    def receive(self, message: list[Any]) -> Call | Stream | None:
        """Let an answer take effect; the call or stream that it was for, if somebody waits for that.

        Raises:
            WireError: no call is open that this can answer.
        """
        kind, number, *rest = message
        if kind == messages.HELLO:
            raise WireError("the worker introduced itself twice")
        if number in self._streams:
            return self._receive_item(kind, self._streams[number], rest)
        call = self._calls.pop(number, None)
        if call is None:
            if 0 < number <= self._last_stream and kind != messages.VALUE:
                return None
            raise WireError(f"an answer to call {number}, which is not open")
        if kind == messages.VALUE:
            value, fault = rest[0], None
        elif kind == messages.FAULT:
            value, fault = None, rest[0]
        else:
            raise WireError(f"an item for call {number}, which is not a stream")
        if call.abandoned:
            return None
        call.finish(value, fault)
        return call

    def _receive_item(self, kind: int, stream: Stream, rest: list[Any]) -> Stream:
        if kind == messages.ITEM:
            stream.arrive(rest[0])
        elif kind == messages.VALUE:
            raise WireError(f"a single answer to stream {stream.number}")
        else:
            del self._streams[stream.number]
            stream.end(rest[0] if kind == messages.FAULT else None)
        return stream

    def fail(self, make_error: Callable[[], Exception]) -> Iterable[Call | Stream]:
        """End everything that is open with an error of its own; what was ended."""
        calls = [call for call in self._calls.values() if not call.abandoned]
        streams = list(self._streams.values())
        self._calls.clear()
        self._streams.clear()
        for call in calls:
            call.finish(fault=make_error())
        for stream in streams:
            stream.end(make_error())
        return [*calls, *streams]
