"""A problem that ``isohub doctor`` found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        what: what it is, and which thing it is about.
        do: what to do.
        fatal: isohub cannot work like this; otherwise only a part of it cannot, or it is slower.
    """

    what: str
    do: str
    fatal: bool = False
