"""``python -m benchmarks [ROW ...]``: measure isohub beside the limits of this machine.

A whole run writes to ``benchmarks/results`` and into docs/performance.md; some rows, or a quick run, to ``out/benchmarks``.
The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import plots, report
from benchmarks.companion import ROOT
from benchmarks.findings import Findings
from benchmarks.machine import describe_machine
from benchmarks.rows import ROWS
from benchmarks.target import Line, in_unit
from benchmarks.workplace import Workplace

RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / "out" / "benchmarks"


def main() -> int:
    """Measure, show, and write down."""
    arguments = _parser().parse_args()
    chosen = arguments.rows or [*ROWS]
    whole = len(chosen) == len(ROWS) and not arguments.quick
    place = workplace(arguments)
    machine = describe_machine(place.versions())
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])

    findings = Findings()
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        findings.add(ROWS[name](place))
        for line in findings.lines:
            if line.row == name:
                print("  " + _line(line), file=sys.stderr, flush=True)

    folder = RESULTS if whole else SCRATCH / "results"
    report.save(folder / "latest.json", machine, command, findings)
    rows, about = report.rows_table(findings.lines), report.machine_text(machine, command)
    (folder / "latest.md").write_text(f"{about}\n{rows}")
    draw(folder)
    if whole:
        report.update_page(ROOT / "docs" / "performance.md", {"machine": about, "rows": rows})
    print(f"{about}\n{rows}\nWritten to {folder.relative_to(ROOT)}.")
    return 0 if all(line.met is not False for line in findings.lines) else 1


def draw(folder: Path) -> None:
    """Draw the pictures of the results in a folder: what was measured of isohub last, and of the peers last."""
    series, bars = report.read_pictures(folder / "latest.json")
    peer_series, peer_bars = report.read_pictures(folder / "peers.json")
    if series:
        peer_series = [item for item in peer_series if item.name != "isohub"]
        plots.draw_latency(folder / "latency.png", [*peer_series, *series])
    if bars:
        plots.draw_startup(folder / "startup.png", [*bars, *peer_bars])


def _line(line: Line) -> str:
    ratio = "" if line.ratio is None else f"{line.ratio.value:.2f}x "
    target = (
        ""
        if line.target is None
        else f"(target {line.target.text(line.unit)}: {'met' if line.met else 'MISSED'})"
    )
    return f"{line.what}: {in_unit(line.value, line.unit)} {ratio}{target}"


def workplace(arguments: argparse.Namespace) -> Workplace:
    """The workplace that the options describe."""
    constraints = (f"torch=={arguments.torch}",)
    return Workplace(SCRATCH, constraints, torch_backend=arguments.torch_backend, quick=arguments.quick)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `workplace`."""
    parser.add_argument("--quick", action="store_true", help="measure less, while developing")
    parser.add_argument("--torch", default="2.13.0", help="the release of torch in the environments")
    parser.add_argument("--torch-backend", help="which build of it, in uv's words, such as cpu")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW", help=", ".join(ROWS))
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
