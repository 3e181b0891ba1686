"""Calls and streams: every message in every state; then the two real cores of a connection, fed by hand."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isohub.errors import ForeignObject, StaleObject
from isohub.rpc.calls import Call, Calls, Stream
from isohub.rpc.proxies import Proxies
from isohub.rpc.proxy import RemoteMethod, RemoteObject
from isohub.rpc.refusals import Refusals
from isohub.rpc.releases import Releases
from isohub_worker import messages
from isohub_worker.codec import CannotEncode, Decoder, Encoder
from isohub_worker.messages import WireError
from isohub_worker.objects import Kept, ObjectTable

VALUE, FAULT, ITEM, END = messages.VALUE, messages.FAULT, messages.ITEM, messages.END


def message(kind: int, number: int) -> list[Any]:
    return [kind, number] if kind == END else [kind, number, "content"]


# ---- the table


class Opened:
    """Calls with one call or stream in the state of a row of the table."""

    def __init__(self, state: str) -> None:
        self.calls = Calls()
        self.done: list[Call] = []
        self.pending: Call | Stream
        if state in ("streaming", "closed"):
            self.pending = self.calls.open_stream()
            if state == "closed":
                self.calls.close_stream(self.pending.number)
        else:
            self.pending = self.calls.open_call()
            self.pending.when_done(self.done.append)
            if state == "abandoned":
                assert self.calls.abandon(self.pending)
            elif state == "done":
                self.calls.receive(message(VALUE, self.pending.number))
                self.done.clear()
            elif state == "withdrawn":
                self.calls.withdraw(self.pending.number)


TABLE = {
    "waiting": {VALUE: "done", FAULT: "done", ITEM: "violation", END: "violation"},
    "abandoned": {VALUE: "ignored", FAULT: "ignored", ITEM: "violation", END: "violation"},
    "done": {VALUE: "violation", FAULT: "violation", ITEM: "violation", END: "violation"},
    "withdrawn": {VALUE: "violation", FAULT: "violation", ITEM: "violation", END: "violation"},
    "streaming": {VALUE: "violation", FAULT: "done", ITEM: "goes on", END: "done"},
    "closed": {VALUE: "violation", FAULT: "ignored", ITEM: "ignored", END: "ignored"},
}
CASES = [(state, kind, outcome) for state, row in TABLE.items() for kind, outcome in row.items()]


@pytest.mark.parametrize(("state", "kind", "outcome"), CASES)
def test_a_message_does_what_the_table_says(state: str, kind: int, outcome: str) -> None:
    opened = Opened(state)
    number, was_ready = opened.pending.number, opened.pending.ready
    if outcome == "violation":
        with pytest.raises(WireError):
            opened.calls.receive(message(kind, number))
        assert (opened.done, opened.pending.ready) == ([], was_ready)
        return
    answered = opened.calls.receive(message(kind, number))
    assert answered is (None if outcome == "ignored" else opened.pending)
    assert opened.pending.ready == (outcome != "ignored")
    if isinstance(opened.pending, Call):
        assert opened.done == ([opened.pending] if outcome == "done" else [])
        expected = ("content", None) if kind == VALUE else (None, "content")
        assert outcome == "ignored" or (opened.pending.value, opened.pending.fault) == expected
    elif outcome != "ignored":
        assert list(opened.pending.items) == (["content"] if kind == ITEM else [])
        assert opened.pending.ended == (outcome == "done")
        assert opened.pending.fault == ("content" if kind == FAULT else None)


@pytest.mark.parametrize(("state", "kind", "outcome"), CASES)
def test_a_violation_leaves_the_call_there_to_be_ended(state: str, kind: int, outcome: str) -> None:
    opened = Opened(state)
    if outcome == "violation" and state in ("waiting", "streaming"):
        with pytest.raises(WireError):
            opened.calls.receive(message(kind, opened.pending.number))
        opened.calls.fail(lambda: WireError("ended"))
        assert opened.pending.ready
        assert isinstance(opened.pending.fault, WireError)


@pytest.mark.parametrize("state", TABLE)
def test_the_end_of_the_connection_ends_what_is_waited_for(state: str) -> None:
    opened = Opened(state)
    made: list[Exception] = []

    def make_error() -> Exception:
        made.append(WireError("ended"))
        return made[-1]

    opened.calls.fail(make_error)
    waited_for = state in ("waiting", "streaming")
    assert len(made) == waited_for
    assert not waited_for or (opened.pending.ready and opened.pending.fault is made[0])
    assert len(opened.done) == (state == "waiting")


def test_each_one_that_waits_gets_an_error_of_its_own() -> None:
    calls = Calls()
    waiting: list[Call | Stream] = [calls.open_call(), calls.open_call(), calls.open_stream()]
    calls.fail(lambda: WireError("ended"))
    assert len({id(pending.fault) for pending in waiting}) == 3


@pytest.mark.parametrize("kind", [VALUE, FAULT, ITEM, END])
@pytest.mark.parametrize("number", [0, 1, 2**62])
def test_an_answer_to_a_call_that_never_was_is_a_violation(kind: int, number: int) -> None:
    with pytest.raises(WireError):
        Calls().receive(message(kind, number))


def test_a_second_introduction_is_a_violation() -> None:
    with pytest.raises(WireError, match="twice"):
        Calls().receive([messages.HELLO, messages.PROTOCOL, "key", 1])


def test_what_is_answered_cannot_be_abandoned() -> None:
    opened = Opened("done")
    assert isinstance(opened.pending, Call)
    assert not opened.calls.abandon(opened.pending)
    with pytest.raises(WireError):
        opened.calls.receive(message(VALUE, opened.pending.number))


def test_an_abandoned_call_is_answered_once_too() -> None:
    opened = Opened("abandoned")
    opened.calls.receive(message(VALUE, opened.pending.number))
    with pytest.raises(WireError):
        opened.calls.receive(message(VALUE, opened.pending.number))


def test_numbers_are_never_used_again() -> None:
    calls = Calls()
    numbers = []
    for _ in range(5):
        call, stream = calls.open_call(), calls.open_stream()
        numbers += [call.number, stream.number]
        calls.receive(message(VALUE, call.number))
        calls.close_stream(stream.number)
    assert len(set(numbers)) == 10


def test_it_is_known_which_have_no_answer() -> None:
    calls = Calls()
    assert calls.oldest() == 0
    first, second, third = (calls.open_call().number for _ in range(3))
    calls.receive(message(VALUE, first))
    assert [calls.is_open(number) for number in (first, second, third)] == [False, True, True]
    assert calls.oldest() == second


def test_what_is_abandoned_has_no_answer_either() -> None:
    calls = Calls()
    first, second = calls.open_call(), calls.open_call()
    assert calls.abandon(first)
    assert calls.is_open(first.number)
    assert calls.oldest() == first.number
    calls.receive(message(FAULT, first.number))
    assert not calls.is_open(first.number)
    assert calls.oldest() == second.number


# ---- the window of a stream


def test_a_stream_may_not_send_more_than_was_asked_for() -> None:
    calls = Calls()
    stream = calls.open_stream()
    for _ in range(stream.first_credit):
        calls.receive(message(ITEM, stream.number))
    with pytest.raises(WireError, match="more items"):
        calls.receive(message(ITEM, stream.number))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 1000])
@pytest.mark.parametrize("eager", [True, False])
def test_a_stream_that_is_read_never_stalls_and_never_runs_far_ahead(length: int, eager: bool) -> None:
    calls = Calls()
    stream = calls.open_stream()
    credit, sent, read, furthest = stream.first_credit, 0, 0, 0
    while read < length or not stream.ended:
        while credit and sent < length and (eager or not stream.ready):
            calls.receive([ITEM, stream.number, sent])
            credit, sent = credit - 1, sent + 1
        if sent == length and credit and not stream.ended:
            calls.receive([END, stream.number])
        assert stream.ready, "nobody is to go on"
        if stream.items:
            furthest = max(furthest, sent - read)
            assert stream.items.popleft() == read
            read += 1
            credit += stream.more()
    assert (read, stream.fault) == (length, None)
    assert furthest <= 64
    assert stream.more() == 0


def test_a_stream_that_is_not_read_asks_for_nothing() -> None:
    stream = Calls().open_stream()
    assert stream.more() == 0
    assert stream.first_credit <= 4


def test_items_that_came_before_a_fault_are_still_there() -> None:
    calls = Calls()
    stream = calls.open_stream()
    calls.receive([ITEM, stream.number, 1])
    calls.receive([FAULT, stream.number, ["fault"]])
    assert (list(stream.items), stream.ended, stream.fault) == ([1], True, ["fault"])


# ---- two cores, wired without a socket


class Pair:
    """The host's side of one connection and the worker's, and the frames between them, which move when they are told to."""

    name = "test"

    def __init__(self) -> None:
        self.table = ObjectTable()
        self.releases = Releases(lambda: None)
        self.proxies = Proxies(self, self.releases)  # type: ignore[arg-type]
        self.to_host: deque[list[Any]] = deque()
        self.worker_encoder = Encoder(self.table.reference)
        self.worker_decoder = Decoder(self.table.resolve, place=True)
        self.host_encoder = Encoder(self.proxies.reference)
        self.host_decoder = Decoder(self.proxies.resolve, place=False)
        self.refusals = Refusals("a worker", Path("log"), none_open=lambda: True)

    def send(self, value: Any) -> None:
        """The worker answers `value`; it is on its way from now on."""
        try:
            self.to_host.append(self.worker_encoder.encode(value))
        except BaseException:
            self.table.not_sent()
            raise
        self.table.sent()

    def receive(self) -> Any:
        """What comes next arrives in the host."""
        return self.host_decoder.decode(self.to_host.popleft())

    def answer(self, value: Any) -> Any:
        self.send(value)
        return self.receive()

    def ask(self, value: Any) -> Any:
        """The host sends `value`: what the worker makes of it."""
        return self.worker_decoder.decode(self.host_encoder.encode(value))

    def flush(self) -> None:
        """The notes on what was dropped arrive in the worker."""
        gc.collect()
        objects, streams, _ = self.releases.take()
        _, objects, _, _ = self.worker_decoder.decode(
            self.host_encoder.encode([messages.RELEASE, objects, streams, []])
        )
        self.table.release(objects)


class Thing:
    """Lives in the worker."""

    attribute = 1

    def method(self) -> str:
        return "called"

    @property
    def property(self) -> int:
        return 1

    @classmethod
    def class_method(cls) -> None: ...

    def __len__(self) -> int:
        return 3

    def __call__(self) -> None: ...


class Equal:
    """Its class says what is equal and how it is hashed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 7


class Unhashable:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_an_object_keeps_its_identity_there_and_back(pair: Pair) -> None:
    thing, other = Thing(), Thing()
    proxy = pair.answer(thing)
    assert isinstance(proxy, RemoteObject)
    assert pair.answer([thing, {"key": thing}, (other,)])[0] is proxy
    first, table, (second,) = pair.answer((thing, {"key": thing}, [other]))
    assert first is table["key"] is proxy
    assert second is not proxy
    back = pair.ask({"argument": [proxy, second], "other": (proxy,)})
    assert back["argument"] == [thing, other]
    assert back["other"][0] is thing


def test_what_the_host_drops_the_worker_forgets(pair: Pair) -> None:
    things = [Thing() for _ in range(10)]
    kept = pair.answer(things[0])
    dropped = pair.answer({"all": things})
    assert len(pair.table) == 10
    del dropped
    pair.flush()
    assert len(pair.table) == 1
    assert pair.answer(things[0]) is kept
    del kept
    pair.flush()
    assert len(pair.table) == 0


def test_an_object_in_a_cycle_is_forgotten_too(pair: Pair) -> None:
    cycle: list[Any] = [pair.answer(Thing())]
    cycle.append(cycle)
    del cycle
    pair.flush()
    assert len(pair.table) == 0


def test_an_object_on_its_way_survives_being_dropped_meanwhile(pair: Pair) -> None:
    thing = Thing()
    proxy = pair.answer(thing)
    pair.send(thing)
    del proxy
    pair.flush()
    proxy = pair.receive()
    assert pair.ask(proxy) is thing
    del proxy
    pair.flush()
    assert len(pair.table) == 0


def test_a_dropped_object_that_comes_again_is_a_new_one(pair: Pair) -> None:
    thing = Thing()
    pair.answer(thing)
    gc.collect()
    proxy = pair.answer(thing)  # before the note on the first one has left
    pair.flush()
    assert pair.ask(proxy) is thing
    assert pair.answer(thing) is proxy
    del proxy
    pair.flush()
    assert len(pair.table) == 0


def test_many_sendings_of_one_object_are_released_together(pair: Pair) -> None:
    thing = Thing()
    proxies = [pair.answer([thing, thing]) for _ in range(50)]
    assert len({id(proxy) for pair_of in proxies for proxy in pair_of}) == 1
    del proxies
    objects, _, _ = pair.releases.take()
    assert [count for _, count in objects] == [100]


def test_what_was_not_sent_is_not_held_and_not_known(pair: Pair) -> None:
    endless: list[Any] = [Thing()]
    endless.append(endless)
    with pytest.raises(CannotEncode):
        pair.send([Thing(), endless])
    assert len(pair.table) == 0
    # Its type was described in the message that never left, so it must be described again.
    assert isinstance(pair.answer(Thing()), RemoteObject)
    proxy = pair.answer(Kept(endless))
    assert isinstance(proxy, RemoteObject)
    assert pair.ask(proxy) is endless


def test_a_reference_to_an_unknown_type_or_object_is_a_violation(pair: Pair) -> None:
    pair.send(Thing())
    pair.to_host.clear()
    pair.send(Thing())
    with pytest.raises(WireError, match="never described"):
        pair.receive()
    proxy = pair.proxies  # nothing of it is known there
    with pytest.raises(WireError, match="does not hold"):
        pair.table.resolve(64, b"\7" * 8)
    with pytest.raises(WireError, match="does not hold"):
        pair.table.release([[77, 1]])
    assert proxy


@pytest.mark.parametrize(
    "dropped",
    [[1], [[]], [[1]], [[1, 1, 1]], [[1, "1"]], ["ab"], [[[], 1]], [[None, 1]], [[2**100_000, 1]]],
    ids=lambda dropped: type(dropped[0]).__name__,
)
def test_a_drop_that_makes_no_sense_is_a_violation(pair: Pair, dropped: Any) -> None:
    pair.send(Thing())
    with pytest.raises(WireError, match="does not hold"):
        pair.table.release(dropped)


def test_a_proxy_has_just_the_special_methods_of_its_class(pair: Pair) -> None:
    proxy = pair.answer(Thing())
    assert callable(proxy)
    assert hasattr(type(proxy), "__len__")
    assert not hasattr(type(proxy), "__iter__")
    assert not hasattr(type(proxy), "__enter__")
    assert not callable(pair.answer(object()))
    assert type(proxy).__name__ == "Thing"


def test_methods_are_known_without_asking(pair: Pair) -> None:
    proxy = pair.answer(Thing())
    assert type(proxy.method) is RemoteMethod
    assert proxy.method == proxy.method
    assert proxy._isohub_type.methods == {"method", "class_method"}
    assert pair.ask([proxy.method])[0]() == "called"


def test_a_method_that_the_object_hides_is_asked_for(pair: Pair) -> None:
    thing = Thing()
    proxy = pair.answer(thing)
    thing.method = 5  # type: ignore[method-assign, assignment]
    assert pair.answer(thing) is proxy
    assert proxy._isohub_type.methods == {"class_method"}
    assert pair.answer(Thing())._isohub_type.methods == {"method", "class_method"}


def test_a_proxy_is_hashed_by_identity_as_it_arrives(pair: Pair) -> None:
    """Asking the worker for a hash while its message is taken in would wait for ever."""
    one, other = Equal(), Equal()
    arrived = pair.answer([{one}, {other: 1}, frozenset([(one,)])])
    assert arrived[0] == {next(iter(arrived[0]))}
    assert next(iter(next(iter(arrived[2])))) in arrived[0]
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair.answer(Unhashable()))


def test_an_object_of_another_worker_is_refused(pair: Pair) -> None:
    foreign = Pair().answer(Thing())
    for value in (foreign, [foreign], {"key": (foreign,)}):
        with pytest.raises(ForeignObject, match=r"remote .*Thing of test was given to the worker of test"):
            pair.ask(value)
    foreign._isohub_channel.refusals.die(lambda: StaleObject("it has ended"))
    with pytest.raises(StaleObject):
        pair.ask(foreign)


def test_what_the_host_has_no_form_for_is_refused(pair: Pair) -> None:
    for value in (Thing(), [object()], lambda: None):
        with pytest.raises(CannotEncode):
            pair.ask(value)


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        ["name"],
        ["name", [], [], []],
        [1, [], []],
        ["name", [1], []],
        ["name", [], [None]],
        ["name", ["__del__"], []],
        ["name", ["__getattribute__"], []],
        ["name", ["__class__"], []],
        ["name", ["append"], []],
        ["na\0me", [], []],
    ],
    ids=repr,
)
def test_a_type_that_cannot_be_is_refused(pair: Pair, description: Any) -> None:
    import msgpack

    from isohub_worker.forms import OBJECT, REFERENCE

    payload = REFERENCE.pack(1, 1) + msgpack.packb(description)
    frames = [msgpack.packb([VALUE, 1, msgpack.ExtType(OBJECT, payload)])]
    with pytest.raises(WireError):
        pair.host_decoder.decode(frames)


@pytest.mark.parametrize("make", [lambda: b"", lambda: b"\0" * 11, lambda: b"\0" * 8])
def test_a_reference_that_is_too_short_is_refused(pair: Pair, make: Callable[[], bytes]) -> None:
    import msgpack

    from isohub_worker.forms import METHOD, OBJECT

    for code in (OBJECT, METHOD):
        with pytest.raises(WireError):
            pair.host_decoder.decode([msgpack.packb(msgpack.ExtType(code, make()))])
