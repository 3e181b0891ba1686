from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.errors import HubconfError
from isohub.hubconf.scan import Hubconf, read_hubconf, scan


def declared(source: str) -> list[str]:
    return [item.text for item in scan(source.encode()).dependencies]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("dependencies = ['torch', \"numpy\"]", ["torch", "numpy"]),
        ("dependencies = ('torch', 'numpy')", ["torch", "numpy"]),
        ("dependencies = {'torch'}", ["torch"]),
        ("dependencies = 'torch',", ["torch"]),
        ("dependencies = []", []),
        ("dependencies = list()", []),
        ("dependencies: list[str] = ['torch']", ["torch"]),
        ("dependencies: list[str]", []),
        ("dependencies = ['torch'] + ['numpy']", ["torch", "numpy"]),
        ("dependencies = ['a'] + ['b'] + ['c']", ["a", "b", "c"]),
        ("base = ['torch']\ndependencies = base + ['numpy']", ["torch", "numpy"]),
        ("base = ['torch']\ndependencies = [*base, 'numpy']", ["torch", "numpy"]),
        ("T = 'torch'\ndependencies = [T, 'numpy']", ["torch", "numpy"]),
        ("dependencies = ['torch']\ndependencies += ['numpy']", ["torch", "numpy"]),
        ("dependencies = ['torch']\ndependencies.append('numpy')", ["torch", "numpy"]),
        ("dependencies = ['torch']\ndependencies.extend(('numpy', 'six'))", ["torch", "numpy", "six"]),
        ("dependencies = ['torch']\ndependencies.insert(0, 'numpy')", ["torch", "numpy"]),
        ("dependencies = {'torch'} | {'numpy'}", ["torch", "numpy"]),
        ("dependencies = sorted(['torch', 'numpy'])", ["torch", "numpy"]),
        ("dependencies = 'torch numpy'.split()", ["torch", "numpy"]),
        ("dependencies = deps = ['torch']", ["torch"]),
        ("deps = dependencies = ['torch']\ndeps = ['six']", ["torch"]),
        ("import torch\nimport numpy\n\ndependencies = ['torch']", ["torch"]),
        ("dependencies = ['old']\ndependencies = ['new']", ["new"]),
        ("dependencies = ['torch', 'torch']", ["torch"]),
        ("dependencies = [' torch ', '']", ["torch"]),
        ("if True:\n    dependencies = ['a']\nelse:\n    dependencies = ['b']", ["a", "b"]),
        ("dependencies = ['a']\nif True:\n    dependencies = ['a', 'b']", ["a", "b"]),
        ("if x:\n    pass\nelif y:\n    dependencies = ['a']", ["a"]),
        (
            "try:\n    import z\n    dependencies = ['a']\nexcept ImportError:\n    dependencies = ['b']",
            ["a", "b"],
        ),
        ("try:\n    pass\nfinally:\n    dependencies = ['a']", ["a"]),
        ("with open('x') as f:\n    dependencies = ['a']", ["a"]),
        ("for i in []:\n    dependencies = ['a']", ["a"]),
        ("dependencies = ['a'] if x else ['b']", ["a", "b"]),
        ("def f():\n    dependencies = ['a']", []),
        ("class C:\n    dependencies = ['a']", []),
        ("other = ['a']", []),
        ("", []),
    ],
)
def test_dependencies_wherever_and_however_they_are_written(source: str, expected: list[str]) -> None:
    assert declared(source) == expected


def test_dependencies_know_their_lines() -> None:
    found = scan(b"import torch\n\ndependencies = [\n    'torch',\n    'numpy',\n]\n")
    assert [(item.text, item.line) for item in found.dependencies] == [("torch", 4), ("numpy", 5)]


@pytest.mark.parametrize(
    ("source", "line", "known"),
    [
        ("\ndependencies = make()", 2, []),
        ("dependencies = ['torch', name]", 1, ["torch"]),
        ("dependencies = ['torch'] + other()", 1, ["torch"]),
        ("from x import dependencies", 1, []),
        ("dependencies, b = f()", 1, []),
        ("dependencies = [f'torch{x}']", 1, []),
        ("dependencies = open('requirements.txt').read().split()", 1, []),
        ("dependencies = ['torch']\ndependencies.remove('torch')", 2, ["torch"]),
        ("dependencies = ['torch']\ndependencies *= 2", 2, ["torch"]),
        ("import numpy\ndependencies = [numpy]", 1, []),
    ],
)
def test_what_is_no_literal_is_recorded_with_its_line(source: str, line: int, known: list[str]) -> None:
    found = scan(source.encode())
    assert [item.text for item in found.dependencies] == known
    assert [item.line for item in found.unreadable] == [line]
    assert found.unreadable[0].source == source.splitlines()[line - 1].strip()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def net(): pass", ["net"]),
        ("async def net(): pass", ["net"]),
        ("class Net: pass", ["Net"]),
        ("def _private(): pass", []),
        ("from models.net import net, _hidden, other as third", ["net", "third"]),
        ("from __future__ import annotations", []),
        ("import torch", []),
        ("from x import *", []),
        ("a = lambda: 1", ["a"]),
        ("from functools import partial\nsmall = partial(print)", ["partial", "small"]),
        ("import functools\nsmall = functools.partial(print)", ["small"]),
        ("def a(): pass\nb = a", ["a", "b"]),
        ("x = 1", []),
        ("if True:\n    def a(): pass\nelse:\n    def b(): pass", ["a", "b"]),
        ("try:\n    from x import a\nexcept ImportError:\n    def b(): pass", ["a", "b"]),
        ("def a():\n    def inner(): pass", ["a"]),
    ],
)
def test_entry_points_that_can_be_seen(source: str, expected: list[str]) -> None:
    assert list(scan(source.encode()).entry_points) == expected


@pytest.mark.parametrize(
    "source",
    [
        "dependencies = ['é']".encode("utf-8-sig"),
        "# -*- coding: latin-1 -*-\ndependencies = ['é']".encode("latin-1"),
        "dependencies = ['é']".encode(),
        b"# coding: utf-8\r\ndependencies = ['\xc3\xa9']\r\n",
    ],
)
def test_encodings(source: bytes) -> None:
    assert [item.text for item in scan(source).dependencies] == ["é"]


@pytest.mark.parametrize(
    ("source", "message", "tail"),
    [
        (b"x = 1\ndependencies = ['torch'\ny = 2\n", "hubconf.py, line 2", "dependencies = ['torch'"),
        (b"print 'hello'\n", "Missing parentheses in call to 'print'", "print 'hello'\n^"),
        (b"def f(:\n    pass\n", "hubconf.py, line 1", "^"),
        (b"x = '\xff'\n", "hubconf.py", None),
        (b"# coding: nonsense\n", "nonsense", None),
        (b"x = 1\0\n", "null byte", None),
        (b"  x = 1\n", "unexpected indent", None),
        (b"(" * 100_000, "hubconf.py", None),
        (b"-" * 1_000_000 + b"1", "hubconf.py", None),
    ],
)
def test_what_is_not_python(source: bytes, message: str, tail: str | None) -> None:
    with pytest.raises(HubconfError) as caught:
        scan(source)
    assert message in str(caught.value)
    if tail is not None:
        assert tail in (caught.value.tail or "")


def test_invalid_escapes_of_old_files_are_no_news() -> None:
    assert declared("import re\nx = re.compile('\\d')\ndependencies = ['torch']") == ["torch"]


def test_a_hostile_file_does_not_grow() -> None:
    doubling = "a = ['x']\n" + "a = a + a\n" * 200 + "dependencies = a\n"
    assert declared(doubling) == ["x"]
    nested = "".join(" " * depth + "try:\n" for depth in range(18)) + " " * 18 + "dependencies = ['x']\n"
    nested += "".join(
        " " * depth + "except E:\n" + " " * (depth + 1) + "pass\n" for depth in range(17, -1, -1)
    )
    assert declared(nested) == ["x"]


def test_no_hubconf(tmp_path: Path) -> None:
    with pytest.raises(HubconfError, match=r"example\.com/a/b has no hubconf\.py"):
        read_hubconf(tmp_path, "example.com/a/b")


def test_a_folder_is_no_hubconf(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").mkdir()
    with pytest.raises(HubconfError, match=r"has no hubconf\.py"):
        read_hubconf(tmp_path)


def test_an_absurd_size(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(HubconfError, match="larger than 4 MiB"):
        read_hubconf(tmp_path)


def test_errors_name_the_repository(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text("def f(:\n")
    with pytest.raises(HubconfError, match=r"hubconf\.py of example\.com/a/b, line 1"):
        read_hubconf(tmp_path, "example.com/a/b")


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(scan(text.encode("utf-8", "surrogatepass")), Hubconf)
    except HubconfError:
        pass


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), unique=True))
def test_what_is_written_is_read(names: list[str]) -> None:
    assert declared(f"dependencies = {names!r}") == names
