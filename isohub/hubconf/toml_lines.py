"""In which line of a TOML text a key stands, which the parser does not tell, and errors should.

Keys inside inline tables are not looked for: they stand where the key of their table does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["line_of"]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*(?P<array>\[)?\[\s*(?P<keys>{_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*(?P<keys>{_DOTTED})\s*=")
_LONG_QUOTES = re.compile(r"\"\"\"|'''")

_Keys = tuple[str | int, ...]


def line_of(text: str, keys: Sequence[str | int], item: str | None = None) -> int | None:
    """The line of a key, or of the nearest key around it that has one.

    Args:
        text: valid TOML.
        keys: the way to it; a number counts in an array of tables.
        item: a text in the array that is the key's value, to be more exact.

    Returns:
        Counted from 1; None if the text names none of the keys.
    """
    lines = _key_lines(text)
    found = next((keys[:end] for end in range(len(keys), 0, -1) if tuple(keys[:end]) in lines), None)
    if found is None:
        return None
    start = lines[tuple(found)]
    if item is not None:
        end = min((line for line in lines.values() if line > start), default=len(text) + 1)
        for number, line in enumerate(text.splitlines()[start - 1 : end - 1], start):
            if f'"{item}"' in line or f"'{item}'" in line:
                return number
    return start


def _key_lines(text: str) -> dict[_Keys, int]:
    found: dict[_Keys, int] = {}
    counts: dict[_Keys, int] = {}
    table: _Keys = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if closing is None:
            if match := _TABLE.match(line):
                table = _parts(match["keys"])
                if match["array"]:
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                found.setdefault(table, number)
            elif match := _KEY.match(line):
                found.setdefault((*table, *_parts(match["keys"])), number)
        closing = _still_open(line, closing)
    return found


def _parts(dotted: str) -> _Keys:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def _still_open(line: str, closing: str | None) -> str | None:
    """The quotes that end the long string in which the line ends, if it ends in one."""
    for quotes in _LONG_QUOTES.findall(line):
        if closing is None:
            closing = quotes
        elif quotes == closing:
            closing = None
    return closing
