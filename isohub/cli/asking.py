"""Asking before something is changed: at a terminal; elsewhere a flag has to say it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from isohub.cli.output import confirm, note
from isohub.errors import ConfigError

__all__ = ["agreed"]


def agreed(lines: Iterable[str], question: str, nothing: str) -> bool:
    """Show what it is about, and ask.

    Args:
        lines: what would be changed.
        nothing: what is said if the answer is no.

    Raises:
        ConfigError: nobody can be asked.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked without a terminal, so {nothing}", hint="pass --yes")
    for line in lines:
        note(f"  {line}")
    if confirm(question):
        return True
    note(nothing)
    return False
