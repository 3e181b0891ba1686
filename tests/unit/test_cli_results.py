"""Results as text, as JSON and as files."""

from __future__ import annotations

import json
import math
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from PIL import Image

from isohub.cli.save import check_target, save
from isohub.cli.summary import as_json, as_text
from isohub.errors import ConfigError, UnsupportedValue
from isohub_worker.records import Record

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.datetimes()
)
VALUES = st.recursive(
    SCALARS | arrays(scalar_dtypes(), array_shapes()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from(["type", "items"]), inner)
        | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_has_strict_json_and_text(value: Any) -> None:
    json.loads(json.dumps(as_json(value), allow_nan=False))
    assert isinstance(as_text(value), str)


def objects_in(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects_in(item)


@given(VALUES)
def test_a_dict_is_never_taken_for_something_else(value: Any) -> None:
    known = {"array", "bytes", "dict", "image", "other", "record", "remote", "set"}
    assert all(item["type"] in known for item in objects_in(as_json(value)) if "type" in item)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        ({1}, {"type": "set", "items": [1]}),
        (1j, {"type": "other", "class": "complex", "text": "1j"}),
        (Decimal("1.5"), {"type": "other", "class": "decimal.Decimal", "text": "1.5"}),
        (uuid.UUID(int=1), {"type": "other", "class": "uuid.UUID", "text": str(uuid.UUID(int=1))}),
        (
            Record("a.Point", ["x", "count"], [1, None]),
            {"type": "record", "class": "a.Point", "fields": {"x": 1, "count": None}},
        ),
        (Image.new("RGB", (3, 2)), {"type": "image", "mode": "RGB", "width": 3, "height": 2}),
    ],
)
def test_json_forms(value: Any, expected: Any) -> None:
    assert as_json(value) == expected


@pytest.mark.parametrize(
    ("array", "numbers"),
    [
        (np.zeros((0, 3)), (None, None, None)),
        (np.array([1, math.nan]), ("NaN", "NaN", "NaN")),
        (np.array([True, False]), (False, 0.5, True)),
        (np.array([1j]), (None, None, None)),
        (np.array(["a"]), (None, None, None)),
        (np.full(20, 60000, "float16"), (60000, 60000, 60000)),
        (np.arange(20).astype(ml_dtypes.bfloat16), (0, 9.5, 19)),
        (np.array(7, "uint8"), (7, 7, 7)),
    ],
)
def test_statistics(array: Any, numbers: tuple[Any, ...]) -> None:
    form = as_json(array)
    assert (form["min"], form["mean"], form["max"]) == numbers
    assert form["dtype"] == array.dtype.name
    assert form["shape"] == list(array.shape)
    assert (form["values"] is None) == (array.size > 16)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is\n", "as it is\n"),
        (None, "None"),
        ([], "[]"),
        ([1, ("a", 2.5)], "[1, ('a', 2.5)]"),
        (np.float64(2), "2.0 (float64)"),
        (np.zeros(3, "int8"), "int8 array of shape (3,), min 0, mean 0, max 0, [0, 0, 0]"),
        ((np.array(1.5), "a"), "tuple of 2\n  [0]: 1.5 (float64)\n  [1]: 'a'"),
    ],
)
def test_text_forms(value: Any, text: str) -> None:
    assert as_text(value) == text


# ---- files


@given(arrays(scalar_dtypes(), array_shapes()))
def test_arrays_come_back_from_npy(array: Any) -> None:
    if array.dtype.kind in "mMSU":
        array = array.view("uint8")
    with tempfile.TemporaryDirectory() as folder:
        save(array, Path(folder, "x.npy"))
        loaded = np.load(Path(folder, "x.npy"))
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3, "int64"),
        ([1.5, 2], "float64"),
        (np.ones(2, ml_dtypes.bfloat16), "float32"),
        (np.float16(1), "float16"),
    ],
)
def test_what_is_nearly_an_array_is_saved_as_one(tmp_path: Path, value: Any, dtype: str) -> None:
    save(value, tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").dtype == dtype


@pytest.mark.parametrize(
    "value", [None, "text", {}, [[1], [2, 3]], [None], (np.zeros(2), "a"), Record("P", ["a"], [1])]
)
def test_what_is_no_array(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnsupportedValue, match="is no array"):
        save(value, tmp_path / "x.npy")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("value", "mode", "size", "corner"),
    [
        (np.full((2, 3), 7, "uint8"), "L", (3, 2), 7),
        (np.full((2, 3), True), "L", (3, 2), 255),
        (np.full((2, 3), 0.5, "float32"), "L", (3, 2), 128),
        (np.full((2, 3, 1), 7), "L", (3, 2), 7),
        (np.full((1, 2, 3), 7), "RGB", (2, 1), (7, 7, 7)),
        (np.full((3, 2, 5), 7), "RGB", (5, 2), (7, 7, 7)),
        (np.full((1, 1, 2, 5), 1.0), "L", (5, 2), 255),
        (np.full((2, 5, 4), 7, "uint8"), "RGBA", (5, 2), (7, 7, 7, 7)),
        (Image.new("L", (3, 2), 5).convert("P"), "P", (3, 2), 5),
    ],
)
def test_pictures(tmp_path: Path, value: Any, mode: str, size: tuple[int, int], corner: Any) -> None:
    save(value, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert (image.mode, image.size, image.getpixel((0, 0))) == (mode, size, corner)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3),
        np.zeros((2, 3, 4, 5)),
        np.zeros((0, 3)),
        np.zeros((5, 6, 7)),
        np.full((2, 3), 2.0),
        np.full((2, 3), math.nan),
        np.full((2, 3), -1),
        np.full((2, 3), 256),
        np.full((2, 3), 1j),
        Image.new("CMYK", (2, 2)),
        "text",
    ],
)
def test_what_is_no_picture(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnsupportedValue):
        save(value, tmp_path / "x.png")
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_there_is_replaced_by_a_whole_one_or_kept(tmp_path: Path) -> None:
    target = tmp_path / "x.npy"
    save(1, target)
    save(2, target)
    with pytest.raises(UnsupportedValue):
        save("text", target)
    assert np.load(target) == 2
    assert [*tmp_path.iterdir()] == [target]


@pytest.mark.parametrize("name", ["x", "x.txt", "x.npz", "missing/x.npy", "folder.npy"])
def test_targets_that_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ConfigError, match="--save"):
        check_target(tmp_path / name)


def test_targets_that_can_be(tmp_path: Path) -> None:
    check_target(tmp_path / "x.npy")
    check_target(tmp_path / "x.PNG")
