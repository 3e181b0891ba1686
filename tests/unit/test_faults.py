"""Exceptions as they cross: described over there, raised here as a RemoteError that is also what they were."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from isohub.errors import IsohubError, RemoteError
from isohub.rpc import raised as raising
from isohub.rpc.raised import RemoteTraceback, remote_error
from isohub_worker.codec import Decoder, Encoder
from isohub_worker.faults import BUILTIN_ERRORS, Fault, builtin_base, fault_of, read_fault
from isohub_worker.messages import WireError

ENCODER = Encoder(lambda value: None)


def raised(error: BaseException) -> Fault:
    """What the host is told when `error` is raised, by way of the wire."""
    try:
        raise error
    except BaseException as caught:
        fields = list(fault_of(caught))
    return read_fault(Decoder(lambda code, payload: None, place=False).decode(ENCODER.encode(fields)))


def here(fault: Fault) -> RemoteError:
    return remote_error(fault, None, lambda: "")


# ---- what is raised here


@pytest.mark.parametrize("name", sorted(BUILTIN_ERRORS))
@pytest.mark.parametrize("args", [None, (), ("text",), (1, 2, 3, 4, 5), ("a", b"\xff", 0, 1, "why")])
def test_every_built_in_error_is_caught_as_itself(name: str, args: tuple[Any, ...] | None) -> None:
    error = here(Fault(f"m.{name}", name, "its text", args, "Traceback ..."))
    assert isinstance(error, getattr(builtins, name))
    assert isinstance(error, RemoteError)
    assert (str(error), error.type_name, error.traceback_text) == ("its text", f"m.{name}", "Traceback ...")
    assert args is None or error.args == args or isinstance(error, OSError)
    repr(error)


def test_what_is_no_built_in_error_is_not_remembered() -> None:
    before = raising._error_class.cache_info().currsize
    for number in range(100):
        here(Fault("m.T", f"Error{number}", "text", None, ""))
    assert raising._error_class.cache_info().currsize <= before + 1


@pytest.mark.parametrize("args", [None, ("text",), ("text", "file"), ("a", "abcd"), ("a", "abcdef")])
@pytest.mark.parametrize("name", ["SyntaxError", "IndentationError", "TabError"])
def test_a_syntax_error_can_be_shown_wherever_it_says_that_it_is(name: str, args: Any) -> None:
    error = here(Fault(name, name, "its text", args, "Traceback ..."))
    assert "its text" in "".join(traceback.format_exception(error))
    assert isinstance(error, SyntaxError)
    assert (error.msg, error.lineno) == ("its text", None)


@pytest.mark.parametrize("start", [-(2**40), -1, 3, 2**40])
def test_a_unicode_error_is_shown_without_looking_where_it_says(start: int) -> None:
    error = here(
        Fault("m.T", "UnicodeDecodeError", "its text", ("utf-8", b"abc", start, start + 1, "why"), "")
    )
    assert "its text" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "base", ["Exception", "SystemExit", "KeyboardInterrupt", "BaseException", "int", "eval"]
)
def test_what_is_no_built_in_error_is_a_remote_error_and_no_more(base: str) -> None:
    assert type(here(Fault("m.T", base, "text", None, ""))) is RemoteError


class Custom(ValueError):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}", [code])


class Deep(Custom, LookupError):
    pass


class Named(FileNotFoundError):
    pass


def undecodable() -> Exception:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("original", "bases", "args", "attributes"),
    [
        (ValueError("bad", 3), (ValueError,), ("bad", 3), {}),
        (KeyError("key"), (KeyError, LookupError), ("key",), {}),
        (Custom(5), (ValueError,), ("code 5",), {"type_name": f"{__name__}.Custom"}),
        (Deep(5), (ValueError,), ("code 5",), {}),
        (OSError(2, "gone"), (FileNotFoundError,), (2, "gone"), {"errno": 2, "strerror": "gone"}),
        (OSError(2, "gone", "f"), (FileNotFoundError,), (2, "gone"), {"errno": 2, "filename": "f"}),
        (Named(2, "gone"), (FileNotFoundError,), (2, "gone"), {"errno": 2}),
        (OSError("text"), (OSError,), ("text",), {"errno": None}),
        (StopIteration(5), (StopIteration,), (5,), {"value": 5}),
        (undecodable(), (UnicodeDecodeError, ValueError), None, {"start": 0, "object": b"\xff"}),
        (SystemExit(3), (), (3,), {"type_name": "SystemExit"}),
        (KeyboardInterrupt(), (), (), {"type_name": "KeyboardInterrupt"}),
        (ImportError("no", name="m"), (ImportError,), ("no",), {}),
        (AssertionError(), (AssertionError,), (), {}),
        (ZeroDivisionError("\udcff"), (ZeroDivisionError,), ("\udcff",), {}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_an_exception_keeps_what_it_was(
    original: BaseException, bases: tuple[type, ...], args: Any, attributes: dict[str, Any]
) -> None:
    error = here(raised(original))
    assert all(isinstance(error, base) for base in (*bases, RemoteError, IsohubError))
    assert isinstance(error, Exception)
    assert str(error) == str(original)
    if args is not None and not isinstance(original, Custom):
        assert error.args == args
    assert {name: getattr(error, name) for name in attributes} == attributes


def test_a_group_of_exceptions_is_described_with_all_of_them() -> None:
    group = getattr(builtins, "ExceptionGroup", None)
    if group is not None:  # Python 3.10 has none
        error = here(raised(group("several", [ValueError("one"), KeyError("two")])))
        assert type(error) is RemoteError
        assert "one" in error.traceback_text
        assert "two" in error.traceback_text


def test_the_printed_traceback_has_the_remote_one_and_the_log(tmp_path: Any) -> None:
    def fail() -> NoReturn:
        raise ValueError("far away")

    try:
        fail()
    except ValueError as caught:
        fault = fault_of(caught)
    error = remote_error(fault, tmp_path / "worker.log", lambda: "first line\nlast line")
    assert isinstance(error.__cause__, RemoteTraceback)
    text = "".join(traceback.format_exception(type(error), error, None))
    for part in (
        "in fail",
        "ValueError: far away",
        "worker.log",
        "  | last line",
        "RemoteValueError: far away",
    ):
        assert part in text
    assert str(error) == "far away"


# ---- exceptions that resist


def broken(*names: str) -> Callable[[], BaseException]:
    def fail(self: object, *args: object) -> NoReturn:
        raise SystemExit("from inside the exception")

    return lambda: type("Broken", (ValueError,), dict.fromkeys(names, fail))("args")


class WithArgs(ValueError):
    args = property(lambda self: 1 / 0)


class Named2(ValueError):
    __module__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "make",
    [
        broken("__str__"),
        broken("__repr__"),
        broken("__str__", "__repr__"),
        lambda: WithArgs("args"),
        lambda: Named2("args"),
        lambda: type("Notes", (ValueError,), {"__notes__": property(lambda self: 1 / 0)})("args"),
        lambda: type("Text", (ValueError,), {"__str__": lambda self: type("S", (str,), {})("s")})("args"),
        lambda: ValueError(object()),
        lambda: ValueError([1], {2: 3}),
        lambda: ValueError("x" * 1_000_000),
    ],
)
def test_every_exception_can_be_described(make: Callable[[], BaseException]) -> None:
    fault = raised(make())
    assert fault.base == "ValueError"
    assert isinstance(here(fault), ValueError)


def test_a_chain_that_leads_back_to_itself_can_be_described() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    assert "second" in raised(first).traceback


def test_arguments_that_are_no_plain_values_stay_over_there() -> None:
    assert raised(ValueError("text", [1])).args is None
    assert raised(ValueError("text", 1, 1.5, None, True, b"b")).args == ("text", 1, 1.5, None, True, b"b")


# ---- what a hostile peer sends


@pytest.mark.parametrize(
    "fields",
    [
        None,
        (),
        [],
        ["T", "ValueError", "text", None],
        ["T", "ValueError", "text", None, "tb", 1],
        [1, "ValueError", "text", None, "tb"],
        ["T", None, "text", None, "tb"],
        ["T", "ValueError", b"text", None, "tb"],
        ["T", "ValueError", "text", [1], "tb"],
        ["T", "ValueError", "text", None, None],
        ["T", "ValueError", "text", ([1],), "tb"],
        ["T", "ValueError", "text", (1, ("a",)), "tb"],
        ["T", "ValueError", "text", (NotImplemented,), "tb"],
    ],
    ids=repr,
)
def test_what_is_no_fault_is_refused(fields: object) -> None:
    with pytest.raises(WireError):
        read_fault(fields)


@pytest.mark.parametrize("base", sorted(BUILTIN_ERRORS))
def test_arguments_of_any_kind_do_no_harm(base: str) -> None:
    hostile: list[tuple[Any, ...]] = [
        (),
        (None,) * 5,
        (2**80,) * 3,
        ("e", b"", 2**80, -(2**80), "r"),
        (["list"], {}),
        (b"",) * 6,
    ]
    for args in hostile:
        error = here(Fault("T", base, "text", args, ""))
        assert str(error) == "text"
        repr(error)


def test_the_nearest_built_in_base_is_found() -> None:
    assert builtin_base(Deep) == "ValueError"
    assert builtin_base(Named) == "FileNotFoundError"
    assert builtin_base(SystemExit) == "Exception"
    impostor = type("OSError", (KeyError,), {})
    assert builtin_base(impostor) == "KeyError"
