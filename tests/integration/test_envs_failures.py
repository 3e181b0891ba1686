"""Environments that cannot be built: whose fault it was, what to try, and nothing is left but a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.buildlog import BuildLog
from isohub.envs.describe import describe
from isohub.envs.folderlocks import Use, at_work
from isohub.envs.store import EnvironmentRequest, EnvironmentStore
from isohub.errors import (
    BuildError,
    ConfigError,
    HubconfError,
    IsohubError,
    OfflineError,
    PythonNotFound,
    ResolveError,
)
from isohub.progress import Progress, Step
from isohub.sources.tree import Tree
from tests.environments import PackageIndex, make_tree, make_wheel, provide

GOOD = "dependencies = []\ndef f(): pass\n"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """A further index, in addition to those of this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PackageIndex() as server:
        yield server


def nothing_is_built(settings: Settings) -> bool:
    folder = settings.home / "envs-v1"
    return not folder.exists() or all(
        path.is_file() and path.suffix in {".lock", ".users"} for path in folder.iterdir()
    )


def failure(settings: Settings, tree: Tree, request: EnvironmentRequest | None = None) -> IsohubError:
    with pytest.raises(IsohubError) as caught:
        provide(settings, tree, request)
    assert nothing_is_built(settings)
    if caught.value.log is not None:
        assert caught.value.log.is_file()
    return caught.value


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README": ""}, "github.com/test/repo has no hubconf.py"),
        ({"hubconf.py": "x = 1\ndef f(:\n"}, "hubconf.py of github.com/test/repo, line 2"),
        (
            {"hubconf.py": "dependencies = ['num py']\n"},
            "hubconf.py:1: 'num py' is neither a module nor a requirement",
        ),
        (
            {"hubconf.py": GOOD, "requirements.txt": "six\nnum py\n"},
            "requirements.txt, line 2: not a requirement",
        ),
    ],
)
def test_files_that_cannot_be_read(
    settings: Settings, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    error = failure(settings, make_tree(tmp_path / "repo", files))
    assert isinstance(error, HubconfError)
    assert message in str(error)
    assert not (settings.home / "logs").exists()


def test_a_requirement_of_the_user_s_that_is_none(settings: Settings, tmp_path: Path) -> None:
    error = failure(
        settings,
        make_tree(tmp_path / "repo", {"hubconf.py": GOOD}),
        EnvironmentRequest(requirements=("a b",)),
    )
    assert isinstance(error, ConfigError)


def test_no_such_python(settings: Settings, tmp_path: Path) -> None:
    error = failure(
        settings, make_tree(tmp_path / "repo", {"hubconf.py": GOOD}), EnvironmentRequest(python="3.99")
    )
    assert isinstance(error, PythonNotFound)


def test_a_conflict_names_both_sides(settings: Settings, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['numpy>=1.24']\n"})
    error = failure(settings, tree, EnvironmentRequest(constraints=("numpy<1.20",)))
    assert isinstance(error, ResolveError)
    text = str(error)
    assert "numpy>=1.24  (hubconf.py:1)" in text
    assert "numpy<1.20  (Hub(constraints=))" in text
    assert "unsatisfiable" in text
    assert "pyzmq" not in text
    assert error.log is not None
    assert "unsatisfiable" in error.log.read_text()


def test_a_distribution_that_does_not_exist(settings: Settings, tmp_path: Path) -> None:
    name = "isohub-test-there-is-no-such-thing"
    tree = make_tree(tmp_path / "repo", {"hubconf.py": f"dependencies = [\n  '{name}',\n]\n"})
    error = failure(settings, tree)
    assert isinstance(error, ResolveError)
    assert f"{name}  (hubconf.py:2)" in str(error)
    assert "was not found" in str(error)
    assert error.hint is not None
    assert "isohub.Hub(requirements=[...])" in error.hint


def test_an_index_that_does_not_answer(
    settings: Settings, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = index.offer("slow", make_wheel(tmp_path, "isohubprobe"))
    index.fail("isohubprobe", hang=True)
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    started = time.monotonic()
    error = failure(
        settings, make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['isohubprobe']\n"})
    )
    assert isinstance(error, ResolveError)
    assert error.hint is not None
    assert "check the network" in error.hint
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("locked", [False, True], ids=["resolve", "install"])
def test_offline_and_not_cached(
    settings: Settings, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    url = index.offer("far", make_wheel(tmp_path, "isohubprobe"))
    monkeypatch.setenv("UV_INDEX", url)
    monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['isohubprobe']\n"})
    if locked:
        EnvironmentStore(settings).explain(tree, EnvironmentRequest(), Progress(False))
    before = len(index.requests)
    error = failure(Settings(home=settings.home, offline=True), tree)
    assert isinstance(error, OfflineError)
    assert index.requests[before:] == []


def test_a_file_that_is_not_the_one_that_was_locked(
    settings: Settings, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = index.offer("changing", make_wheel(tmp_path, "isohubprobe", source="good = 1\n"))
    monkeypatch.setenv("UV_INDEX", url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['isohubprobe']\n"})
    EnvironmentStore(settings).explain(tree, EnvironmentRequest(), Progress(False))
    index.offer("changing", make_wheel(tmp_path, "isohubprobe", source="evil = 1\n"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache2"))
    # The cache is no part of what a lock depends on, so the lock that is kept is used.
    error = failure(settings, tree)
    assert isinstance(error, BuildError)
    assert (error.step, error.message) == ("install", "cannot install isohubprobe 1.0")
    assert "Hash mismatch" in (error.tail or "")
    assert "before trusting it" in (error.hint or "")


def test_a_module_that_nobody_named(settings: Settings, tmp_path: Path) -> None:
    error = failure(
        settings,
        make_tree(
            tmp_path / "repo",
            {"hubconf.py": "import sys\nfrom models import f\n", "models.py": "\nimport isohubprobe\n"},
        ),
    )
    assert isinstance(error, BuildError)
    assert error.step == "import hubconf"
    assert "ModuleNotFoundError: No module named 'isohubprobe'" in error.message
    assert 'models.py", line 2' in (error.tail or "")
    assert 'isohub.Hub(requirements=["isohubprobe"])' in (error.hint or "")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise ValueError('no')", "does not import: ValueError: no"),
        ("import sys; sys.exit('bye')", "does not import: SystemExit: bye"),
        ("import os; os._exit(3)", "without a usable answer: exit status 3"),
        ("import os; os._exit(0)", "without a usable answer: the process ended without an answer"),
        ("import os; print('last words', flush=True); os.abort()", "killed by SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    ],
)
def test_a_hubconf_that_fails(settings: Settings, tmp_path: Path, source: str, text: str) -> None:
    error = failure(settings, make_tree(tmp_path / "repo", {"hubconf.py": source + "\n"}))
    assert isinstance(error, BuildError)
    assert text in error.message
    assert error.step == "import hubconf"
    if "last words" in source:
        assert "last words" in (error.tail or "")
    # Mended, it builds.
    provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": GOOD}))


def fake_python(folder: Path, text: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nshift 3\nrepo=$1 answer=$2\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("nonsense", "without a usable answer"),
        ("[]", "none of the known forms"),
        ('{"entry_points": [1], "versions": {}}', "an entry point is no object"),
        ('{"entry_points": [{"name": 1}], "versions": {}}', "is no text"),
        ('{"entry_points": [], "versions": {"torch": 2}}', "is no text"),
        ('{"error": {"type": "X"}}', "none of the known forms"),
        ("[" * 100_000, "without a usable answer"),
    ],
)
def test_an_answer_that_is_nonsense(tmp_path: Path, answer: str, text: str) -> None:
    (tmp_path / "nonsense.json").write_text(answer)
    python = fake_python(tmp_path, f"cp {tmp_path}/nonsense.json $answer")
    with pytest.raises(BuildError) as caught:
        describe(python, tmp_path, tmp_path / "answer.json", BuildLog(tmp_path / "log"))
    assert text in caught.value.message
    assert not (tmp_path / "answer.json").exists()


def test_an_answer_without_end(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "head -c 17000000 /dev/zero > $answer")
    with pytest.raises(BuildError, match="more than 16 MiB"):
        describe(python, tmp_path, tmp_path / "answer.json", BuildLog(tmp_path / "log"))


def test_output_without_end(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "yes tedious | head -c 300000000; echo the last line; exit 3")
    log = BuildLog(tmp_path / "log")
    with pytest.raises(BuildError, match="exit status 3") as caught:
        describe(python, tmp_path, tmp_path / "answer.json", log)
    assert "tedious\nthe last line" in (caught.value.tail or "")
    assert log.path.stat().st_size <= 64 << 20
    assert log.path.read_text().count("bytes were here, and were too many") >= 1
    assert "$ " in log.path.read_text()[:100], "the command"


def test_a_hubconf_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    python = fake_python(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(BuildError, match="did not finish importing within 1 s"):
        describe(python, tmp_path, tmp_path / "answer.json", BuildLog(tmp_path / "log"), limit=0.6)
    ended((tmp_path / "child").read_text())


def test_children_that_a_hubconf_leaves_are_ended(settings: Settings, tmp_path: Path) -> None:
    source = f"""
import subprocess
child = subprocess.Popen(["sleep", "600"])
with open({str(tmp_path / "child")!r}, "w") as file:
    file.write(str(child.pid))
"""
    provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": source}))
    ended((tmp_path / "child").read_text())


def ended(pid: str) -> None:
    """Wait until the process is gone; a zombie is, too."""
    deadline = time.monotonic() + 10
    status = Path(f"/proc/{pid.strip()}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_credentials_stay_out_of_files_and_messages(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with PackageIndex(user="somebody:s3cr3t") as server:
        monkeypatch.setenv(
            "UV_INDEX", server.offer("private", make_wheel(tmp_path / "wheels", "isohubprobe"))
        )
        tree = make_tree(
            tmp_path / "repo", {"hubconf.py": "dependencies = ['isohubprobe']\nimport isohubprobe\n"}
        )
        environment = provide(settings, tree)
        assert environment.manifest.packages["isohubprobe"] == "1.0"
        server.fail("isohubprobe", 500)
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache2"))
        error = None
        try:
            provide(settings, tree, EnvironmentRequest(constraints=("isohubprobe>0",)))
        except ResolveError as caught:
            error = caught
    assert error is not None
    assert "s3cr3t" not in str(error)
    for path in settings.home.rglob("*"):
        if path.is_file():
            assert b"s3cr3t" not in path.read_bytes(), path


def test_a_disk_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    settings.home.mkdir()
    (settings.home / "envs-v1").write_text("in the way")
    with pytest.raises(BuildError) as caught:
        provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": GOOD}))
    assert str(settings.home) in caught.value.message
    assert "ISOHUB_HOME" in (caught.value.hint or "")


@pytest.mark.parametrize("damage", ["nothing in it", "half a manifest", "no interpreter", "no manifest"])
def test_what_is_no_environment_is_built(settings: Settings, tmp_path: Path, damage: str) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": GOOD})
    environment = provide(settings, tree)
    manifest = environment.path / "manifest.json"
    if damage == "nothing in it":
        EnvironmentStore(settings).remove(environment)
        environment.path.mkdir()
    elif damage == "half a manifest":
        manifest.write_bytes(manifest.read_bytes()[:200])
    elif damage == "no interpreter":
        environment.python.unlink()
    else:
        manifest.unlink()
        (environment.path / "leftover").write_text("")
    assert EnvironmentStore(settings).find(tree, EnvironmentRequest()) is None
    again = provide(settings, tree)
    assert again.path == environment.path
    assert again.python.exists()
    assert not (again.path / "leftover").exists()


BUILD = """
import sys
from pathlib import Path
from isohub.config import Settings
from tests.environments import make_tree, provide
home, folder, source = sys.argv[1:]
provide(Settings(home=Path(home)), make_tree(Path(folder), {"hubconf.py": source}))
"""


def builder_process(settings: Settings, folder: Path, source: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", BUILD, settings.home, folder, source], env=environ)


def wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    assert callable(condition)
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_build_that_was_killed_while_it_imported(settings: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    source = f"""
import os, time
open({str(tmp_path / "reached")!r}, "w").close()
while os.path.exists({str(gate)!r}):
    time.sleep(0.02)
def f(): pass
"""
    process = builder_process(settings, tmp_path / "repo", source)
    wait_for((tmp_path / "reached").exists, process)
    process.kill()
    process.wait()
    gate.unlink()
    assert len(EnvironmentStore(settings).list()) == 1
    environment = provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": source}))
    assert [entry.name for entry in environment.entry_points] == ["f"]
    assert EnvironmentStore(settings).list() == [environment]


def test_a_build_that_was_killed_while_uv_installed(
    settings: Settings, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv outlives its parent for a while, and the next build waits until it writes no more."""
    monkeypatch.setenv("UV_INDEX", index.offer("slow", make_wheel(tmp_path, "isohubprobe")))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "2")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    source = "dependencies = ['isohubprobe']\nimport isohubprobe\n"
    tree = make_tree(tmp_path / "repo", {"hubconf.py": source})
    EnvironmentStore(settings).explain(tree, EnvironmentRequest(), Progress(False))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache2"))
    before = index.count("/files/")
    index.fail("/files/", hang=True)
    process = builder_process(settings, tmp_path / "repo", source)
    wait_for(lambda: index.count("/files/") > before, process)
    process.kill()
    process.wait()
    index.recover()
    (broken,) = EnvironmentStore(settings).list()
    with pytest.raises(BuildError, match="is in use"):
        EnvironmentStore(settings).remove(broken)
    environment = provide(settings, tree)
    assert environment.manifest.packages["isohubprobe"] == "1.0"
    assert EnvironmentStore(settings).list() == [environment]


def test_an_interrupted_build_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    source = f"""
import os, time
with open({str(tmp_path / "reached")!r}, "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""
    process = builder_process(settings, tmp_path / "repo", source)
    wait_for(lambda: (tmp_path / "reached").exists() and (tmp_path / "reached").read_text(), process)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    ended((tmp_path / "reached").read_text())
    assert nothing_is_built(settings)
    assert EnvironmentStore(settings).list() == []


class Notes(Step):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


HOLD = """
import sys
from isohub.envs.folderlocks import at_work
from isohub.progress import Step
from pathlib import Path
with at_work(Path(sys.argv[1]), Step(), 0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_waiting_for_another_process_is_seen_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        notes = Notes()
        with pytest.raises(BuildError, match="has been at work for more than"), at_work(path, notes, 0.2):
            pass
        assert notes.texts == ["waiting for another process that is at it"]
        other.kill()
        with at_work(path, notes, 30):
            pass


def test_a_use_ends_with_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.users"
    with Use(path), Use(path), pytest.raises(BuildError, match="is in use"):
        Use(path, exclusive=True, limit=0.2)
    with Use(path, exclusive=True), pytest.raises(BuildError, match="is in use"):
        Use(path)
    Use(path, exclusive=True).close()


def test_steps_are_shown(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": GOOD})
    EnvironmentStore(settings).provide(tree, EnvironmentRequest(), Progress(True))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(" on ")[0] for line in shown.err.splitlines()] == [
        "resolving what github.com/test/repo requires ...",
        "creating an environment",
        "installing 2 distributions ...",
        "importing hubconf.py ...",
    ]
    EnvironmentStore(settings).provide(tree, EnvironmentRequest(), Progress(True))
    assert capsys.readouterr().err == ""
