"""What the command line makes of names and texts: sources, sizes, ages and what could steer a terminal."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.cli.hub import source_of
from isohub.cli.output import age, printable
from isohub.disk import disk_use
from isohub.sizes import size_text


@pytest.mark.parametrize(
    ("repo", "source"),
    [
        ("pytorch/vision", "github"),
        ("pytorch/vision:v0.20.1", "github"),
        ("folder", "github"),
        (".", "local"),
        ("./folder", "local"),
        ("../folder", "local"),
        ("~/folder", "local"),
        ("/folder", "local"),
        ("https://host/a/b.git@v1", "git"),
        ("file:///a/b", "git"),
        ("git@host:a/b", "git"),
    ],
)
def test_the_form_of_a_name_says_where_it_is(repo: str, source: str) -> None:
    assert source_of(argparse.Namespace(repo=repo, source=None)) == source
    assert source_of(argparse.Namespace(repo=repo, source="builtin")) == "builtin"


@given(st.text())
def test_nothing_printable_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(
        character in "\t\n" or ord(character) not in {*range(32), *range(127, 160)} for character in shown
    )
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本\n\ttext", "plain é 日本\n\ttext"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb", "a\\rb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_what_could_steer_is_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 400, "400 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 42, "12288.0 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


def test_a_file_with_several_names_takes_its_place_once(tmp_path: Path) -> None:
    first, second, outside = (tmp_path / name for name in ("first", "second", "outside"))
    for folder in (first, second, outside):
        folder.mkdir()
    (first / "one").write_bytes(os.urandom(100_000))
    alone = disk_use(first)
    assert alone.size == alone.freed >= 100_000

    (first / "two").hardlink_to(first / "one")
    assert disk_use(first) == alone
    (second / "three").hardlink_to(first / "one")
    assert disk_use(first).size == disk_use(second).size == alone.size
    assert disk_use(first).freed == disk_use(second).freed == 0
    assert disk_use(first, second) == alone
    (outside / "four").hardlink_to(first / "one")
    assert disk_use(first, second).size == alone.size
    assert disk_use(first, second).freed == 0


def test_links_are_not_followed_and_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    assert disk_use(tmp_path / "folder").size < 100_000
    assert disk_use(tmp_path / "missing").size == 0
