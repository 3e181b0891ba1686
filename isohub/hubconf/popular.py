"""Which distributions are well known, from a list as data. An undeclared import is installed under no other name."""

from __future__ import annotations

import functools
import string
from importlib import resources

from packaging.utils import canonicalize_name

__all__ = ["is_popular", "misspelt"]

_SHORT = 4


def is_popular(name: str) -> bool:
    """Whether `name` is a well-known distribution, however it is spelt."""
    return canonicalize_name(name) in _names()


def misspelt(name: str) -> str | None:
    """The well-known distribution that is one slip of the pen away from `name`, which is not one; None if there is none.

    Short names are too close to each other to tell.
    """
    written = canonicalize_name(name)
    if len(written) <= _SHORT or written in _names():
        return None
    return min(_slips(written) & _names(), default=None)


def _slips(name: str) -> set[str]:
    letters = string.ascii_lowercase + string.digits + "-"
    halves = [(name[:at], name[at:]) for at in range(len(name) + 1)]
    swapped = {left + right[1] + right[0] + right[2:] for left, right in halves if len(right) > 1}
    left_out = {left + right[1:] for left, right in halves if right}
    others = {left + letter + right[1:] for left, right in halves if right for letter in letters}
    added = {left + letter + right for left, right in halves for letter in letters}
    return swapped | left_out | others | added


@functools.cache
def _names() -> frozenset[str]:
    text = resources.files("isohub.hubconf").joinpath("popular.txt").read_text(encoding="utf-8")
    return frozenset(text.split())
