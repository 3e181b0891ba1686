"""What is written where: data to stdout, everything else to stderr.

Names, docstrings and error messages may be a stranger's. What could steer a terminal in them is shown, not sent: always on
stderr, and on stdout where that is a terminal. A file or another program gets the text as it is. Secrets are masked everywhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from isohub.masking import masked, masked_values

__all__ = ["age", "confirm", "note", "printable", "show", "show_json", "show_table"]

# Control characters other than tab and newline, and those that change the direction of text.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def show(text: str) -> None:
    """Write a piece of data, and a newline."""
    text = masked(text)
    print(printable(text) if sys.stdout.isatty() else text)


def show_json(value: Any) -> None:
    """Write data for programs: pure ASCII, so that no encoding and no terminal is in its way."""
    print(json.dumps(masked_values(value), indent=2, allow_nan=False))


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: on a terminal fitted to its width, elsewhere in columns of whatever width they need."""
    if sys.stdout.isatty():
        _show_rich_table(headers, rows)
        return
    lines = [headers, *([masked(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def note(text: str, *, quiet: bool = False) -> None:
    """Say something to the person, unless they asked for quiet."""
    if not quiet:
        print(printable(masked(text)), file=sys.stderr, flush=True)


def confirm(question: str) -> bool:
    """Ask the person at the terminal. Whoever calls this has made sure that there is one."""
    print(f"{printable(masked(question))} (y/N)", end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def printable(text: str) -> str:
    """The text with what could steer a terminal spelt out."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def age(seconds: float) -> str:
    """A duration as people say it, in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _show_rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="", pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(masked(cell))) for cell in row))
    Console().print(table)
