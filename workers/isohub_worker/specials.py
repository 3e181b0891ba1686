"""The special methods that a remote object can have: the closed list that both sides know.

``__hash__`` is not among them: the host hashes a remote object while it takes in the set that it arrives in, and cannot call the
worker meanwhile. So a remote object is hashed by its identity, or not at all if the object over there is not.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CALL", "ITERATION", "SPECIALS", "specials_of"]

CALL = "__call__"
ITERATION = ("__iter__", "__next__")

_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()

SPECIALS = frozenset(
    [CALL, *ITERATION]
    + "__len__ __length_hint__ __bool__ __contains__ __getitem__ __setitem__ __delitem__".split()
    + "__reversed__ __enter__ __exit__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__".split()
    + "__int__ __float__ __complex__ __index__ __round__ __trunc__ __floor__ __ceil__ __bytes__ __fspath__".split()
    + "__neg__ __pos__ __abs__ __invert__".split()
    + ["__%s__" % name for name in _BINARY]
    + ["__r%s__" % name for name in _BINARY]
    + ["__i%s__" % name for name in _BINARY if name != "divmod"]
)


def specials_of(cls: type) -> list[str]:
    """The special methods that instances of `cls` really have, sorted."""
    found = []
    for name in SPECIALS:
        # Not getattr: for a class that also finds what its metaclass offers, such as __call__.
        method: Any = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if method is not None and method is not vars(object).get(name):
            found.append(name)
    if getattr(cls, "__hash__", None) is None:
        # Says "unhashable" to the host; an object that merely compares by identity sends nothing.
        found.append("!__hash__")
    return sorted(found)
