from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.cli.arguments import read_named_value, read_value
from isohub.errors import ConfigError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_means_itself(value: Any) -> None:
    assert read_value(json.dumps(value), "--arg") == value


@given(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), JSON)
def test_names_end_at_the_first_equals_sign(name: str, value: Any) -> None:
    assert read_named_value(f"{name}={json.dumps(value)}", "--kw") == (name, value)


@pytest.mark.parametrize("text", ["", "=1", "a", "a b=1", "1a=1", "a.b=1"])
def test_what_has_no_name(text: str) -> None:
    with pytest.raises(ConfigError, match="is not NAME=VALUE"):
        read_named_value(text, "--kw")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("True", "JSON writes true"),
        ("False", "JSON writes false"),
        ("None", "JSON writes null"),
        ("hello", """'"hello"'"""),
        ("", "quotes"),
        ("[1,", "quotes"),
        ("[" * 100_000, "quotes"),
    ],
)
def test_what_is_no_json_says_what_would_be(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_value(text, "--arg")
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 400


def test_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    (tmp_path / "value.json").write_text('{"a": [1]}')
    (tmp_path / "text.TXT").write_text("plain")
    assert read_value(f"@{tmp_path}/x.npy", "--arg").tolist() == [0, 1, 2]
    assert read_value(f"@{tmp_path}/value.json", "--arg") == {"a": [1]}
    assert read_value(f"@{tmp_path}/text.TXT", "--arg") == "plain"


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("objects.npy", pickled()),
        ("empty.npy", b""),
        ("other.npy", b"PK\x03\x04 something else"),
        ("cut.npy", pickled()[:40]),
        ("bad.json", b"{"),
        ("bad.txt", b"\xff\xfe\xff"),
        ("bad.png", b"\x89PNG\r\n\x1a\n garbage"),
        ("unknown.bin", b"1"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        read_value(f"@{tmp_path / name}", "--arg")


@pytest.mark.parametrize("name", ["missing.npy", "missing.png", "."])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--arg cannot read"):
        read_value(f"@{tmp_path / name}", "--arg")


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("tensor:1.5", "float32", ()),
        ("tensor:[1, 2.5]", "float32", (2,)),
        ("tensor:[[1], [2]]", "int64", (2, 1)),
        ("tensor:true", "bool", ()),
    ],
)
def test_tensors_have_the_types_that_torch_gives_them(text: str, dtype: str, shape: tuple[int, ...]) -> None:
    array = read_value(text, "--arg").array
    assert (array.dtype.name, array.shape) == (dtype, shape)


def test_a_tensor_from_a_file_keeps_its_type(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(2))
    assert read_value(f"tensor:@{tmp_path}/x.npy", "--arg").array.dtype == np.float64


@pytest.mark.parametrize("text", ['tensor:"a"', "tensor:null", "tensor:[[1], [2, 3]]", 'tensor:{"a": 1}'])
def test_what_makes_no_tensor(text: str) -> None:
    with pytest.raises(ConfigError, match="makes no tensor"):
        read_value(text, "--arg")
