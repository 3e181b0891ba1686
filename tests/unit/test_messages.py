"""The tables of messages: what they allow, and that nothing else passes."""

from __future__ import annotations

from typing import Any

import pytest

from isohub_worker import messages
from isohub_worker.messages import FROM_HOST, FROM_WORKER, WireError, check

SOUND: list[tuple[Any, list[Any]]] = [
    (FROM_HOST, [messages.REQUEST, 1, "call", None, [], {}, messages.GRAD]),
    (FROM_HOST, [messages.REQUEST, 1, "call", object(), [1], {"a": 1}, messages.INFERENCE]),
    (FROM_HOST, [messages.RELEASE, [[1, 2]], [3], [4]]),
    (FROM_HOST, [messages.MORE, -1, 2]),
    (FROM_WORKER, [messages.HELLO, messages.PROTOCOL, "key", 1234]),
    (FROM_WORKER, [messages.VALUE, 1, None]),
    (FROM_WORKER, [messages.VALUE, 1, [messages.VALUE]]),
    (FROM_WORKER, [messages.FAULT, 1, []]),
    (FROM_WORKER, [messages.ITEM, -1, "anything"]),
    (FROM_WORKER, [messages.END, -1]),
    (FROM_WORKER, [messages.FREED, [4096]]),
    (FROM_WORKER, [messages.KEPT, [4096]]),
    (FROM_WORKER, [messages.NOT_RUNNING, 1]),
]
SOUND_IDS = [f"kind {message[0]}, {number}" for number, (_, message) in enumerate(SOUND)]


@pytest.mark.parametrize(("table", "message"), SOUND, ids=SOUND_IDS)
def test_a_message_of_a_table_passes_it_and_no_other(table: Any, message: list[Any]) -> None:
    assert check(message, table) is message
    with pytest.raises(WireError, match="unknown kind"):
        check(message, FROM_HOST if table is FROM_WORKER else FROM_WORKER)


def test_every_kind_is_known_to_one_side() -> None:
    kinds = [item for name, item in vars(messages).items() if name.isupper() and isinstance(item, int)]
    modes = {messages.GRAD, messages.NO_GRAD, messages.INFERENCE, messages.PROTOCOL}
    assert set(FROM_HOST) | set(FROM_WORKER) == set(kinds) - modes | {messages.REQUEST, messages.RELEASE}
    assert {message[0] for _, message in SOUND} == set(FROM_HOST) | set(FROM_WORKER)


@pytest.mark.parametrize(("table", "message"), SOUND, ids=SOUND_IDS)
def test_a_message_that_is_too_short_or_too_long_is_refused(table: Any, message: list[Any]) -> None:
    for wrong in ([*message, None], message[:-1]):
        with pytest.raises(WireError):
            check(wrong, table)


@pytest.mark.parametrize(("table", "message"), SOUND, ids=SOUND_IDS)
def test_a_field_of_another_type_is_refused(table: Any, message: list[Any]) -> None:
    for at, expected in [*enumerate(table[message[0]])][1:]:
        # A subclass is another type: True is no number of a call.
        values: tuple[Any, ...] = (True, "1", b"1", 1.0, None, [], (), {}, 1)
        for wrong in values:
            if expected is not object and type(wrong) is not expected:
                with pytest.raises(WireError, match=f"field {at} of a message of kind {message[0]}"):
                    check([*message[:at], wrong, *message[at + 1 :]], table)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**100_000], ids=int.bit_length)
@pytest.mark.parametrize(("table", "message"), SOUND, ids=SOUND_IDS)
def test_a_number_that_is_too_large_to_show_is_refused(table: Any, message: list[Any], number: int) -> None:
    for at, expected in [*enumerate(table[message[0]])][1:]:
        if expected is int:
            with pytest.raises(WireError, match=f"field {at} of a message of kind {message[0]} is too large"):
                check([*message[:at], number, *message[at + 1 :]], table)


class Loud:
    """What a peer may send where a number belongs."""

    def __repr__(self) -> str:
        raise AssertionError("nobody may look at it")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("nobody may compare it")

    def __hash__(self) -> int:
        raise AssertionError("nobody may hash it")


@pytest.mark.parametrize(
    "message",
    [
        None,
        16,
        "text",
        (),
        (16, 1),
        {},
        {16: 1},
        [],
        [None],
        [True],
        [0],
        [15],
        [2**70],
        [2**100_000],
        ["16"],
        [[]],
        [Loud()],
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_no_message_is_refused_and_not_looked_at(message: object) -> None:
    for table in (FROM_HOST, FROM_WORKER):
        with pytest.raises(WireError):
            check(message, table)


def test_values_are_not_looked_at() -> None:
    message = [messages.VALUE, 1, Loud()]
    assert check(message, FROM_WORKER) is message
