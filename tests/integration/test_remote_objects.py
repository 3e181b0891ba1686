"""Objects of a worker, used from here as one uses one's own."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import io
import operator
import os
import pickle
import pydoc
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from isohub.errors import ForeignObject, IsohubError, RemoteError, UnsupportedValue
from isohub.rpc.proxy import RemoteObject
from isohub_worker.records import Record
from tests.workers import PYTHONS, WIRE, Remote, environment, start, until


@pytest.fixture(scope="module", params=PYTHONS)
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A worker that several tests use, under each of the interpreters."""
    python = environment(request.param, *WIRE)
    with start(python, "objects", tmp_path_factory.mktemp("objects"), timeout=60) as remote:
        yield remote


# ---- identity and release


def test_an_object_is_itself(remote: Remote) -> None:
    thing = remote.load("thing", 1)
    assert isinstance(thing, RemoteObject)
    assert thing.me() is thing
    assert remote.load("same", [thing])[0][0][0] is thing
    assert thing.is_same(thing)
    assert thing.is_same(other=thing)
    assert not thing.is_same(remote.load("thing", 1))
    assert remote.load("thing", 1) is not thing


def test_objects_are_found_inside_containers_which_keep_their_kind(remote: Remote) -> None:
    value = remote.load("nested")
    shared = value["list"][0]
    assert type(value) is dict
    assert type(value["list"]) is list
    assert type(value["tuple"]) is tuple
    assert value["tuple"][0] is shared
    assert type(value["pair"]) is Record
    assert value["pair"].first is shared
    assert value["output"].thing is shared
    sent = {"a": [shared, (shared, {1: shared})], "record": value["output"]}
    ((back,), _) = remote.load("same", sent)
    assert back == sent
    assert back["a"][1][1][1] is shared


def test_a_dropped_object_is_let_go_over_there_without_another_call(remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "dead"
    dying = remote.load("finalized", str(path))
    assert not path.exists()
    del dying
    until(path.exists)


def test_what_is_dropped_is_let_go_wherever_it_lay(remote: Remote) -> None:
    before = remote.holds()
    many = remote.load("many", 100)
    assert remote.holds() == before + 100
    kept = many[7]
    cycle: dict[str, Any] = {"many": tuple(many), "nested": remote.load("nested")}
    cycle["self"] = cycle
    del many, cycle
    gc.collect()
    until(lambda: remote.holds() == before + 1)
    assert kept.number == 7
    del kept
    until(lambda: remote.holds() == before)


def test_methods_and_iterators_are_let_go_too(remote: Remote) -> None:
    before = remote.holds()
    thing = remote.load("thing")
    bound = thing.add
    assert [bound() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert list(remote.load("things", 5))[2].number == 2
    del thing
    assert bound() == 6, "a method keeps its object"
    del bound
    gc.collect()
    until(lambda: remote.holds() == before)


def test_objects_may_be_keys_and_members(remote: Remote) -> None:
    table, numbers, frozen, methods = remote.load("sets_of_objects")
    (one,) = table
    assert one in numbers
    assert (one,) in frozen
    assert sorted(number.value for number in numbers) == [1, 2]
    assert list(methods.values()) == ["method"]
    assert len({one, one}) == 1


def test_a_value_that_cannot_be_held_here_costs_its_call_and_no_more(remote: Remote) -> None:
    with pytest.raises(UnsupportedValue, match="no hash here"):
        remote.load("nodes")
    assert remote.load("thing", 1).number == 1


def test_a_container_that_contains_itself_stays_over_there(remote: Remote) -> None:
    endless: Any = remote.load("endless")
    assert issubclass(type(endless), RemoteObject)
    assert endless[1] is endless
    assert endless[0].number == 1
    assert len(endless) == 2


def test_a_type_that_was_mentioned_in_a_message_that_failed_is_known_later(remote: Remote) -> None:
    with pytest.raises(ZeroDivisionError, match="cannot be looked at"):
        remote.load("new_type")
    latest = remote.load("latest_of_new_type")
    assert type(latest).__name__ == "New"


# ---- attributes


def test_attributes_are_read_set_and_deleted(remote: Remote) -> None:
    thing = remote.load("thing", 5)
    assert (thing.number, thing.twice, thing.shared, thing.items) == (5, 10, "of the class", [1, 2, 3])
    thing.number = 7
    assert thing.number == 7
    thing.twice = 20
    assert thing.number == 10
    thing.new = {"any": ("value", thing)}
    assert thing.new["any"][1] is thing
    del thing.new
    with pytest.raises(AttributeError, match="new"):
        _ = thing.new
    with pytest.raises(AttributeError):
        del thing.new
    with pytest.raises(AttributeError):
        thing.__class__.number.setter  # noqa: B018
    assert not hasattr(thing, "absent")
    assert getattr(thing, "absent", "default") == "default"


def test_an_attribute_may_hide_a_method_and_show_it_again(remote: Remote) -> None:
    thing = remote.load("thing", 5)
    thing.add = 5
    assert thing.add == 5
    ((other,), _) = remote.load("same", thing)
    assert other is thing
    assert thing.add == 5
    del thing.add
    assert thing.add(2) == 7
    assert remote.load("thing").add(1) == 1


def test_attributes_may_be_made_up(remote: Remote) -> None:
    secretive = remote.load("secretive")
    assert secretive.anything == "made up: anything"
    assert not hasattr(secretive, "_private")


def test_dir_shows_the_attributes_over_there(remote: Remote) -> None:
    thing = remote.load("thing")
    assert {"number", "add", "me", "twice", "__init__"} <= set(dir(thing))
    thing.new = 1
    assert "new" in dir(thing)
    assert vars(thing)["number"] == 0


def test_an_object_shows_itself_as_it_would_over_there(remote: Remote) -> None:
    thing = remote.load("thing", 5)
    assert (repr(thing), str(thing), f"{thing:spec}") == ("Thing(5)", "thing 5", "formatted spec")
    assert type(thing).__name__ == "Thing"
    assert repr(thing.add).startswith("<bound method Thing.add of Thing(5)>")


# ---- calls


def test_arguments_arrive_as_they_were_given(remote: Remote) -> None:
    thing = remote.load("thing")
    assert thing.same() == ((), {})
    assert thing.same(1, "2", three=(3,), self_=4) == ((1, "2"), {"three": (3,), "self_": 4})
    assert thing.types([], (), set(), {}, b"", 1.0, None) == [
        *("list", "tuple", "set", "dict", "bytes", "float", "NoneType")
    ]
    caller = remote.load("caller")
    assert caller(1, device="cuda", env={}, name="n", op="o", target=5) == (
        (1,),
        {"device": "cuda", "env": {}, "name": "n", "op": "o", "target": 5},
    )
    assert remote.load("same", name=1, args=2) == ((), {"name": 1, "args": 2})


def test_classes_functions_and_modules_are_objects_too(remote: Remote) -> None:
    cls = remote.load("classes")
    made = cls(5)
    assert made.number == 5
    assert cls.static() == made.static() == "static"
    assert cls.__name__ == "Thing"
    assert remote.load("builtin")([1, 2, 3]) == 3
    assert remote.load("module").join("a", "b") == "a/b"
    assert callable(cls)
    assert not callable(made)
    with pytest.raises(TypeError):
        made()


def test_a_method_can_be_passed_on(remote: Remote) -> None:
    thing = remote.load("thing", 5)
    ((method,), _) = remote.load("same", thing.add)
    assert method(1) == 6
    assert thing.add == thing.add
    assert {thing.add: 1}[thing.add] == 1


def test_signatures_are_those_over_there(remote: Remote) -> None:
    thing = remote.load("thing")
    assert str(inspect.signature(thing.add)) == "(count: int = 1, *rest, scale: float = 1.0, **others) -> int"
    parameters = inspect.signature(thing.add).parameters
    assert parameters["scale"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["scale"].default == 1.0
    assert str(inspect.signature(remote.load("classes"))) == "(number=0)"
    assert str(inspect.signature(remote.load("caller"))) == "(*args, **kwargs)"


def test_help_is_that_over_there(remote: Remote) -> None:
    thing = remote.load("thing")
    assert thing.__doc__ == "A thing.\n\nIt has a second paragraph."
    assert thing.add.__doc__ == "Add to the number."
    assert inspect.getdoc(thing) == thing.__doc__
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        pydoc.Helper(output=out).help(thing)
    assert "It has a second paragraph." in out.getvalue()
    assert "Add to the number." in pydoc.plain(pydoc.render_doc(thing.add))


# ---- operators


def test_binary_operators(remote: Remote) -> None:
    two, three = remote.load("number", 2), remote.load("number", 3)
    assert (two + three).value == 5
    assert (two + 10).value == 12
    assert (10 + two).value == 12
    assert (two - three).value == -1
    assert (10 - two).value == 8
    assert two @ 5 == ("matmul", 2, 5)
    assert 5 @ two == ("rmatmul", 5, 2)
    assert two @ three == ("matmul", 2, 3)
    assert two**3 == 8
    assert pow(three, 3, 5) == 2
    assert divmod(three, two) == (1, 1)
    with pytest.raises(TypeError):
        two + "text"
    with pytest.raises(TypeError):
        two * 2


def test_unary_operators_and_conversions(remote: Remote) -> None:
    two, zero = remote.load("number", 2), remote.load("number", 0)
    assert ((-two).value, abs(two), ~two) == (-2, 2, -3)
    assert (int(two), float(two), complex(two), round(two), bytes(two)) == (2, 2.0, 2 + 0j, 2, b"\x02")
    assert (operator.index(two), [10, 20, 30][two], list(range(two))) == (2, 30, [0, 1])
    assert (bool(two), bool(zero), not zero) == (True, False, True)
    assert os.fspath(two) == "/2"


def test_comparisons(remote: Remote) -> None:
    two, other, three = (remote.load("number", value) for value in (2, 2, 3))
    assert two == other
    assert two != three
    assert two == 2
    assert (two == object()) is False
    assert two != object()
    assert two < three <= three
    assert three > two
    assert remote.load("thing") != remote.load("thing")
    with pytest.raises(TypeError):
        hash(remote.load("unhashable"))


def test_in_place_operators_keep_the_object(remote: Remote) -> None:
    number = remote.load("number", 2)
    before = number
    number += 5
    assert number is before
    assert number.value == 7
    number -= 3  # it has none of its own, so this makes a new one
    assert number is not before
    assert number.value == 4


def test_items(remote: Remote) -> None:
    box = remote.load("box", 1, 2, 3)
    assert (len(box), box[0], box[-1], box[1:], 2 in box, 5 in box) == (3, 1, 3, [2, 3], True, False)
    box[0] = remote.load("thing", 9)
    assert box[0].number == 9
    del box[0]
    assert list(box) == [2, 3]
    assert list(reversed(box)) == [3, 2]
    with pytest.raises(IndexError):
        box[10]
    with pytest.raises(TypeError):
        box["key"]


# ---- context managers


def fail_with(error: Exception) -> None:
    raise error


class UnprintableError(UnicodeDecodeError):
    """It says of itself less than its base needs."""

    def __init__(self) -> None:
        super().__init__("utf-8", b"", 0, 1, "why")
        self.args = ()


def test_a_context_manager(remote: Remote) -> None:
    manager = remote.load("manager", "KeyError", "ValueError", "UnicodeDecodeError")
    with manager as entered:
        assert entered is manager
    assert manager.seen is None
    for error, seen in [
        (KeyError("key"), ("KeyError", "'key'")),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"), ("UnicodeDecodeError", ANY)),
        (UnprintableError(), ("ValueError", ANY)),
    ]:
        with manager:
            fail_with(error)
        assert manager.seen == seen
    with pytest.raises(OSError, match="not suppressed"), manager:
        raise OSError("not suppressed")
    with pytest.raises(KeyboardInterrupt), manager:
        raise KeyboardInterrupt
    assert manager.seen == ("Exception", "")


def test_a_remote_error_passes_through_a_remote_context_manager(remote: Remote) -> None:
    manager = remote.load("manager")
    with pytest.raises(ValueError, match="bad"), manager:
        remote.load("fail", "ValueError", "bad")
    assert manager.seen == ("ValueError", "bad")


def test_a_context_manager_of_a_generator(remote: Remote) -> None:
    with remote.load("generator_manager") as thing:
        assert thing.number == 7
    with pytest.raises(LookupError, match="through it"), remote.load("generator_manager"):
        raise LookupError("through it")


# ---- iteration


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
def test_a_generator_yields_all_its_items_in_order(remote: Remote, count: int) -> None:
    assert list(remote.load("numbers", count)) == list(range(count))


def test_iterables_can_be_iterated_again(remote: Remote) -> None:
    box = remote.load("box", 1, 2, 3)
    assert [*box, *box] == [1, 2, 3, 1, 2, 3]
    assert list(zip(box, box, strict=True)) == [(1, 1), (2, 2), (3, 3)]
    assert list(remote.load("sequence")) == [0, 10, 20]
    first, *rest = box
    assert (first, rest) == (1, [2, 3])
    assert sum(map(int, remote.load("numbers", 10))) == 45


def test_items_of_a_stream_are_objects_like_any(remote: Remote) -> None:
    things = list(remote.load("things", 100))
    assert [thing.number for thing in things] == list(range(100))
    assert things[5].me() is things[5]


def test_next_mixes_with_for(remote: Remote) -> None:
    numbers = remote.load("numbers", 10)
    assert next(numbers) == 0
    assert next(numbers) == 1
    for number in numbers:
        if number == 4:
            break
    assert next(numbers) == 5
    assert iter(numbers) is numbers
    assert list(numbers) == [6, 7, 8, 9]
    assert list(numbers) == []
    assert next(numbers, "default") == "default"


def test_a_generator_can_be_sent_to_and_closed(remote: Remote) -> None:
    echo = remote.load("echo")
    assert next(echo) is None
    assert echo.send("hello") == "hello"
    assert echo.send([echo])[0] is echo
    echo.close()
    with pytest.raises(StopIteration):
        echo.send(1)


def test_a_generator_does_not_run_ahead_of_its_reader(remote: Remote) -> None:
    numbers = remote.load("forever")
    assert next(numbers) == 1
    assert remote.load("produced_so_far") == 1, "a bare next() asks for one item"
    for read, number in enumerate(numbers, 2):
        assert number == read
        produced = remote.load("produced_so_far")
        assert read <= produced <= read + 64
        if read == 300:
            break


def test_an_endless_generator_ends_over_there_when_it_is_dropped_here(remote: Remote) -> None:
    before = len(remote.load("ended_so_far"))
    for number in remote.load("forever"):
        if number == 10:
            break
    until(lambda: remote.load("ended_so_far")[before:] == ["forever"])
    produced = remote.load("produced_so_far")
    assert produced <= 10 + 64
    assert remote.load("produced_so_far") == produced


def test_a_generator_that_fails_yields_what_came_before(remote: Remote) -> None:
    got: list[int] = []
    with pytest.raises(ValueError, match="after 3") as caught:
        got.extend(remote.load("fails_after", 3))
    assert got == [0, 1, 2]
    assert isinstance(caught.value, RemoteError)


def test_calls_go_on_while_streams_are_open(remote: Remote) -> None:
    streams = [iter(remote.load("numbers", 1000)) for _ in range(5)]
    for turn in range(50):
        assert [next(stream) for stream in streams] == [turn] * 5
        assert remote.load("thing", turn).number == turn


# ---- exceptions


@pytest.mark.parametrize(
    ("kind", "args", "bases", "text"),
    [
        ("ValueError", ("bad", 3), (ValueError,), "('bad', 3)"),
        ("KeyError", ("key",), (KeyError,), "'key'"),
        ("open", (), (FileNotFoundError,), "[Errno 2] No such file or directory: '/does/not/exist'"),
        ("OSError", (13, "denied"), (PermissionError,), "[Errno 13] denied"),
        ("CustomError", (7,), (ValueError,), "('code 7', [7])"),
        ("decode", (), (UnicodeDecodeError,), "'utf-8' codec can't decode byte 0xff in position 0"),
        ("StopIteration", (5,), (StopIteration,), "5"),
        ("GeneratorExit", (), (), ""),
        ("SystemExit", (3,), (), "3"),
        ("KeyboardInterrupt", (), (), ""),
        ("AssertionError", (), (AssertionError,), ""),
        ("NotImplementedError", ("later",), (NotImplementedError, RuntimeError), "later"),
        ("Unprintable", ("x",), (KeyError,), "<its text cannot be made: RuntimeError>"),
        ("StopAsyncIteration", (), (StopAsyncIteration,), ""),
        ("RecursionError", ("deep",), (RecursionError,), "deep"),
        ("MemoryError", (), (MemoryError,), ""),
        ("TimeoutError", ("late",), (TimeoutError,), "late"),
        ("ZeroDivisionError", ("surrogate \udcff",), (ZeroDivisionError,), "surrogate \udcff"),
    ],
)
def test_an_exception_is_what_it_was(
    remote: Remote, kind: str, args: tuple[Any, ...], bases: tuple[type, ...], text: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        remote.load("fail", kind, *args)
    assert all(isinstance(caught.value, base) for base in bases)
    assert str(caught.value).startswith(text)
    assert caught.value.type_name.rpartition(".")[2] in (kind, type(caught.value).__name__[len("Remote") :])
    assert remote.load("thing", 1).number == 1


def test_an_exception_keeps_its_attributes(remote: Remote) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        remote.load("fail", "open")
    assert (missing.value.errno, missing.value.filename) == (2, "/does/not/exist")
    with pytest.raises(KeyError) as absent:
        remote.load("fail", "KeyError", "key")
    assert absent.value.args == ("key",)
    with pytest.raises(UnicodeDecodeError) as broken:
        remote.load("fail", "decode")
    assert (broken.value.object, broken.value.start) == (b"\xff", 0)


def test_the_remote_traceback_is_printed_and_nothing_of_the_worker(remote: Remote) -> None:
    with pytest.raises(KeyError) as caught:
        remote.load("fail", "nested")
    text = "".join(traceback.format_exception(caught.value))
    assert "ValueError: inner" in text
    assert "KeyError: 'outer'" in text
    assert 'hubconf.py", line' in text
    assert str(remote.worker.log) in text
    assert isinstance(caught.value, RemoteError)
    assert "isohub_worker" not in caught.value.traceback_text


def test_a_wrong_call_is_a_type_error(remote: Remote) -> None:
    with pytest.raises(TypeError, match=r"positional arguments|unexpected keyword"):
        remote.load("nothing", 1)
    with pytest.raises(TypeError, match="unexpected keyword"):
        remote.load("nothing", device="cuda")


# ---- what cannot be done


def test_a_hostile_object_runs_nothing_here(remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    evil = remote.load("evil", str(path))
    assert isinstance(evil, RemoteObject)
    ((back,), _) = remote.load("same", [evil])
    assert back == [evil]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UnsupportedValue):
            attempt(evil)
    assert not path.exists()


@pytest.mark.parametrize(
    "value",
    [object(), lambda: None, open, type, iter([]), Path],
    ids=["object", "function", "builtin", "type", "iterator", "class"],
)
def test_a_value_without_a_form_is_refused_and_named(remote: Remote, value: Any) -> None:
    for args, kwargs, where in [((1, [value]), {}, "argument 2"), ((), {"key": {"a": value}}, "key")]:
        with pytest.raises(UnsupportedValue, match=where) as caught:
            remote.load("caller")(*args, **kwargs)
        assert isinstance(caught.value, TypeError)
    assert remote.load("thing", 1).number == 1


def test_an_object_of_another_worker_is_refused(remote: Remote, tmp_path: Path) -> None:
    thing = remote.load("thing")
    with start(environment(PYTHONS[-1], *WIRE), "objects", tmp_path, name="other/repo") as other:
        for value in (thing, thing.add, [{"key": (thing,)}]):
            with pytest.raises(ForeignObject, match="was given to the worker of other/repo") as caught:
                other.load("same", value)
            assert isinstance(caught.value, ValueError)
        assert other.load("thing") != thing
        assert other.load("thing", 3).number == 3


def test_libraries_that_look_what_an_object_is_ask_the_worker_nothing(remote: Remote) -> None:
    secretive = remote.load("secretive")
    for name in ("__array__", "__array_interface__", "__cuda_array_interface__", "__dlpack__", "_repr_html_"):
        assert not hasattr(secretive, name)


def test_remote_classes_cannot_be_made_here(remote: Remote) -> None:
    thing = remote.load("thing")
    with pytest.raises(TypeError, match="made by workers"):
        type(thing)()
    with pytest.raises(TypeError):
        RemoteObject()


def test_errors_are_all_of_one_family(remote: Remote) -> None:
    with pytest.raises(IsohubError):
        remote.load("fail", "ValueError")
