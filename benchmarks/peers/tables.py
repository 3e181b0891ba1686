"""What was found of the peers, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import report
from benchmarks.findings import Findings
from benchmarks.peers.measuring import PEERS, PeerTimes
from benchmarks.target import Line, in_unit

__all__ = ["faster_peers", "peers_table"]


def peers_table(peers: Mapping[str, PeerTimes], findings: Findings) -> str:
    """A row for each peer, each figure with how many times isohub's it is."""
    columns = [*dict.fromkeys(line.what for line in findings.lines)]
    found = {(line.row, line.what): line for line in findings.lines}
    rows = []
    for name, times in peers.items():
        if times.error:
            cells = [f"could not be run here: {times.error}", *[""] * (len(columns) - 1)]
        else:
            cells = [_cell(name, found.get((name, what))) for what in columns]
        rows.append([f"{name} {times.version}", *cells, PEERS[name]])
    return report.table(["", *columns, "called how"], rows)


def faster_peers(findings: Findings) -> str:
    """What isohub loses at, and to whom, in this run."""
    lost: dict[str, list[str]] = {}
    for line in sorted(findings.lines, key=_factor):
        if _factor(line) < 1:
            lost.setdefault(line.what, []).append(f"{line.row} ({_factor(line):.2f}x)")
    if not lost:
        return "In this run no peer was faster than isohub at anything in the table.\n"
    sentences = [f"- {what}: {', '.join(names)}" for what, names in lost.items()]
    return "Faster than isohub in this run:\n\n" + "\n".join(sentences) + "\n"


def _cell(name: str, line: Line | None) -> str:
    if line is None:
        return "given up: less took over 4 s"
    text = in_unit(line.value, line.unit)
    return text if name == "isohub" else f"{text} ({_factor(line):.2g}x)"


def _factor(line: Line) -> float:
    return line.value / line.limit if line.limit else 1.0
