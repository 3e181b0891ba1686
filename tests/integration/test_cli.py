"""``isohub list``, ``help`` and ``run``, as processes on real repositories, environments and workers."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.command import Command, Finished, wait_until
from tests.servers import GitRepository

HUBCONF = '''
dependencies = ["numpy"]

import collections
import os
import time

import numpy


class Model:
    """Scales."""

    def __init__(self, factor):
        self.factor = factor
        self.calls = 0

    def __call__(self, x):
        return x * self.factor

    def __repr__(self):
        return "Model(%s)" % self.factor

    def train(self, mode=True):
        self.calls += 1

    def eval(self):
        return self

    def shifted(self, x, by=0):
        return x * self.factor + by

    def fail(self):
        print("about to fail")
        raise ValueError("nothing fits")


def model(factor=2, *more, **options):
    """Make a model.

    Args:
        factor: what it scales by.
    """
    return Model(factor)


def pair():
    return Model(3), {"name": "pair", "sizes": [1, 2]}


def echo(*args, **kwargs):
    return [args, kwargs]


def kind(x):
    return "%s %s %s" % (type(x).__module__, getattr(x, "dtype", None), getattr(x, "shape", None))


def picture():
    return numpy.linspace(0, 1, 3 * 4 * 5, dtype="float32").reshape(1, 3, 4, 5)


def values():
    Point = collections.namedtuple("Point", "x y")
    return {
        "none": None,
        "nan": float("nan"),
        "tuple": (1, "a"),
        "point": Point(1, 2.5),
        "array": numpy.arange(6, dtype="int16").reshape(2, 3),
        "scalar": numpy.float32(0.5),
        "large": numpy.full((10, 10), 2.0),
        "bytes": b"abc",
        "keys": {1: "one"},
        "tricky": {"type": "array"},
        "remote": Model(7),
    }


def sleep(path):
    with open(path, "w") as file:
        file.write("%d\\n" % os.getpid())
    time.sleep(600)


def title():
    return "\\x1b]0;stolen\\x07plain"


def _private():
    return 1


title.__doc__ = "Set the \\x1b]0;title\\x07."
'''


@pytest.fixture(scope="module")
def isohub(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command, in a folder with a repository, of which the environment is built by whichever test comes first."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "repo").mkdir()
    (folder / "repo" / "hubconf.py").write_text(HUBCONF)
    return Command(folder / "home", folder)


def result_of(done: Finished) -> Any:
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)["result"]


# ---- list and help


def test_list_prints_names_and_nothing_else(isohub: Command) -> None:
    done = isohub("list", "./repo")
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == "Model model pair echo kind picture values sleep title".split()


def test_list_as_json(isohub: Command) -> None:
    done = isohub("list", "--json", "repo", "--source", "local")
    answer = json.loads(done.out)
    assert sorted(answer) == ["commit", "entry_points", "environment", "repo"]
    assert answer["repo"] == str(isohub.folder / "repo")
    assert len(answer["commit"]) == 64
    entry = answer["entry_points"][1]
    assert entry.pop("doc").startswith("Make a model.\n")
    assert entry == {"name": "model", "signature": "(factor=2, *more, **options)"}


def test_list_of_a_repository_that_offers_nothing(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text("dependencies = []\n")
    done = isohub("list", tmp_path)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"{tmp_path} has no entry points\n"
    assert isohub("list", tmp_path, "-q") == Finished(0, "")


def test_help_prints_signature_and_docstring(isohub: Command) -> None:
    done = isohub("help", "./repo", "model")
    assert done == Finished(
        0,
        "model(factor=2, *more, **options)\n\nMake a model.\n\nArgs:\n    factor: what it scales by.\n",
    )


def test_help_of_what_has_no_docstring(isohub: Command) -> None:
    assert isohub("help", "./repo", "pair") == Finished(0, "pair()\n", "pair has no documentation\n")
    answer = json.loads(isohub("help", "./repo", "pair", "--json").out)
    assert sorted(answer) == ["commit", "doc", "environment", "name", "repo", "signature"]
    assert (answer["name"], answer["signature"], answer["doc"]) == ("pair", "()", None)


# ---- run: arguments, calls, results


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["model"], "Model(2)"),
        (["model", "--kw", "factor=5"], "Model(5)"),
        (["model", "--arg", "6"], "Model(6)"),
        (["model", "--call", "__call__", "--arg", "21"], "42"),
        (["model", "--call", "shifted", "--arg", "1", "--call-kw", "by=0.5"], "2.5"),
        (["model", "--call", "train", "--call", "eval", "--call", "shifted", "--arg=-1"], "-2"),
        (["model", "--call", "train"], "None"),
        (["pair", "--call", "0.shifted", "--arg", "2"], "6"),
        (["pair", "--call", "1.get", "--arg", '"name"'], "pair"),
        (["echo", "--arg", "1", "--kw", 'a="é"', "--arg", "[2.5, null]"], "[(1, [2.5, None]), {'a': 'é'}]"),
        (["_private"], "1"),
    ],
)
def test_run(isohub: Command, arguments: list[str], printed: str) -> None:
    assert isohub("run", "./repo", *arguments) == Finished(0, f"{printed}\n")


def test_run_shows_what_is_in_a_result(isohub: Command) -> None:
    assert isohub("run", "./repo", "values").out.splitlines() == [
        "dict of 11",
        "  'none': None",
        "  'nan': nan",
        "  'tuple': (1, 'a')",
        "  'point': Point",
        "    x: 1",
        "    y: 2.5",
        "  'array': int16 array of shape (2, 3), min 0, mean 2.5, max 5, [[0, 1, 2], [3, 4, 5]]",
        "  'scalar': 0.5 (float32)",
        "  'large': float64 array of shape (10, 10), min 2, mean 2, max 2",
        "  'bytes': b'abc'",
        "  'keys': {1: 'one'}",
        "  'tricky': {'type': 'array'}",
        "  'remote': Model(7)",
    ]


def test_run_as_json(isohub: Command) -> None:
    done = isohub("run", "./repo", "values", "--json")
    answer = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert sorted(answer) == ["commit", "entry", "environment", "repo", "result", "saved", "seconds"]
    assert (answer["entry"], answer["saved"]) == ("values", None)
    result = answer["result"]
    assert result.pop("point")["class"].endswith("Point")
    large = {"type": "array", "shape": [10, 10], "dtype": "float64", "min": 2.0, "mean": 2.0, "max": 2.0}
    assert result == {
        "none": None,
        "nan": "NaN",
        "tuple": [1, "a"],
        "array": {
            "type": "array",
            "shape": [2, 3],
            "dtype": "int16",
            "min": 0,
            "mean": 2.5,
            "max": 5,
            "values": [[0, 1, 2], [3, 4, 5]],
        },
        "scalar": 0.5,
        "large": {**large, "values": None},
        "bytes": {"type": "bytes", "length": 3},
        "keys": {"type": "dict", "items": [[1, "one"]]},
        "tricky": {"type": "dict", "items": [["type", "array"]]},
        "remote": {"type": "remote", "class": "Model", "repr": "Model(7)"},
    }


@pytest.mark.parametrize(
    ("text", "arrives_as"),
    [
        ("@x.npy", "numpy uint8 (2, 3)"),
        ("@grey.png", "numpy uint8 (2, 3)"),
        ("@colour.JPG", "numpy uint8 (2, 3, 3)"),
        ("tensor:@x.npy", "numpy uint8 (2, 3)"),
        ("tensor:@colour.JPG", "numpy uint8 (2, 3, 3)"),
        ("tensor:[1.5, 2]", "numpy float32 (2,)"),
        ("tensor:[1, 2]", "numpy int64 (2,)"),
        ("@text.txt", "builtins None None"),
    ],
)
def test_arguments_from_files(isohub: Command, text: str, arrives_as: str) -> None:
    # The environment has NumPy alone: images and tensors arrive as arrays.
    np.save(isohub.folder / "x.npy", np.zeros((2, 3), "uint8"))
    Image.new("L", (3, 2)).save(isohub.folder / "grey.png")
    Image.new("RGB", (3, 2)).save(isohub.folder / "colour.JPG")
    (isohub.folder / "text.txt").write_text("zwölf", encoding="utf-8")
    assert isohub("run", "./repo", "kind", "--arg", text) == Finished(0, f"{arrives_as}\n")


def test_the_workers_variables(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(
        "import os\n\ndef look(*names):\n    return [*map(os.environ.get, names)]\n"
    )
    names = ["--arg", '"A"', "--arg", '"B"', "--arg", '"C"']
    options = ["--env", "A=x=y", "--pass-env", "B", "--pass-env", "D"]
    done = isohub("run", tmp_path, "look", *names, *options, B="passed", C="kept back")
    assert done == Finished(0, "['x=y', 'passed', None]\n", "note: --pass-env D: there is no such variable\n")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_the_workers_limits(isohub: Command, tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(
        "import os, resource\n\n"
        "def look():\n"
        "    nice = os.getpriority(os.PRIO_PROCESS, 0)\n"
        "    return resource.getrlimit(resource.RLIMIT_DATA)[0], os.environ['OMP_NUM_THREADS'], nice\n"
    )
    done = isohub("run", tmp_path, "look", "--max-memory", "1GB", "--cpu-threads", "3", "--nice", "2")
    nice = min(os.getpriority(os.PRIO_PROCESS, 0) + 2, 19)
    assert done == Finished(0, f"(1000000000, '3', {nice})\n")
    assert isohub("run", tmp_path, "look", "--max-memory", "much").code == 2
    assert isohub("run", tmp_path, "look", "--nice", "20").code == 2


# ---- run: --save


def test_save_an_array(isohub: Command, tmp_path: Path) -> None:
    target = tmp_path / "out.npy"
    done = isohub("run", "./repo", "picture", "--save", target, "--json")
    assert (done.code, done.err) == (0, f"saved {target}\n")
    assert json.loads(done.out)["saved"] == str(target)
    saved = np.load(target)
    assert (saved.dtype, saved.shape, saved.max()) == (np.float32, (1, 3, 4, 5), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


def test_save_a_picture(isohub: Command, tmp_path: Path) -> None:
    done = isohub("run", "./repo", "picture", "--save", tmp_path / "out.png", "-q")
    assert (done.code, done.err) == (0, "")
    with Image.open(tmp_path / "out.png") as image:
        assert (image.mode, image.size, image.getpixel((4, 3))) == ("RGB", (5, 4), (82, 169, 255))


def test_a_result_that_cannot_be_saved_is_shown(isohub: Command, tmp_path: Path) -> None:
    done = isohub("run", "./repo", "model", "--save", tmp_path / "out.npy")
    assert (done.code, done.out) == (1, "Model(2)\n")
    assert done.err == "error: a Model is no array, and one array is what the file holds\n"
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_saved_is_said_before_the_run(isohub: Command, tmp_path: Path) -> None:
    run = ["run", "./repo", "sleep", "--arg", f'"{tmp_path}/ran"', "--save"]
    assert "use .npy, .pt or .png" in isohub(*run, "out.txt").err
    assert "in an existing folder" in isohub(*run, "missing/out.npy").err
    assert isohub(*run, tmp_path).code == 2
    assert not (tmp_path / "ran").exists()


def test_pt_needs_torch_here(isohub: Command, tmp_path: Path) -> None:
    done = isohub("run", "./repo", "picture", "--save", tmp_path / "out.pt")
    if importlib.util.find_spec("torch"):
        assert done.code == 0
    else:
        assert (done.code, done.out) == (2, "")
        assert ".pt needs torch in this Python" in done.err


# ---- failures


def git_repository(isohub: Command) -> list[str]:
    repository = GitRepository(isohub.folder / "remote.git")
    repository.commit({"hubconf.py": "dependencies = []\n\ndef one():\n    return 1\n"})
    return ["--source", "git", repository.url]


def broken_hubconf(isohub: Command) -> list[str]:
    folder = isohub.folder / "broken"
    folder.mkdir()
    (folder / "hubconf.py").write_text("import not_to_be_found_anywhere\n")
    return [str(folder)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "COMMAND"),
        (["lst"], 2, "invalid choice"),
        (["list"], 2, "REPO"),
        (["list", "./repo", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (["list", "./repo", "--qui"], 2, "unrecognized arguments: --qui"),
        (["list", "./repo", "--python", "three"], 2, "neither a version, a range nor a path"),
        (["list", "./repo", "--with", "a b"], 2, "is not a requirement"),
        (["run", "./repo", "model", "--timeout", "0"], 2, "not a number of seconds"),
        (["run", "./repo", "model", "--env", "A"], 2, "'A' is not NAME=VALUE"),
        (["run", "./repo", "model", "--kw", "factor"], 2, "--kw 'factor' is not NAME=VALUE"),
        (["run", "./repo", "model", "--kw", "factor=True"], 2, "JSON writes true"),
        (["run", "./repo", "model", "--arg", "hello"], 2, """a text is written with JSON's quotes"""),
        (["run", "./repo", "model", "--arg", "@missing.npy"], 2, "No such file"),
        (["run", "./repo", "model", "--arg", "@repo/hubconf.py"], 2, "cannot read repo/hubconf.py"),
        (["run", "./repo", "model", "--kw", "verbose=true"], 2, "as in torch.hub"),
        (["run", "./repo", "model", "--call-kw", "by=1"], 2, "comes before any --call"),
        (["run", "./repo", "pair", "--call", "shifted"], 2, "'tuple' object has no attribute 'shifted'"),
        (["run", "./repo", "pair", "--call", "2.shifted"], 2, "tuple index out of range"),
        (["run", "./repo", "model", "--call", "factor"], 2, "'int' object is not callable"),
        (["run", "./repo", "model", "--call", "0.factor"], 2, "'Model' object is not subscriptable"),
        (["run", "./repo", "pair", "--call", "0"], 1, "missing 1 required positional argument"),
        (["run", "./repo", "modl"], 1, "did you mean model or Model?"),
        (["help", "./repo", "modl"], 1, "did you mean model or Model?"),
        (
            ["run", "./repo", "model", "--call", "shfted"],
            1,
            "AttributeError: 'Model' object has no attribute",
        ),
        (
            ["run", "./repo", "sleep", "--arg", '"/dev/null"', "--timeout", "0.2"],
            1,
            "did not answer within 0.2 s",
        ),
        (["list", "./nothing"], 1, "there is no folder"),
        (["list", "nothing"], 1, "owner/name[:ref]"),
        (["list", "--offline", "someone/something"], 4, "not in the cache"),
        (["list", "./repo", "--python", "3.99"], 5, "no Python 3.99"),
    ],
)
def test_failures(isohub: Command, arguments: list[str], code: int, said: str) -> None:
    done = isohub(*arguments)
    assert said in done.err
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.err


def test_an_untrusted_repository(isohub: Command) -> None:
    where = git_repository(isohub)
    refused = isohub("list", *where)
    assert (refused.code, refused.out) == (3, "")
    assert "there is no terminal to ask at" in refused.err
    assert "--trust" in refused.err
    assert isohub("list", *where, "--trust") == Finished(0, "one\n")
    assert isohub("run", where[-1], "one") == Finished(0, "1\n")


def test_a_failed_build(isohub: Command) -> None:
    where = broken_hubconf(isohub)
    done = isohub("list", *where)
    assert (done.code, done.out) == (5, "")
    assert "No module named 'not_to_be_found_anywhere'" in done.err
    log = next(line for line in done.err.splitlines() if line.startswith("  log: "))
    assert Path(log.removeprefix("  log: ")).is_file()


def test_a_remote_exception_is_told_by_type_message_and_log(isohub: Command) -> None:
    done = isohub("run", "./repo", "model", "--call", "fail")
    assert (done.code, done.out) == (1, "")
    error, log = done.err.splitlines()
    assert error == "error: ValueError: nothing fits"
    assert "about to fail" in Path(log.removeprefix("  log: ")).read_text()


def test_verbose_shows_the_remote_traceback(isohub: Command) -> None:
    done = isohub("run", "./repo", "model", "--call", "fail", "-v")
    assert 'raise ValueError("nothing fits")' in done.err
    assert "  | about to fail\n" in done.err
    assert "isohub/cli" not in done.err


def test_verbose_shows_the_traceback_of_our_own_errors(isohub: Command) -> None:
    done = isohub("list", "./nothing", "-v")
    assert done.code == 1
    assert done.err.startswith("Traceback")
    assert "RefError: there is no folder" in done.err


# ---- signals and pipes


def test_an_interrupt_ends_the_worker(isohub: Command, tmp_path: Path) -> None:
    process = isohub.start("run", "./repo", "sleep", "--arg", json.dumps(str(tmp_path / "pid")))
    worker = int(wait_until(tmp_path / "pid", process))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.parametrize("arguments", [["--help"], ["list", "./repo"], ["env", "list", "--json"]])
def test_a_reader_that_goes_away(isohub: Command, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        process = isohub.start(*arguments, stdout=pipe)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


def test_a_full_disk(isohub: Command) -> None:
    with Path("/dev/full").open("w") as full:
        process = isohub.start("list", "./repo", stdout=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "No space left on device" in err


def test_closed_streams(isohub: Command) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m isohub.cli.main list ./nothing 2>&-', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=isohub.folder,
        env=isohub.environ({}),
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


# ---- terminals


def test_a_terminal_gets_a_table(isohub: Command) -> None:
    done = isohub.on_terminal("list", "./repo", NO_COLOR="1")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert done.code == 0
    assert any(line.split() == "entry point signature what it is".split() for line in lines)
    assert any(line.endswith("Make a model.") for line in lines)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours(isohub: Command, environ: dict[str, str]) -> None:
    assert "\x1b" not in isohub.on_terminal("list", "./repo", **environ).out


@pytest.mark.parametrize(
    "read",
    [
        lambda isohub: isohub.on_terminal("list", "./repo", NO_COLOR="1"),
        lambda isohub: isohub.on_terminal("help", "./repo", "title"),
        lambda isohub: isohub.on_terminal("run", "./repo", "title", "-q"),
    ],
)
def test_strangers_do_not_steer_the_terminal(isohub: Command, read: Callable[[Command], Finished]) -> None:
    done = read(isohub)
    assert done.code == 0
    assert "\\x1b]0;" in done.out
    assert "\x1b" not in done.out


def test_a_file_gets_the_text_as_it_is(isohub: Command) -> None:
    assert isohub("run", "./repo", "title").out == "\x1b]0;stolen\x07plain\n"


def test_trust_is_asked_for_at_a_terminal(isohub: Command, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "asked.git")
    repository.commit({"hubconf.py": "def one():\n    return 1\n"})
    refused = isohub.on_terminal("list", repository.url, answer="n")
    assert refused.code == 3
    agreed = isohub.on_terminal("list", repository.url, answer="y")
    assert agreed.code == 0
    assert "one" in agreed.out
    assert isohub("list", repository.url) == Finished(0, "one\n")


# ---- cost


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, isohub.cli.main as main; main.main(['--version']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"numpy", "torch", "PIL", "rich", "httpx", "zmq", "msgpack", "virtualenv", "isohub.hub"}
    assert not heavy & {*done.stdout.split()}
