"""The objects of this worker that the host holds: numbered, counted, described.

An object is kept for as long as the host may hold it. Each time it is sent its count goes up; the host says how often it had
received an object when it drops it, so an object that is on its way while it is being dropped survives. One object has one number
for as long as it is held, which is what makes ``model.eval() is model`` true over there.
"""

from __future__ import annotations

import types
from threading import Lock
from typing import Any, Iterable

from msgpack import ExtType, packb

from .forms import NUMBER, OBJECT, REFERENCE
from .messages import Unavailable, WireError
from .specials import specials_of

__all__ = ["Kept", "ObjectTable"]

_METHOD_TYPES = (
    types.FunctionType,
    types.BuiltinFunctionType,
    classmethod,
    staticmethod,
    type(list.append),
)


class Kept:
    """Stands for a value that is to be referred to, whatever form it has."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class ObjectTable:
    """Numbers for objects, and back.

    What `reference` answers counts as sent once `sent` is called; until then `not_sent` takes it back.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[int, list[Any]] = {}  # number -> [object, times sent]
        self._numbers: dict[int, int] = {}  # id(object) -> number; valid while the object is held
        self._types: dict[tuple[type, frozenset[str]], int] = {}
        self._methods: dict[type, frozenset[str]] = {}
        self._next = 1
        # Of the message that is being made.
        self._new_numbers: list[int] = []
        self._new_types: list[tuple[type, frozenset[str]]] = []

    def reference(self, value: Any) -> ExtType:
        """The extension that stands for `value`, which the host now holds once more.

        Its payload is the number and the type, and the first time that a type is mentioned, its description.
        """
        if type(value) is Kept:
            value = value.value
        kind = (type(value), self._hidden(value))
        with self._lock:
            number = self._numbers.get(id(value))
            if number is None:
                number = self._next
                self._next += 1
                self._numbers[id(value)] = number
                self._held[number] = [value, 0]
            self._held[number][1] += 1
            self._new_numbers.append(number)
            known = self._types.get(kind)
            if known is None:
                known = self._types[kind] = len(self._types)
                self._new_types.append(kind)
                return ExtType(OBJECT, REFERENCE.pack(number, known) + packb(self._describe(*kind)))
        return ExtType(OBJECT, REFERENCE.pack(number, known))

    def sent(self) -> None:
        """The message is on its way: the host holds what it mentions, and knows the types that it describes."""
        if self._new_numbers:
            self._new_numbers.clear()
            self._new_types.clear()

    def not_sent(self) -> None:
        """There will be no such message: forget that it mentioned anything."""
        for kind in self._new_types:
            del self._types[kind]
        numbers = [(number, 1) for number in self._new_numbers]
        self.sent()
        self.release(numbers)

    def _describe(self, cls: type, hidden: frozenset[str]) -> list[Any]:
        """``[name, special methods, methods]``: enough for the host to make a proxy class without asking again."""
        name = "%s.%s" % (cls.__module__, cls.__qualname__)
        return [name, specials_of(cls), sorted(self._methods[cls] - hidden)]

    def _hidden(self, value: Any) -> frozenset[str]:
        """The methods of its class that `value` hides behind attributes of its own, which may be anything."""
        methods = self._methods.get(type(value))
        if methods is None:
            methods = self._methods[type(value)] = _methods_of(type(value))
        own = getattr(value, "__dict__", None) if methods else None
        if type(own) is not dict:
            return frozenset()
        return frozenset(name for name in methods if name in own)

    def resolve(self, code: int, payload: bytes) -> Any:
        """The object, or the method of an object, that the host means.

        Raises:
            WireError: there is no such object.
            Unavailable: the object has no such method any more.
        """
        (number,) = NUMBER.unpack_from(payload)
        held = self._held.get(number)
        if held is None:
            raise WireError("the host names object %d, which it does not hold" % number)
        if code == OBJECT:
            return held[0]
        name = payload[NUMBER.size :].decode()
        try:
            return getattr(held[0], name)
        except Exception as error:
            raise Unavailable("an argument is the method %.80r: %s" % (name, error)) from error

    def release(self, dropped: Iterable[Any]) -> None:
        """Let go of what the host dropped: pairs of number and how often the host had received it.

        Raises:
            WireError: it does not hold that.
        """
        gone = []
        with self._lock:
            for pair in dropped:
                try:
                    number, count = pair
                    held = self._held[number]
                    held[1] -= count
                except (KeyError, TypeError, ValueError):
                    raise WireError("the host drops an object that it does not hold") from None
                if held[1] <= 0:
                    gone.append(held)
                    del self._held[number]
                    del self._numbers[id(held[0])]
        # The objects die here, outside the lock: what their finalizers do is not ours to know.
        del gone

    def __len__(self) -> int:
        return len(self._held)


def _methods_of(cls: type) -> frozenset[str]:
    """The names that are methods of each instance of `cls` which does not hide them."""
    methods: set[str] = set()
    if getattr(cls, "__getattribute__", None) is object.__getattribute__:
        for base in reversed(cls.__mro__):
            for name, item in vars(base).items():
                if name.startswith("__") and name.endswith("__"):
                    continue
                if isinstance(item, _METHOD_TYPES):
                    methods.add(name)
                else:
                    methods.discard(name)
    return frozenset(methods)
