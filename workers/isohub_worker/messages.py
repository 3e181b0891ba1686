"""The messages that cross the wire, as tables. No I/O.

A message is a list whose first element is its kind. What each kind carries stands in a table below; a message with another
kind, another length or another type in a field is refused before anything acts on it.

Host to worker::

    [REQUEST, call, op, target, args, kwargs, grad]   do `op` on `target`; answered by VALUE or FAULT, or by a stream
    [RELEASE, [[object, count], ...], [call, ...], [block, ...]]
                                                      the host dropped `object`, which it had been sent `count` times,
                                                      reads no more of the stream that `call` opened, and looks no more at
                                                      `block` of the worker's arena
    [MORE, call, count]                               the stream may send `count` more items

Worker to host::

    [HELLO, protocol, key, pid]                       the first message; `key` proves that it is the worker that was started
    [VALUE, call, value]                              the result of a call
    [FAULT, call, fault]                              the call or the stream raised; see ``faults``
    [ITEM, call, value]                               one item of a stream
    [END, call]                                       the stream has no more items
    [FREED, [block, ...]]                             the worker looks no more at `block` of the host's arena
    [KEPT, [block, ...]]                              the worker goes on looking at `block` of its own arena, which the call that
                                                      it answers next has lent
    [NOT_RUNNING, call]                               a call or stream that the host wants stopped, see ``cancels``, does not run:
                                                      it has not begun, and will not, or it has ended

Over all of it: the host never sends before HELLO, a call is answered once, and a stream never sends more items than the
host has asked for.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "END",
    "FAULT",
    "FREED",
    "FROM_HOST",
    "FROM_WORKER",
    "GRAD",
    "HELLO",
    "INFERENCE",
    "ITEM",
    "KEPT",
    "MORE",
    "NOT_RUNNING",
    "NO_GRAD",
    "PROTOCOL",
    "RELEASE",
    "REQUEST",
    "VALUE",
    "Unavailable",
    "WireError",
    "check",
]

PROTOCOL = 1

REQUEST, RELEASE, MORE = 1, 2, 3
HELLO, VALUE, FAULT, ITEM, END, FREED, KEPT, NOT_RUNNING = 16, 17, 18, 19, 20, 21, 22, 23

# The host's grad mode, which travels with each call.
GRAD, NO_GRAD, INFERENCE = 0, 1, 2

_ANY = object
# The first type is that of the kind itself.
FROM_HOST = {
    REQUEST: (int, int, str, _ANY, list, dict, int),
    RELEASE: (int, list, list, list),
    MORE: (int, int, int),
}
FROM_WORKER = {
    HELLO: (int, int, str, int),
    VALUE: (int, int, _ANY),
    FAULT: (int, int, list),
    ITEM: (int, int, _ANY),
    END: (int, int),
    FREED: (int, list),
    KEPT: (int, list),
    NOT_RUNNING: (int, int),
}


class WireError(Exception):
    """The peer broke the protocol: what it sent is not a message of this version."""


class Unavailable(Exception):
    """This process cannot hold a value of the message, which is otherwise sound.

    Attributes:
        message: the rest of the message, with None in place of the value; set by the decoder.
    """

    message: Any = None


def check(message: object, fields: dict[int, tuple[type, ...]]) -> list[Any]:
    """Return `message` if it is one that `fields` allows.

    Raises:
        WireError: it is not; the text says what is wrong with it.
    """
    if type(message) is not list or not message:
        raise WireError("a message is a list, not %s" % type(message).__name__)
    kind = message[0]
    types = fields.get(kind) if type(kind) is int else None
    if types is None:
        # Not what it is, if it is no number: showing that may have a mind of its own.
        known = type(kind) is int and _fits(kind)
        raise WireError("unknown kind of message: %s" % (kind if known else type(kind).__name__))
    if len(message) != len(types):
        raise WireError(
            "a message of kind %d has %d fields, not %d" % (kind, len(types) - 1, len(message) - 1)
        )
    for position, expected in enumerate(types):
        value = message[position]
        if type(value) is not expected and expected is not _ANY:
            raise WireError(
                "field %d of a message of kind %d is %s, not %s"
                % (position, kind, type(value).__name__, expected.__name__)
            )
        if expected is int and not _fits(value):
            # Values may be of any size, numbers of messages not: Python refuses to show large ones in an error.
            raise WireError("field %d of a message of kind %d is too large" % (position, kind))
    return message


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63
