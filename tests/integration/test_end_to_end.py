"""The main job, through the public names alone: a repository on a GitHub of our own, its branches side by side.

The tests share one home, so that each environment is built once. What they share otherwise is in ``tests/repositories``.
"""

from __future__ import annotations

import datetime
import decimal
import gc
import itertools
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import isohub
from tests.repositories import DEV_NEXT, MAIN, served
from tests.servers import GitHubServer


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubServer]:
    with served(tmp_path_factory.mktemp("end-to-end")) as server:
        yield server


@pytest.fixture(scope="module")
def hub(github: GitHubServer) -> Iterator[isohub.Hub]:
    with isohub.Hub() as hub:
        hub.environment(MAIN, trust_repo=True)  # from now on it is trusted
        yield hub


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# ---- two branches at once


def test_two_branches_live_side_by_side(hub: isohub.Hub) -> None:
    first, second = hub.load(MAIN, "net", 2.0), hub.load(DEV_NEXT, "net", 2.0)
    array = np.arange(3.0)
    assert first(array).tolist() == [0.0, 2.0, 4.0]
    assert second(array).tolist() == [2.0, 3.0, 4.0]
    one, other = hub.load(MAIN, "place"), hub.load(DEV_NEXT, "place")
    assert one["numpy"] != other["numpy"]
    assert one["models"] != other["models"]
    assert len({one["pid"], other["pid"], os.getpid()}) == 3
    assert hub.load(MAIN, "place")["pid"] == one["pid"], "entry points of one commit share a worker"


def test_list_and_help_are_torch_hubs(hub: isohub.Hub) -> None:
    assert hub.list(DEV_NEXT) == ["net", "place"]
    assert hub.help(DEV_NEXT, "net") == "A net of the next branch."
    help = hub.help(MAIN, "net")
    assert help is not None
    assert help.splitlines()[0] == "A net of this branch."
    assert hub.help(MAIN, "double") == "Twice the value, or what is twice that of a net."


# ---- values

VALUES = [
    *(None, True, False, 0, -1, 2**63 - 1, 2**64 - 1, -(2**63), 2**64, -(2**200), 10**400),
    *(0.0, -0.0, 1.5, float("inf"), 5e-324, 1 + 2j),
    *("", "text", "\0\n\r", "café 日本 🐍", "\udcff", "x" * 100_000),
    *(b"", b"\x00\xff"),
    *([], [1, [2, [3]]], (), (1,), (1, (2, [3])), set(), {1, "a", (2,)}, frozenset({1, frozenset({2})})),
    *({}, {"a": 1, 2: "b", (3, 4): [5], None: None, frozenset({6}): b"7"}, OrderedDict([("b", 1), ("a", 2)])),
    *(slice(1, None, 2), range(0, 10, 3), ..., NotImplemented),
    *(datetime.datetime(2024, 2, 29, 12, 30, 15, 123456), datetime.date(1, 1, 1), datetime.time(23, 59)),
    datetime.datetime(2024, 7, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))),
    *(datetime.timedelta(-1, 2, 3), decimal.Decimal("1.10"), uuid.UUID(int=2**127)),
    *(Path("/tmp/a b"), pathlib.PurePosixPath("a/../b"), pathlib.PureWindowsPath("C:\\x")),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_the_same_there_and_back(hub: isohub.Hub, value: Any) -> None:
    back = hub.load(MAIN, "same", value)
    assert type(back) is type(value)
    assert back == value
    name, text = hub.load(MAIN, "looks", value)
    assert name == type(value).__name__
    if not isinstance(value, (set, frozenset)):  # whose order is each process's own
        assert repr(back) == text == repr(value)


def test_not_a_number_is_one_there_and_back(hub: isohub.Hub) -> None:
    back = hub.load(MAIN, "same", float("nan"))
    assert back != back


ARRAYS = [
    np.arange(12, dtype=np.int8).reshape(3, 4),
    np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2],
    np.asfortranarray(np.eye(3, dtype=np.float16)),
    np.array(1.5),
    np.empty((0, 3), np.uint16),
    np.array([True, False]),
    np.array([1 + 2j], np.complex64),
    np.array([1, 2], ">i4"),
    np.array(["2024-02-29", "NaT"], "datetime64[D]"),
    np.array(["a", "longer"]),
    np.random.default_rng(0).random((512, 512)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_an_array_is_the_same_there_and_back(hub: isohub.Hub, array: np.ndarray[Any, Any]) -> None:
    back = hub.load(MAIN, "same", array)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("scalar", [np.float32(1.5), np.int64(-1), np.bool_(True), np.complex128(1j)])
def test_a_numpy_scalar_stays_one(hub: isohub.Hub, scalar: np.generic) -> None:
    back = hub.load(MAIN, "same", scalar)
    assert type(back) is type(scalar)
    assert back == scalar


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "F"])
def test_an_image_is_the_same_there_and_back(hub: isohub.Hub, mode: str) -> None:
    image = Image.new(mode, (5, 3), 1)
    back = hub.load(MAIN, "same", image)
    assert isinstance(back, Image.Image)
    assert (back.mode, back.size, back.tobytes()) == (mode, (5, 3), image.tobytes())


def test_named_outputs_arrive_as_records(hub: isohub.Hub) -> None:
    box, score, colour = hub.load(MAIN, "outputs")
    assert isinstance(box, isohub.Record)
    assert isinstance(score, isohub.Record)
    assert (box.left, box["top"], box[0], tuple(box)) == (1, 2.5, 1, (1, 2.5))
    assert dict(score) == {"label": "cat", "value": 0.5}
    assert colour == "red"


def test_words_of_ours_are_the_entry_points_own(hub: isohub.Hub) -> None:
    words: dict[str, Any] = {
        "device": "cpu",
        "env": {"A": "1"},
        "python": "3.8",
        "timeout": None,
        "requirements": ["x"],
    }
    assert hub.load(MAIN, "called_with", 1, "two", **words) == ((1, "two"), words)


# ---- objects


def test_an_object_is_itself(hub: isohub.Hub) -> None:
    net = hub.load(MAIN, "net")
    assert isinstance(net, isohub.RemoteObject)
    assert net.eval() is net
    assert (net.training, len(net), callable(net)) == (False, 1, True)
    net.scale = 3.0
    assert net(2) == 6.0
    del net.training
    with pytest.raises(AttributeError, match="training"):
        net.training  # noqa: B018


def test_a_tuple_of_objects_unpacks(hub: isohub.Hub) -> None:
    net, double, cls, trap = hub.load(MAIN, "net_and_friends")
    assert all(isinstance(item, isohub.RemoteObject) for item in (net, double, cls, trap))
    assert double(21) == 42
    assert double(net).scale == 2.0, "an object is an argument like any other"
    assert cls(5.0).scale == 5.0
    assert double.__doc__ == "Twice the value, or what is twice that of a net."


def test_a_generator_streams_and_does_not_run_away(hub: isohub.Hub) -> None:
    before = hub.load(MAIN, "produced")
    numbers = hub.load(MAIN, "count", 10**9)
    assert [next(numbers), *itertools.islice(numbers, 4)] == [0, 1, 2, 3, 4]
    assert hub.load(MAIN, "produced") - before < 100
    del numbers
    gc.collect()


def test_a_stream_ends_as_its_generator_does(hub: isohub.Hub) -> None:
    numbers = hub.load(MAIN, "count", 300)
    assert list(itertools.islice(numbers, 300)) == list(range(300))
    with pytest.raises(LookupError, match="there are no more than 300"):
        next(numbers)


def test_an_object_that_fights_back_runs_nothing_here(hub: isohub.Hub, tmp_path: Path) -> None:
    trap = hub.load(MAIN, "trap", str(tmp_path / "touched"))
    assert isinstance(trap, isohub.RemoteObject)
    assert hub.load(MAIN, "same", [trap])[0] is trap
    assert trap.touched() is False


# ---- errors of the code over there


def test_a_value_error_is_a_value_error(hub: isohub.Hub) -> None:
    with pytest.raises(ValueError, match=r"^not that$") as caught:
        hub.load(MAIN, "refuse", "value", "not that")
    assert isinstance(caught.value, isohub.RemoteError)
    assert caught.value.type_name == "ValueError"
    assert caught.value.args == ("not that",)
    assert "hubconf.py" in caught.value.traceback_text
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_an_error_of_the_repositorys_own_has_its_builtin_base(hub: isohub.Hub) -> None:
    with pytest.raises(KeyError) as caught:
        hub.load(MAIN, "refuse", "own", "key")
    assert isinstance(caught.value, isohub.RemoteError)
    assert caught.value.type_name == "hubconf.Refused"


def test_leaving_over_there_ends_nothing_here(hub: isohub.Hub) -> None:
    with pytest.raises(isohub.RemoteError) as caught:
        hub.load(MAIN, "refuse", "exit", 3)
    assert caught.value.type_name == "SystemExit"
    assert hub.load(MAIN, "same", 1) == 1


# ---- what keeps the two apart


def test_what_is_printed_disturbs_nothing(hub: isohub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    assert hub.load(MAIN, "talk", 20_000) == 20_000
    assert hub.load(MAIN, "same", "still here") == "still here"
    with pytest.raises(ValueError, match="why") as caught:
        hub.load(MAIN, "refuse", "value", "why")
    assert isinstance(caught.value, isohub.RemoteError)
    assert caught.value.log is not None
    log = caught.value.log.read_text()
    assert [f"line {number}" for number in range(20_000)] == [
        line for line in log.splitlines() if line.startswith("line ")
    ]
    assert "to stderr" in log
    assert log.endswith("past Python, and without an end")
    assert "line" not in "".join(capfd.readouterr())


def test_nothing_of_the_hosts_is_on_the_workers_path(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("MODEL_TOKEN", "passed on")
    with isohub.Hub(env={"GREETING": "hello"}, pass_env=["MODEL_TOKEN"]) as hub:
        place = hub.load(MAIN, "place", trust_repo=True)
    own = Path(isohub.__file__).parents[1]
    stdlib = {item for item in sys.path if item.startswith(sys.base_prefix) and "-packages" not in item}
    for item in map(Path, place["path"]):
        inside = item.is_relative_to(os.environ["ISOHUB_HOME"]) or str(item) in stdlib
        assert inside, f"{item} is on the worker's path"
        assert not item.is_relative_to(own)
    assert "isohub" not in place["modules"]
    assert place["argv"][1:] == []
    assert place["cwd"] == str(Path.cwd())
    assert not {"PYTHONPATH", "AWS_SECRET_ACCESS_KEY", "ISOHUB_HOME"} & set(place["environ"])
    assert place["environ"]["GREETING"] == "hello"
    assert place["environ"]["MODEL_TOKEN"] == "passed on"
    assert place["environ"]["TORCH_HOME"] == os.environ["TORCH_HOME"]


# ---- the ends of things


def test_closing_a_hub_ends_its_workers(github: GitHubServer) -> None:
    with isohub.Hub() as hub:
        pids = [hub.load(ref, "place", trust_repo=True)["pid"] for ref in (MAIN, DEV_NEXT)]
        net = hub.load(MAIN, "net")
    assert all(is_gone(pid) for pid in pids)
    with pytest.raises(isohub.StaleObject, match=r"somebody/bestiary"):
        net(1)
    with pytest.raises(isohub.HubClosed):
        hub.load(MAIN, "net")
    assert "stale" in repr(net)


def test_a_call_that_takes_too_long_ends(github: GitHubServer) -> None:
    with isohub.Hub(timeout=3) as hub:
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"did not answer within 3 s") as caught:
            hub.load(MAIN, "sleep", 600, trust_repo=True)
    assert isinstance(caught.value, isohub.CallTimeout)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(("how", "status"), [("exit", 3), ("kill", -9)])
def test_a_workers_death_is_told_and_the_next_load_starts_another(
    github: GitHubServer, how: str, status: int
) -> None:
    with isohub.Hub() as hub:
        net = hub.load(MAIN, "net", trust_repo=True)
        with pytest.raises(isohub.WorkerDied, match="somebody/bestiary") as caught:
            hub.load(MAIN, "die", how)
        assert caught.value.returncode == status
        assert caught.value.tail is not None
        assert "last words" in caught.value.tail
        with pytest.raises(isohub.StaleObject):
            net(1)
        assert hub.load(MAIN, "net", 2.0)(1) == 2.0


def test_what_cannot_cross_is_refused_before_it_leaves(hub: isohub.Hub) -> None:
    with pytest.raises(isohub.UnsupportedValue, match=r"function.*argument 1"):
        hub.load(MAIN, "net")(is_gone)
    with pytest.raises(isohub.ForeignObject, match="net"):
        hub.load(DEV_NEXT, "net")(hub.load(MAIN, "net"))


# ---- without a network


def test_what_is_cached_asks_nobody(hub: isohub.Hub, github: GitHubServer) -> None:
    hub.load(DEV_NEXT, "net")
    with github.nobody_asks(), isohub.Hub(offline=True) as offline:
        assert offline.load(DEV_NEXT, "net", 1.0)(1) == 2.0
        assert "net" in offline.list(MAIN)
        with pytest.raises(isohub.OfflineError, match="offline"):
            offline.list("somebody/unknown")


ONE_OF_TWO = """
import sys, isohub
with isohub.Hub() as hub:
    place = hub.load("somebody/bestiary", "place", trust_repo=True, verbose=False)
    print(hub.environment("somebody/bestiary").path, place["pid"])
"""


def test_two_processes_at_once_build_one_environment(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ISOHUB_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-c", ONE_OF_TWO]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=300)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] != answers[1][1]
    assert [path.name for path in (tmp_path / "home" / "envs-v1").iterdir() if path.is_dir()] == [
        Path(answers[0][0]).name
    ]


def test_the_server_may_go(hub: isohub.Hub, github: GitHubServer) -> None:
    # The last test: from here on nobody answers.
    hub.load(DEV_NEXT, "net")
    github.close()
    with isohub.Hub() as again:
        assert again.load(MAIN, "net", 4.0)(2) == 8.0
        assert again.load(DEV_NEXT, "net", 4.0)(2) == 6.0
        with pytest.raises(isohub.FetchError):
            again.load(MAIN, "net", force_reload=True)
