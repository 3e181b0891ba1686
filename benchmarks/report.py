"""Results as JSON, as Markdown, and in the marked parts of pages.

A page has a pair of comments for each part that is made here, and what stands between them is replaced::

    <!-- generated: rows -->
    <!-- end of generated: rows -->
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.findings import Bar, Findings, Series
from benchmarks.target import Line, in_unit

__all__ = ["machine_text", "read_pictures", "replace_part", "rows_table", "save", "table", "update_page"]


def save(path: Path, machine: Mapping[str, Any], command: str, findings: Findings) -> None:
    """Write everything that was found, for programs."""
    lines = [{**asdict(line), "met": line.met} for line in findings.lines]
    content = {
        "command": command,
        "machine": dict(machine),
        "lines": lines,
        "series": [asdict(series) for series in findings.series],
        "bars": [asdict(bar) for bar in findings.bars],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(content), indent=1) + "\n")


def read_pictures(path: Path) -> tuple[list[Series], list[Bar]]:
    """What a file of results has for pictures; nothing if there is no file."""
    if not path.is_file():
        return [], []
    content = json.loads(path.read_text())
    series = [
        Series(item["name"], tuple((size, seconds) for size, seconds in item["points"]))
        for item in content["series"]
    ]
    return series, [Bar(**item) for item in content["bars"]]


def rows_table(lines: Sequence[Line]) -> str:
    """The table of the rows, in Markdown."""
    head = ["what", "isohub", "limit", "held against", "ratio (quartiles)", "target", ""]
    return table(head, [_cells(line) for line in lines])


def _cells(line: Line) -> list[str]:
    ratio = line.ratio
    return [
        line.what,
        in_unit(line.value, line.unit),
        "" if line.limit is None else in_unit(line.limit, line.unit),
        line.against + (f"; {line.note}" if line.note and line.against else line.note),
        "" if ratio is None else f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})",
        "" if line.target is None else line.target.text(line.unit),
        {True: "met", False: "**missed**", None: ""}[line.met],
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def machine_text(machine: Mapping[str, Any], command: str) -> str:
    """What the figures were taken on, in a paragraph."""
    host = ", ".join(f"{name} {number}" for name, number in machine["host"].items())
    environment = ", ".join(f"{name} {number}" for name, number in machine["environment"].items())
    return (
        f"`{command}`, {machine['date']}. isohub {machine['isohub']}. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['kernel']}, load {machine['load'][0]} at the start. "
        f"Host: Python {machine['python']}, {host}, libzmq {machine['libzmq']}. Environment: {environment}.\n"
    )


def update_page(page: Path, parts: Mapping[str, str]) -> None:
    """Replace the marked parts of a page."""
    text = page.read_text()
    for name, content in parts.items():
        text = replace_part(text, name, content)
    page.write_text(text)


def replace_part(text: str, name: str, content: str) -> str:
    """`text` with `content` as its part called `name`.

    Raises:
        ValueError: it has no such part.
    """
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end of generated: {name} -->"
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"the page has no part {name!r}")
    return f"{before}{start}\n{content.strip()}\n\n{end}{after}"


def _rounded(value: Any) -> Any:
    """The same with no more digits than mean anything."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
