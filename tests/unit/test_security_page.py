"""What the page on security says is tested is tested by what it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_tests_that_it_names_are_there() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    functions = {
        name for text in files.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    }
    named = re.findall(r"`(test_[\w.]+)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if name not in files and name not in functions] == []
