"""``python -m benchmarks.peers [PEER ...]``: measure isohub beside its peers.

A whole run writes to ``benchmarks/results`` and into docs/performance.md; some peers, or a quick run, to ``out/benchmarks``.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import report
from benchmarks.__main__ import RESULTS, SCRATCH, add_options, draw, workplace
from benchmarks.companion import ROOT
from benchmarks.machine import describe_machine
from benchmarks.peers.measuring import PEERS, PeerTimes, findings_of, measure_peer
from benchmarks.peers.tables import faster_peers, peers_table


def main() -> int:
    """Measure, show, and write down."""
    arguments = _parser().parse_args()
    chosen = ["isohub", *(name for name in arguments.peers or PEERS if name != "isohub")]
    whole = len(chosen) == len(PEERS) and not arguments.quick
    place = workplace(arguments)
    machine = describe_machine(place.versions())
    command = " ".join(["python -m benchmarks.peers", *sys.argv[1:]])

    peers = {name: PeerTimes() for name in chosen}
    for turn in range(place.some(3, quick=1)):
        # In the other order each time, so that nobody always follows the same one.
        for name, times in [*peers.items()][:: -1 if turn % 2 else 1]:
            if times.error:
                continue
            print(f"{name}, turn {turn + 1} ...", file=sys.stderr, flush=True)
            try:
                measure_peer(name, times, place)
            except Exception as error:
                # Whatever is wrong with one peer on this machine: the table says so, and the others are measured.
                times.error = f"{type(error).__name__}: {error}"
                print(f"  {times.error}", file=sys.stderr)

    findings = findings_of(peers)
    folder = RESULTS if whole else SCRATCH / "results"
    report.save(folder / "peers.json", machine, command, findings)
    text, lost = peers_table(peers, findings), faster_peers(findings)
    about = report.machine_text(machine, command)
    (folder / "peers.md").write_text(f"{about}\n{text}\n{lost}")
    draw(folder)
    if whole:
        parts = {"peers machine": about, "peers": text, "faster peers": lost}
        report.update_page(ROOT / "docs" / "performance.md", parts)
    print(f"{about}\n{text}\n{lost}\nWritten to {folder.relative_to(ROOT)}.")
    return 1 if any(times.error for times in peers.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("peers", nargs="*", choices=[[], *PEERS], metavar="PEER", help=", ".join(PEERS))
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
