"""Worker processes: what they see, what they print, what strangers' code does to them, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import HubClosed, IsohubError, RemoteError, StaleObject, WorkerDied
from tests.workers import HUBCONFS, PATIENCE, PYTHONS, WIRE, Remote, environment, exists, host, start, until


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    """A worker of its own for strangers' code."""
    with start(python, "misbehaving", tmp_path / "logs") as remote:
        yield remote


# ---- what it sees


@pytest.mark.parametrize("version", PYTHONS)
def test_a_worker_sees_nothing_of_the_hosts(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "msgpack.py").write_text("raise AssertionError('the host is on the path')")
    for name, value in {
        "PYTHONPATH": str(decoy),
        "PYTHONSTARTUP": str(decoy / "msgpack.py"),
        "PYTHONHASHSEED": "1",
        "HF_TOKEN": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "LC_MESSAGES": "C",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(decoy)
    python = environment(version, *WIRE)
    with start(python, "objects", tmp_path / "logs", environ=scrubbed_environ({"EXTRA": "given"})) as remote:
        seen = remote.load("surroundings")
        assert remote.worker.versions["python"] is not None
        assert remote.worker.versions["python"].startswith(version + ".")
    assert seen["version"] == [int(part) for part in version.split(".")]
    assert seen["isolated"] == 1
    allowed = (str(HUBCONFS / "objects"), str(python.parent.parent), *base_folders(python))
    assert [path for path in seen["path"] if not path.startswith(allowed)] == []
    assert seen["path"][0] == str(HUBCONFS / "objects")
    assert seen["modules"] == []
    assert "secret" not in seen["environ"].values()
    assert not [name for name in seen["environ"] if name.startswith("PYTHON")]
    assert (seen["environ"]["EXTRA"], seen["environ"]["LC_MESSAGES"]) == ("given", "C")
    assert seen["cwd"] == str(decoy), "relative paths mean what they mean here"
    assert len(seen["argv"]) == 1


def base_folders(python: Path) -> list[str]:
    """Where the standard library of an interpreter is."""
    program = "import json, os, sys; print(json.dumps([sys.base_prefix, os.path.realpath(sys.base_prefix)]))"
    answer = subprocess.run([python, "-I", "-c", program], capture_output=True, check=True, timeout=60)
    return list(json.loads(answer.stdout))


def test_a_worker_inherits_no_files_of_the_host(python: Path, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        with start(python, "objects", tmp_path / "logs") as remote:
            assert not [path for path in remote.load("surroundings")["files"] if path.endswith("/open")]


# ---- what it prints


def test_what_is_printed_goes_to_the_log(remote: Remote) -> None:
    assert remote.load("print_lines", 20_000) == 20_000
    remote.load("print_unterminated")
    remote.load("print_bytes")
    assert remote.load("same", "undisturbed") == "undisturbed"
    remote.worker.close()
    log = remote.worker.log.read_bytes()
    assert b"".join(b"line %d\n" % number for number in range(20_000)) in log
    for part in (b"no newline here", b"nor here", b"\xff\xfe bytes \x00\n", b"\\udcff surrogate"):
        assert part in log


def test_the_log_of_a_worker_is_its_own(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path) as one, start(python, "misbehaving", tmp_path) as other:
        one.load("print_lines", 3)
        assert one.worker.log != other.worker.log
        (line,) = other.worker.log.read_text().splitlines()
        assert line.startswith("isohub: this worker is a fork of process ")
        assert line.endswith(str(one.worker.log)), "that of the import"
        assert one.worker.log.stat().st_mode & 0o077 == 0


def test_a_flood_of_output_leaves_its_beginning_and_its_end(remote: Remote) -> None:
    """However fast it is: nobody reads it, so nobody waits, and no memory is taken by it."""
    size = int(os.environ.get("ISOHUB_FLOOD_BYTES", 400_000_000))
    remote.load("print_lines", 3)
    with Path("/proc/self/statm").open() as statm:
        before = int(statm.read().split()[1])
        assert remote.load("flood", size) == size
        assert remote.load("same", 1) == 1
        statm.seek(0)
        assert (int(statm.read().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") < 32 << 20
    until(lambda: remote.worker.log.stat().st_size <= 64 << 20)
    assert remote.load("print_lines", 1) == 1
    with pytest.raises(WorkerDied) as caught:
        remote.load("crash")
    assert f"flooded with {size}\nline 0\nabout to crash" in (caught.value.tail or "")
    log = remote.worker.log.read_bytes()
    assert log.startswith(b"line 0\nline 1\nline 2\n000000")
    assert b" bytes were here, and were too many\n" in log
    assert b"\0" not in log


# ---- what strangers' code does to it


@pytest.mark.parametrize(
    ("entry", "args"),
    [
        ("replace_stdout", ()),
        ("close_fds", ()),
        ("change_folder", ("/",)),
        ("start_threads", (5,)),
        ("replace_everything", ()),
        ("ignore_signals", ()),
        ("fail_at_exit", ()),
    ],
)
def test_a_worker_survives_and_still_ends_in_time(remote: Remote, entry: str, args: tuple[Any, ...]) -> None:
    remote.load(entry, *args)
    assert remote.load("same", {"still": ["there"]}) == {"still": ["there"]}
    began = time.monotonic()
    remote.worker.close()
    assert time.monotonic() - began < 2.5, "nobody had to be killed"
    assert remote.worker.returncode == 0


@pytest.mark.parametrize("entry", ["close_all_files", "replace_all_files"])
def test_a_worker_that_loses_its_connections_ends(remote: Remote, entry: str) -> None:
    began = time.monotonic()
    with pytest.raises(WorkerDied):
        remote.load(entry)
    assert time.monotonic() - began < 5
    until(lambda: not exists(remote.worker.pid))


@pytest.mark.parametrize(
    ("entry", "error"),
    [("recurse", RecursionError), ("eat_memory", MemoryError)],
    ids=["recurse", "eat_memory"],
)
def test_limits_of_python_are_errors_like_any(remote: Remote, entry: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        remote.load(entry)
    assert remote.load("same", 1) == 1


def test_a_fork_that_comes_back_is_not_the_worker(remote: Remote) -> None:
    pid, child = remote.load("fork_and_return")
    assert pid == remote.worker.pid
    until(lambda: not exists(child))
    assert remote.load("pid") == pid
    assert remote.load("fork_and_exit") == "parent"
    assert remote.load("same", 1) == 1


@pytest.mark.parametrize("entry", ["spawn", "spawn_deaf", "fork_and_stay"])
@pytest.mark.parametrize("end", ["close", "kill"])
def test_what_a_worker_has_started_ends_with_it(remote: Remote, entry: str, end: str) -> None:
    child = remote.load(entry)
    assert exists(child)
    if end == "close":
        remote.worker.close()
    else:
        os.kill(remote.worker.pid, signal.SIGKILL)
    until(lambda: not exists(child))
    until(lambda: not exists(remote.worker.pid))


# ---- death


@pytest.mark.parametrize(
    ("entry", "args", "returncode", "text"),
    [
        ("leave", (3,), 3, "exited with status 3"),
        ("leave", (0,), 0, "exited with status 0"),
        ("crash", (), -signal.SIGSEGV, "was ended by SIGSEGV"),
        ("abort", (), -signal.SIGABRT, "was ended by SIGABRT"),
        ("kill", (signal.SIGKILL,), -signal.SIGKILL, "was ended by SIGKILL"),
        ("kill", (signal.SIGTERM,), -signal.SIGTERM, "was ended by SIGTERM"),
    ],
)
def test_a_death_is_told_with_its_cause(
    remote: Remote, entry: str, args: tuple[Any, ...], returncode: int, text: str
) -> None:
    remote.load("print_lines", 100)
    with pytest.raises(WorkerDied, match=text) as caught:
        remote.load(entry, *args)
    assert caught.value.returncode == returncode == remote.worker.returncode
    assert caught.value.log == remote.worker.log
    assert "line 99" in (caught.value.tail or "")
    assert f"pid {remote.worker.pid}" in str(caught.value)
    assert not remote.worker.alive
    with pytest.raises(StaleObject, match=text):
        remote.load("same", 1)


def test_what_was_printed_just_before_a_crash_is_in_its_error(remote: Remote) -> None:
    with pytest.raises(WorkerDied) as caught:
        remote.load("crash")
    assert "about to crash" in (caught.value.tail or "")


def test_a_death_ends_every_wait_at_once(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path, threads=4) as remote, ThreadPoolExecutor(3) as pool:
        stream = iter(remote.load("stream_then_die", 10**9))
        assert next(stream) == 0
        calls = [pool.submit(remote.load, "hang") for _ in range(3)]
        futures = [remote.worker.channel.submit("load", None, ("hang",)) for _ in range(3)]
        assert next(stream) == 1, "they all wait by now, or soon"
        os.kill(remote.worker.pid, signal.SIGKILL)
        began = time.monotonic()
        for waiting in [*calls, *futures]:
            assert isinstance(waiting.exception(PATIENCE), (WorkerDied, StaleObject))
        with pytest.raises(IsohubError):
            for _ in stream:
                pass
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("state", ["idle", "in a call", "in a stream", "holding the lock"])
def test_a_worker_may_be_killed_in_any_state(remote: Remote, state: str) -> None:
    pid = remote.worker.pid
    waiting: Any = None
    stream: Iterator[int] | None = None
    if state == "in a call":
        waiting = remote.worker.channel.submit("load", None, ("hang",))
    elif state == "holding the lock":
        waiting = remote.worker.channel.submit("load", None, ("hold_the_lock", 600))
    elif state == "in a stream":
        stream = iter(remote.load("stream_then_die", 10**9))
        assert [next(stream) for _ in range(200)] == [*range(200)]
    os.kill(pid, signal.SIGKILL)
    if waiting is not None:
        assert isinstance(waiting.exception(PATIENCE), WorkerDied)
    if stream is not None:
        with pytest.raises(WorkerDied):
            for _ in stream:
                pass
    until(lambda: not remote.worker.alive)
    assert remote.worker.returncode == -signal.SIGKILL
    with pytest.raises(StaleObject):
        remote.load("same", 1)


def test_items_that_had_arrived_are_read_before_the_death(remote: Remote) -> None:
    got: list[int] = []
    with pytest.raises(WorkerDied, match="status 7"):
        got.extend(remote.load("stream_then_die", 20))
    assert got == list(range(len(got)))


def test_a_worker_that_dies_while_nobody_asks_is_known_to_be_dead(remote: Remote) -> None:
    remote.load("leave_after", 0.05, 9)
    until(lambda: not remote.worker.alive)
    assert remote.worker.returncode == 9
    with pytest.raises(StaleObject, match="exited with status 9"):
        remote.load("same", 1)


# ---- a start that fails


def test_a_hubconf_that_ends_its_process(python: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="status 11") as caught, start(python, "dies", tmp_path):
        pass
    assert "about to leave" in (caught.value.tail or "")


def test_a_hubconf_that_does_not_import(python: Path, tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="no such thing") as caught, start(python, "raises", tmp_path):
        pass
    assert isinstance(caught.value, RemoteError)
    assert "hubconf.py" in caught.value.traceback_text


def test_no_hubconf(python: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), start(python, "does-not-exist", tmp_path):
        pass


@pytest.mark.parametrize(
    "python", ["/does/not/exist", "/etc/passwd", "/"], ids=["none", "no program", "a folder"]
)
def test_an_interpreter_that_cannot_be_run(python: str, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="could not be started"), start(Path(python), "objects", tmp_path):
        pass


def test_an_interpreter_without_what_a_worker_needs(tmp_path: Path) -> None:
    bare = environment(PYTHONS[-1], "packaging")
    with pytest.raises(WorkerDied, match="status 1") as caught, start(bare, "objects", tmp_path):
        pass
    assert "ModuleNotFoundError" in (caught.value.tail or "")


def test_a_worker_that_is_killed_while_it_starts(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text(
        f'#!/bin/sh\ncase "$2" in *__main__.py) echo "$$" > "{tmp_path}/pid"; exec sleep 600 ;; esac\nexec cat\n'
    )
    slow.chmod(0o755)

    def kill() -> None:
        until((tmp_path / "pid").exists)
        until(lambda: (tmp_path / "pid").read_text().strip())
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(WorkerDied, match="SIGKILL"), start(slow, "objects", tmp_path / "logs"):
        pass
    killing.join()


def test_nothing_is_left_of_workers_that_did_not_start(python: Path, tmp_path: Path, sockets: Path) -> None:
    threads = threading.active_count()
    for hubconf in ("dies", "raises", "does-not-exist"):
        with pytest.raises(IsohubError), start(python, hubconf, tmp_path):
            pass
    assert not [*sockets.iterdir()]
    until(lambda: threading.active_count() <= threads + 1)  # the one that sends releases stays


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where folders for sockets are made, and nobody else makes any; a path for pytest's own folders would be too long."""
    with tempfile.TemporaryDirectory(prefix="isohub-tests-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


# ---- a wanted end


def test_a_closed_worker_is_gone_and_its_objects_are_stale(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path) as remote:
        thing, method = remote.load("thing"), remote.load("thing").add
        stream = iter(remote.load("forever"))
        assert next(stream) == 1
        remote.worker.close()
        assert not exists(remote.worker.pid)
        for use in (
            lambda: thing.number,
            lambda: method(),
            lambda: len(remote.load("box")),
            lambda: thing.me(),
        ):
            with pytest.raises(StaleObject, match="was closed"):
                use()
        with pytest.raises(IsohubError, match="closed"):
            for _ in stream:
                pass
        assert "stale" in repr(thing)
        remote.worker.close()


def test_closing_ends_the_calls_that_wait(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path) as remote:
        waiting = remote.worker.channel.submit("load", None, ("hang",))
        remote.worker.close()
        assert isinstance(waiting.exception(PATIENCE), HubClosed)


def test_closing_does_what_is_to_be_done_at_exit_if_that_is_quick(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path / "logs") as quick:
        quick.load("at_exit", str(tmp_path / "quick"))
    assert (tmp_path / "quick").read_text() == "done"
    with start(python, "misbehaving", tmp_path / "logs") as slow:
        slow.load("at_exit", str(tmp_path / "slow"), 600)
        began = time.monotonic()
        slow.worker.close()
        assert time.monotonic() - began < PATIENCE
    assert not (tmp_path / "slow").exists()


def test_a_worker_that_hangs_in_native_code_is_killed(python: Path, tmp_path: Path) -> None:
    with start(python, "misbehaving", tmp_path) as remote:
        remote.worker.channel.submit("load", None, ("hold_the_lock", 600))
        began = time.monotonic()
        remote.worker.close()
        assert time.monotonic() - began < PATIENCE
        assert not exists(remote.worker.pid)


def test_many_threads_may_close_a_worker(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path) as remote, ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(remote.worker.close) for _ in range(8)]:
            done.result(PATIENCE)
        assert not exists(remote.worker.pid)


# ---- the end of the host


def nothing_is_left_in(tmp_path: Path) -> bool:
    return list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "busy", ["", "threading.Thread(target=load, args=('hold_the_lock', 600), daemon=True).start()"]
)
def test_nothing_survives_the_host(python: Path, tmp_path: Path, number: int, busy: str) -> None:
    program = f"""
        from isohub.supervise.launch import _guard
        children = [load("spawn"), load("spawn_deaf"), load("fork_and_stay")]
        {busy}
        print(worker.pid, _guard._popen.pid, *children, flush=True)
        time.sleep(600)
    """
    process = host(python, tmp_path, "misbehaving", program)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 5
    assert all(map(exists, pids))
    assert nothing_is_left_in(tmp_path)
    process.send_signal(number)
    process.wait(PATIENCE)
    until(lambda: not any(map(exists, pids)), 10)
    assert nothing_is_left_in(tmp_path)
    process.communicate()


@pytest.mark.parametrize(
    "program",
    [
        "thing = load('thing'); stream = iter(load('forever')); next(stream)",
        "things = [load('thing') for _ in range(100)]; cycle = [things]; cycle.append(cycle)",
        "future = worker.channel.submit('load', None, ('wait_at_gate',))",
        "threading.Thread(target=load, args=('wait_at_gate',), daemon=True).start()",
        "worker.close()",
        "thing = load('thing'); worker.close()",
        "import atexit; atexit.register(worker.close); thing = load('thing')",
        "import weakref; thing = load('thing'); weakref.finalize(thing, print, end='')",
    ],
)
def test_the_interpreter_ends_quietly_and_leaves_nothing(python: Path, tmp_path: Path, program: str) -> None:
    process = host(
        python, tmp_path, "objects", f"{program}\n    print(worker.pid, flush=True)".replace("\n    ", "\n")
    )
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    until(lambda: not exists(int(out)), 10)
    assert nothing_is_left_in(tmp_path)


def test_an_exception_that_ends_the_host_is_all_it_prints(python: Path, tmp_path: Path) -> None:
    process = host(python, tmp_path, "objects", "thing = load('thing')\nraise SystemExit('the end')")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (1, "", "the end\n")


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)"])
def test_a_fork_of_the_host_has_no_workers(python: Path, tmp_path: Path, leave: str) -> None:
    program = f"""
        from isohub.errors import StaleObject
        thing, stream = load("thing", 5), iter(load("forever"))
        first = next(stream)
        pid = os.fork()
        if pid == 0:
            stale = 0
            for use in (lambda: thing.number, lambda: load("thing"), lambda: next(stream), lambda: thing.add()):
                try:
                    use()
                except StaleObject as error:
                    stale += "is a fork" in str(error)
            assert not worker.alive
            worker.close()
            del thing, stream
            import gc; gc.collect(); time.sleep(0.2)
            print("child", stale, flush=True)
            {leave}
        assert os.waitpid(pid, 0)[1] == 0
        for number in range(100):
            assert thing.number == 5 and next(stream) == number + 2
        del thing, stream
        assert load("thing", 1).number == 1
        print("parent", worker.alive, flush=True)
        worker.close()
    """
    process = host(python, tmp_path, "objects", program)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "child 4\nparent True\n", "")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_that_multiprocessing_makes_have_no_workers(
    python: Path, tmp_path: Path, method: str
) -> None:
    """A fork has a remote object that it cannot use; no other process can be given one."""
    program = f"""
        import multiprocessing

        thing = load("thing", 5)
        context = multiprocessing.get_context("{method}")
        process = context.Process(target=thing.add)
        try:
            process.start()
        except Exception as error:
            print(type(error).__name__, end=" ")
        else:
            process.join()
            print(process.exitcode, end=" ")
        for number in range(100):
            assert thing.number == 5
        print(worker.alive)
        worker.close()
    """
    process = host(python, tmp_path, "objects", program)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    if method == "fork":
        assert out == "1 True\n"
        assert "this process is a fork of the one that loaded" in err
    else:
        assert out.endswith(" True\n")
        assert out != "0 True\n", "it was refused"


def test_a_fork_of_the_host_keeps_nothing_alive(python: Path, tmp_path: Path) -> None:
    program = """
        from isohub.supervise.launch import _guard
        guard = _guard._popen.pid
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        print(worker.pid, guard, pid, flush=True)
        time.sleep(600)
    """
    process = host(python, tmp_path, "objects", program)
    assert process.stdout is not None
    worker, guard, fork = (int(word) for word in process.stdout.readline().split())
    try:
        process.kill()
        process.wait(PATIENCE)
        until(lambda: not exists(worker) and not exists(guard), 10)
        assert exists(fork)
    finally:
        os.kill(fork, signal.SIGKILL)
        process.communicate()


def test_a_fork_of_the_host_can_have_workers_of_its_own(python: Path, tmp_path: Path) -> None:
    program = """
        pid = os.fork()
        if pid == 0:
            mine = Worker(python, name="test/fork", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)
            print(mine.channel.call("load", None, ("thing", 7)).number, flush=True)
            mine.close()
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(load("thing", 8).number)
        worker.close()
    """
    process = host(python, tmp_path, "objects", program)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "7\n8\n", "")


def test_a_guard_that_was_killed_is_replaced(python: Path, tmp_path: Path) -> None:
    program = """
        import signal
        from isohub.supervise.launch import _guard
        child = load("spawn")
        first = _guard._popen
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = Worker(python, name="test/second", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)
        assert _guard._popen is not first
        print(worker.pid, second.pid, child, second.channel.call("load", None, ("spawn",)), flush=True)
        time.sleep(600)
    """
    process = host(python, tmp_path, "misbehaving", program)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 4
    process.kill()
    process.communicate()
    until(lambda: not any(map(exists, pids)), 10)


def test_a_host_that_reaps_every_child_itself_still_learns_of_the_end(python: Path, tmp_path: Path) -> None:
    program = """
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            load("leave", 3)
        except Exception as error:
            print(type(error).__name__)
        worker.close()
    """
    process = host(python, tmp_path, "misbehaving", program)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "WorkerDied\n", "")
