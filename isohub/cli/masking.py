"""URLs as ``isohub doctor`` may show them, to be pasted into a bug report."""

from __future__ import annotations

import re

__all__ = ["masked_url"]


def masked_url(text: str) -> str:
    """The text without the users, passwords and queries of the URLs in it: too much is masked rather than too little."""
    return "".join(_masked_word(word) for word in re.split(r"([\s,]+)", text))


def _masked_word(word: str) -> str:
    scheme, separator, rest = word.rpartition("://")
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    if "?" in rest:
        rest = f"{rest.partition('?')[0]}?***"
    return f"{scheme}{separator}{rest}"
