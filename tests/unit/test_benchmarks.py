"""What the benchmarks reckon and write, without measuring anything."""

from __future__ import annotations

import pytest

from benchmarks import report
from benchmarks.findings import Findings
from benchmarks.measure import Ratio, Times, as_block, compare, quantile, take_turns
from benchmarks.peers.measuring import PeerTimes, findings_of
from benchmarks.peers.tables import faster_peers, peers_table
from benchmarks.target import Line, Target, at_least, at_most, at_most_in_all, in_unit


def test_sides_take_turns_in_alternating_order_and_the_warm_up_does_not_count() -> None:
    order = []

    def side(name: str) -> list[float]:
        order.append(name)
        return [float(len(order))]

    taken = take_turns({"a": lambda: side("a"), "b": lambda: side("b")}, 3, warm_up=1)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert taken["a"].blocks == ((4.0,), (5.0,), (8.0,))
    assert taken["b"].all == [3.0, 6.0, 7.0]


def test_each_call_of_a_block_is_prepared() -> None:
    done: list[str] = []
    block = as_block(2, lambda: done.append("call"), lambda: done.append("prepare"))
    assert len(block()) == 2
    assert done == ["prepare", "call", "prepare", "call"]


def test_a_ratio_is_taken_turn_by_turn() -> None:
    ours = Times(((2.0, 2.0), (3.0, 3.0), (8.0, 8.0)))
    limit = Times(((1.0, 1.0), (2.0, 2.0), (2.0, 2.0)))
    assert compare(ours, limit) == Ratio(2.0, 1.75, 3.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([5.0], 0.99, 5.0), ([1.0, 2.0, 3.0], 0.5, 2.0), ([3.0, 1.0], 0.25, 1.5), ([1.0, 2.0], 1.0, 2.0)],
)
def test_quantile(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


@pytest.mark.parametrize(
    ("target", "value", "limit", "met", "unit", "text"),
    [
        (at_most(1.25), 1.25, 1.0, True, "us", "≤ 1.25x"),
        (at_most(1.25), 1.26, 1.0, False, "us", "≤ 1.25x"),
        (at_most(1.1, plus=0.15), 1.24, 1.0, True, "s", "≤ 1.1x + 150 ms"),
        (at_least(0.6), 59.0, 100.0, False, "1/s", "≥ 0.6x"),
        (at_least(0.6), 60.0, 100.0, True, "1/s", "≥ 0.6x"),
        (at_most_in_all(40 << 20), 41 << 20, None, False, "MiB", "≤ 40 MiB"),
    ],
)
def test_target(target: Target, value: float, limit: float | None, met: bool, unit: str, text: str) -> None:
    line = Line("row", "what", unit, value, limit, target=target)
    assert line.met is met
    assert target.text(unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0000912, "us", "91.2 µs"),
        (0.00371, "us", "3,710 µs"),
        (1.5, "s", "1.5 s"),
        (29729.4, "1/s", "29,729/s"),
        (1 << 20, "MiB", "1 MiB"),
    ],
)
def test_units(value: float, unit: str, text: str) -> None:
    assert in_unit(value, unit) == text


def test_the_ratio_decides_and_not_the_medians_of_all_times() -> None:
    line = Line("row", "what", "us", 1.0, 1.0, "a socket", Ratio(1.5, 1.4, 1.6), at_most(1.25))
    assert line.met is False


def test_a_line_without_a_target_is_neither_met_nor_missed() -> None:
    lines = [
        Line("a", "a call", "us", 1e-4, 5e-5, "a socket", Ratio(2.0, 1.9, 2.1), at_most(1.25), "a note"),
        Line("b", "memory", "MiB", 1 << 20, note="host 1 MiB"),
    ]
    first, second = report.rows_table(lines).splitlines()[2:]
    assert (
        first
        == "| a call | 100 µs | 50 µs | a socket; a note | 2.00x (1.90 to 2.10) | ≤ 1.25x | **missed** |"
    )
    assert second == "| memory | 1 MiB |  | host 1 MiB |  |  |  |"


def test_a_part_of_a_page_is_replaced_again_and_again() -> None:
    page = "# Page\n\n<!-- generated: rows -->\n<!-- end of generated: rows -->\n\nMore.\n"
    once = report.replace_part(page, "rows", "| a |\n")
    assert once == (
        "# Page\n\n<!-- generated: rows -->\n\n| a |\n\n<!-- end of generated: rows -->\n\nMore.\n"
    )
    assert report.replace_part(once, "rows", "| a |\n") == once
    assert "| b |" in report.replace_part(once, "rows", "| b |")
    assert "| a |" not in report.replace_part(once, "rows", "| b |")


def test_a_page_without_the_part_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no part 'rows'"):
        report.replace_part("# Page\n", "rows", "| a |")


def _peers() -> dict[str, PeerTimes]:
    ours = PeerTimes("1.0", [1e-4], [2.0], [0.1], {8 << 10: [1e-4, 3e-4]})
    ray = PeerTimes("2.0", [2e-4], [1.0], [0.4], {8 << 10: [4e-4], 64 << 20: [1.0]})
    return {"isohub": ours, "ray": ray, "rpyc": PeerTimes(error="OSError: no pipe")}


def test_peers_stand_beside_isohub_and_one_that_fails_says_why() -> None:
    peers = _peers()
    head, _, ours, ray, rpyc = peers_table(peers, findings_of(peers)).splitlines()
    assert head.startswith("|  | trivial call | 8 KiB there and back | first worker | another worker |")
    assert ours.startswith("| isohub 1.0 | 100 µs | 200 µs | 2,000 ms | 100 ms |")
    assert ray.startswith("| ray 2.0 | 200 µs (2x) | 400 µs (2x) | 1,000 ms (0.5x) | 400 ms (4x) |")
    assert rpyc.startswith("| rpyc  | could not be run here: OSError: no pipe |  |  |  |")


def test_what_isohub_loses_at_is_said() -> None:
    assert "- first worker: ray (0.50x)" in faster_peers(findings_of(_peers()))
    assert faster_peers(Findings()).startswith("In this run no peer was faster")
