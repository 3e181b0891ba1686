"""What a source answers: a pin says exactly which content is meant, a tree is that content on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Pin", "Tree"]


@dataclass(frozen=True)
class Pin:
    """Exactly one content of one repository.

    Attributes:
        source: "github", "git", "local" or "builtin".
        repo: the repository's one canonical name, credentials removed: ``github.com/owner/name``, a git URL, or a folder.
        ref: what was asked for or stood for it (a branch or tag in full, such as ``refs/heads/main``); None if nothing was.
        commit: 40 or 64 hexadecimal digits; for a folder, the hash of its content.
    """

    source: str
    repo: str
    ref: str | None
    commit: str


@dataclass(frozen=True)
class Tree:
    """The content of a pin on disk. Nobody writes into `path`.

    Attributes:
        date: when the commit was made, in seconds since the epoch; None where the source cannot say.
    """

    pin: Pin
    path: Path
    date: int | None = None
