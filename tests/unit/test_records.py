"""Records: what is left of a named tuple, a dataclass or a mapping once it has crossed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from isohub_worker.records import Record


@pytest.fixture
def record() -> Record:
    return Record("models.Output", ["loss", "logits"], [0.5, [1, 2]])


def test_fields_are_there_by_attribute_key_and_index(record: Record) -> None:
    assert (record.loss, record["loss"], record[0], record[-1]) == (0.5, 0.5, 0.5, [1, 2])
    assert record[1:] == ([1, 2],)
    assert record.get("loss") == 0.5
    assert record.get("other") is None
    assert record.get("other", 1) == 1


def test_it_is_a_tuple_of_its_values(record: Record) -> None:
    loss, logits = record
    assert (loss, logits) == record == (0.5, [1, 2])
    assert isinstance(record, tuple)
    assert len(record) == 2


def test_it_is_mapping_enough(record: Record) -> None:
    def take(loss: float, logits: list[int]) -> float:
        return loss

    assert dict(record) == {"loss": 0.5, "logits": [1, 2]}
    assert take(**record) == 0.5
    assert (record.keys(), record.values()) == (("loss", "logits"), (0.5, [1, 2]))
    assert list(record.items()) == [("loss", 0.5), ("logits", [1, 2])]
    assert "loss" in record
    assert 0.5 in record
    assert "other" not in record
    assert "" not in record


def test_it_shows_itself_as_the_original_would(record: Record) -> None:
    assert repr(record) == "Output(loss=0.5, logits=[1, 2])"
    assert Record.type_name(record) == "models.Output"


@pytest.mark.parametrize("key", ["other", "", "keys", "__class__"])
def test_an_unknown_key_is_a_key_error(record: Record, key: str) -> None:
    with pytest.raises(KeyError):
        record[key]


def test_an_unknown_attribute_is_an_attribute_error(record: Record) -> None:
    with pytest.raises(AttributeError):
        _ = record.other


def test_it_cannot_be_changed(record: Record) -> None:
    with pytest.raises(AttributeError, match="read-only"):
        record.loss = 1
    with pytest.raises(AttributeError, match="read-only"):
        record.new = 1
    with pytest.raises(AttributeError, match="read-only"):
        del record.loss
    with pytest.raises(TypeError):
        record["loss"] = 1


def test_fields_may_have_the_names_of_methods() -> None:
    names = ["keys", "values", "items", "get", "count", "index", "type_name", "can_have"]
    record = Record("m.Odd", names, range(8))
    assert [getattr(record, name) for name in names] == list(range(8))
    assert Record.keys(record) == tuple(names)
    assert Record.type_name(record) == "m.Odd"
    assert repr(record).startswith("Odd(keys=0, values=1")


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))]
)
def test_it_can_be_copied_and_pickled(record: Record, make: Any) -> None:
    other = make(record)
    assert type(other) is Record
    assert repr(other) == repr(record)
    assert Record.type_name(other) == Record.type_name(record)


@pytest.mark.parametrize(
    ("name", "names", "values"),
    [
        ("m.T", ["a"], []),
        ("m.T", [], [1]),
        ("m.T", ["a", "a"], [1, 2]),
        ("m.T", [""], [1]),
        ("m.T", ["__array_interface__"], [1]),
        ("m.T", ["__class__"], [1]),
        ("m.T", [1], [1]),
        ("m.T", [b"a"], [1]),
        ("m.T", [None], [1]),
        (None, ["a"], [1]),
    ],
)
def test_what_can_be_no_record_is_refused(name: Any, names: Any, values: Any) -> None:
    with pytest.raises(ValueError, match="a record has"):
        Record(name, names, values)
    assert Record.can_have(names) == (len(names) != len(values) or name is None)


def test_it_cannot_pass_for_an_array() -> None:
    record = Record("m.T", ["array_interface"], [{"data": (0, False), "shape": (1,), "typestr": "<i8"}])
    assert not hasattr(record, "__array_interface__")
