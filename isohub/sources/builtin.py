"""Hubconfs that ship with isohub: the folders of ``isohub/hubs``."""

from __future__ import annotations

import difflib
from pathlib import Path

from isohub.errors import RefError
from isohub.sources.digest import content_digest
from isohub.sources.tree import Pin, Tree

__all__ = ["fetch", "names", "resolve"]

_HUBS = Path(__file__).parent.parent / "hubs"


def names() -> list[str]:
    """The hubs there are."""
    return sorted(path.parent.name for path in _HUBS.glob("*/hubconf.py"))


def resolve(repo: str) -> Pin:
    """Hash the hub of that name.

    Raises:
        RefError: there is none.
    """
    known = names()
    if repo not in known:
        close = difflib.get_close_matches(repo, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(known)}"
        raise RefError(f"isohub has no built-in hub {repo!r}", hint=hint)
    return Pin("builtin", repo, None, content_digest(_HUBS / repo))


def fetch(pin: Pin) -> Tree:
    """The hub's folder in the installed package."""
    return Tree(pin, _HUBS / pin.repo)
