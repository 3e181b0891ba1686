"""Workers that are forks of one process, which imported their hubconf: what they share, what they do not, and how they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.environ import scrubbed_environ
from isohub.errors import HubClosed, HubconfError, RemoteError, StaleObject, WorkerDied
from isohub.supervise import rounds
from isohub.supervise.worker import Worker
from isohub.supervise.zygote import _all_zygotes
from tests import fake_worker
from tests.workers import (
    HUBCONFS,
    PATIENCE,
    PYTHONS,
    WIRE,
    Remote,
    environment,
    exists,
    fake_python,
    host,
    start,
    until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(scope="module", params=[PYTHONS[0], PYTHONS[-1]])
def python(request: pytest.FixtureRequest) -> Path:
    return environment(request.param, *WIRE)


class Program:
    """Starts workers that do `act` at import.

    Attributes:
        folder: for their logs, and for the record of imports.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.folder = folder
        self.stack = ExitStack()

    def start(self, act: str = "", *, env: dict[str, str] | None = None, **options: Any) -> Remote:
        """Another worker."""
        given = {"IMPORTS": str(self.folder / "imports"), "AT_IMPORT": act, **(env or {})}
        options["environ"] = scrubbed_environ(given)
        return self.stack.enter_context(start(self.python, "at_import", self.folder, **options))

    @property
    def imports(self) -> int:
        """How often the hubconf was imported."""
        return len((self.folder / "imports").read_text().splitlines())


@pytest.fixture
def program(python: Path, tmp_path: Path) -> Iterator[Program]:
    program = Program(python, tmp_path)
    with program.stack:
        yield program


def where(remote: Remote) -> tuple[int, int, int]:
    """A worker's pid, its parent and its group."""
    pid, parent, group = remote.load("where")
    assert pid == remote.worker.pid
    return pid, parent, group


# ---- what they share


def test_workers_of_one_kind_share_an_import(program: Program) -> None:
    pids, parents, groups = zip(*[where(program.start()) for _ in range(3)], strict=True)
    assert program.imports == 1
    assert len(set(pids)) == 3
    assert len(set(parents)) == 1
    assert os.getpid() not in parents
    assert pids == groups, "each leads a process group of its own"


def test_the_state_of_the_import_is_shared_and_nothing_after_it(program: Program) -> None:
    first = program.start()
    assert [first.load("bump") for _ in range(3)] == [1, 2, 3]
    second = program.start()
    assert second.load("bump") == 1
    assert first.load("bump") == 4


def test_a_worker_has_nothing_of_its_siblings(program: Program) -> None:
    """Neither their arenas and channels nor their logs."""
    first, second = program.start(shared_memory=1 << 20), program.start(shared_memory=1 << 20)
    third = program.start(shared_memory=1 << 20)
    counts = [len(remote.load("surroundings")["files"]) for remote in (first, second, third)]
    assert len(set(counts)) == 1
    for remote in (second, third):
        files = remote.load("surroundings")["files"]
        assert files.count(str(remote.worker.log)) == 2
        assert str(first.worker.log) not in files


def test_many_that_start_at_once_share_an_import(program: Program) -> None:
    with ThreadPoolExecutor(8) as pool:
        remotes = [*pool.map(lambda _: program.start(), range(8))]
    assert program.imports == 1
    assert len({where(remote)[1] for remote in remotes}) == 1


def test_imports_of_different_kinds_run_at_the_same_time(program: Program) -> None:
    meeting = program.folder / "meeting"
    meeting.mkdir()
    with ThreadPoolExecutor(2) as pool:
        kinds = [{"MEETING": str(meeting), "KIND": kind} for kind in ("one", "other")]
        remotes = [*pool.map(lambda kind: program.start("meet", env=kind), kinds)]
    assert len({where(remote)[1] for remote in remotes}) == 2


def test_what_a_process_is_started_with_keeps_workers_apart(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    prelude = program.folder / "prelude.py"
    prelude.write_text("import builtins; builtins.prelude = 'was here'\n")
    elsewhere = program.folder / "elsewhere"
    elsewhere.mkdir()
    plain, other = program.start(), program.start(env={"OTHER": "value"})
    with_prelude = program.start(prelude=prelude)
    monkeypatch.chdir(elsewhere)
    moved = program.start()
    assert program.imports == 4
    assert len({where(remote)[1] for remote in (plain, other, with_prelude, moved)}) == 4
    assert "OTHER" not in plain.load("surroundings")["environ"]
    assert other.load("surroundings")["environ"]["OTHER"] == "value"
    assert moved.load("surroundings")["cwd"] == str(elsewhere)


def test_a_worker_sees_the_environment_that_it_was_given(program: Program) -> None:
    for remote in (program.start(), program.start()):
        seen = remote.load("surroundings")["environ"]
        given = scrubbed_environ({"IMPORTS": str(program.folder / "imports"), "AT_IMPORT": ""})
        assert {name: seen.get(name) for name in given} == given
        assert not [name for name in seen if name.startswith("PYTORCH")]


def test_the_log_says_where_the_output_of_the_import_is(program: Program) -> None:
    first, second = program.start("print_a_part"), program.start("print_a_part")
    assert first.worker.log.read_text() == "no end of a line"
    assert "no end of a line" not in second.worker.log.read_text()
    assert str(first.worker.log) in second.worker.log.read_text()
    assert f"a fork of process {where(second)[1]}" in second.worker.log.read_text()


def test_random_numbers_differ(tmp_path: Path) -> None:
    program = Program(environment(PYTHONS[-1], *WIRE, "numpy"), tmp_path)
    with program.stack:
        remotes = [program.start("blas") for _ in range(3)]
        assert program.imports == 1, "the threads of its library are no reason"
        drawn = [remote.load("random_numbers") for remote in remotes]
        assert len({python for python, _ in drawn}) == 3
        assert len({numpy for _, numpy in drawn}) == 3
        assert [remote.load("multiply") for remote in remotes] == [500.0**3] * 3


# ---- whoever had better not be forked


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("thread", "it has started threads (busy)"),
        ("native_thread", "native code in it has started threads"),
        ("child", "it has child processes"),
        ("file", "it has opened files ("),
        ("connection", "it has opened files (socket:"),
        ("temporary_folder", "it has temporary folders (/"),
        ("cuda", "it has initialized CUDA"),
    ],
)
def test_a_process_that_must_not_be_forked_is_the_worker(program: Program, act: str, reason: str) -> None:
    remotes = [program.start(act) for _ in range(3)]
    assert program.imports == 3, "one for each, and none for nothing"
    for remote in remotes:
        pid, parent, group = where(remote)
        assert (parent, group) == (os.getpid(), pid)
        assert remote.worker.log.read_text().count(reason) == 1
        assert len(remote.worker.log.read_text().splitlines()) == 1
    remotes[0].worker.close()
    assert remotes[1].load("bump") == 1


def test_many_that_start_at_once_and_must_not_be_forked(program: Program) -> None:
    with ThreadPoolExecutor(4) as pool:
        remotes = [*pool.map(lambda _: program.start("thread"), range(4))]
    assert program.imports == 4
    assert {where(remote)[1] for remote in remotes} == {os.getpid()}
    assert all("it has started threads (busy)" in remote.worker.log.read_text() for remote in remotes)


# ---- what a hubconf does to the process


@pytest.mark.parametrize(
    "act",
    [
        "close_standard_files",
        "change_folder",
        "change_signals",
        "change_defaults",
        "fork_and_return",
        "replace_stdout",
    ],
)
def test_an_import_that_changes_the_process(program: Program, act: str) -> None:
    remotes = [program.start(act), program.start(act)]
    assert program.imports == 1
    for remote in remotes:
        where(remote)
        child = remote.load("spawn")
        remote.worker.close()
        assert remote.worker.returncode == 0
        until(lambda child=child: not exists(child))  # type: ignore[misc]


def test_signals_are_as_the_import_left_them(program: Program) -> None:
    expected = {
        "SIGCHLD": "1",
        "SIGTERM": "1",
        "blocked": sorted([signal.SIGCHLD, signal.SIGUSR1]),
        "wakeup": -1,
    }
    for remote in (program.start("change_signals"), program.start("change_signals")):
        seen = remote.load("signals")
        assert seen["SIGCHLD"].endswith("SIG_IGN") or seen["SIGCHLD"] == "1"
        assert {**seen, "SIGCHLD": "1", "SIGTERM": "1"} == expected
    plain = program.start()
    assert plain.load("run_a_program") == 3
    assert plain.load("signals")["SIGCHLD"].endswith(("SIG_DFL", "0"))


@pytest.mark.parametrize("act", ["close_all_files", "replace_files"])
def test_an_import_that_closes_everything_ends_its_worker(program: Program, act: str) -> None:
    with pytest.raises(WorkerDied, match="status 1") as caught:
        program.start(act)
    assert "has closed the connection" in (caught.value.tail or "")


@pytest.mark.parametrize("act", ["fail", "leave_by_exception"])
def test_an_import_that_fails_is_told_to_everybody(program: Program, act: str) -> None:
    def attempt(number: int) -> BaseException:
        with pytest.raises(RemoteError) as caught:
            program.start(act)
        return caught.value

    with ThreadPoolExecutor(3) as pool:
        errors = [*pool.map(attempt, range(3))]
    assert len({error.log for error in errors if isinstance(error, RemoteError)}) == 3
    for error in errors:
        assert isinstance(error, RemoteError)
        assert isinstance(error, ImportError) == (act == "fail")
        assert "hubconf.py" in error.traceback_text
        assert "isohub_worker" not in error.traceback_text
    assert program.imports == 3


def test_an_import_that_dies_is_told_to_everybody(program: Program) -> None:
    def attempt(number: int) -> WorkerDied:
        with pytest.raises(WorkerDied, match="status 11") as caught:
            program.start("die")
        return caught.value

    with ThreadPoolExecutor(3) as pool:
        errors = [*pool.map(attempt, range(3))]
    assert all("about to leave" in (error.tail or "") for error in errors)
    assert len({error.log for error in errors}) == 3


def test_a_fork_of_the_import_does_not_hide_the_end_of_its_worker(program: Program) -> None:
    remote = program.start("leave_a_fork")
    os.kill(remote.worker.pid, signal.SIGKILL)
    until(lambda: not remote.worker.alive)


def test_a_fork_of_the_import_does_not_hide_the_end_of_that(program: Program) -> None:
    with pytest.raises(WorkerDied, match="exited with status 11"):
        program.start("leave_a_fork_and_die")


@pytest.mark.parametrize("behaviour", sorted(fake_worker.BEFORE))
def test_a_process_that_talks_nonsense_is_ended(behaviour: str, tmp_path: Path) -> None:
    python = fake_python(environment(PYTHONS[-1], *WIRE), tmp_path)
    with pytest.raises(WorkerDied, match="broke the protocol and was ended") as caught:
        Worker(
            python,
            name="test/fake",
            repo_dir=tmp_path / behaviour,
            environ=scrubbed_environ(),
            logs=tmp_path / "logs",
        )
    assert caught.value.returncode == -signal.SIGKILL


# ---- ends


@pytest.mark.parametrize(
    ("entry", "argument", "returncode"),
    [("leave", 3, 3), ("leave", 0, 0)]
    + [("leave_by_signal", number, -number) for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)],
)
def test_the_exit_status_of_a_fork_is_known(
    program: Program, entry: str, argument: int, returncode: int
) -> None:
    program.start()
    second = program.start()
    child = second.load("spawn")
    with pytest.raises(WorkerDied) as caught:
        second.load(entry, int(argument))
    assert caught.value.returncode == returncode == second.worker.returncode
    assert caught.value.log == second.worker.log
    until(lambda: not exists(child))


@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_is_killed_takes_nobody_along(program: Program, which: int) -> None:
    remotes = [program.start(), program.start()]
    os.kill(remotes[which].worker.pid, signal.SIGKILL)
    until(lambda: not remotes[which].worker.alive)
    assert remotes[1 - which].load("bump") == 1
    assert program.start().load("bump") == 1
    assert program.imports == 1


def test_workers_end_with_their_zygote_and_the_next_has_another(program: Program) -> None:
    remotes = [program.start(), program.start()]
    children = [remote.load("spawn") for remote in remotes]
    zygote = where(remotes[0])[1]
    waiting = remotes[1].worker.channel.submit("load", None, ("leave_by_signal", 0))
    os.kill(zygote, signal.SIGKILL)
    error = waiting.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.returncode == -signal.SIGKILL
    assert f"was a fork of process {zygote} and ended with that, which was ended by SIGKILL" in str(error)
    for remote in remotes:
        until(lambda remote=remote: not remote.worker.alive)  # type: ignore[misc]
        with pytest.raises(StaleObject, match="ended with that"):
            remote.load("bump")
    until(lambda: not any(map(exists, [*children, zygote, *(remote.worker.pid for remote in remotes)])))
    following = program.start()
    assert following.load("bump") == 1
    assert where(following)[1] != zygote
    assert program.imports == 2


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_daemon_ends_with_its_worker_and_not_with_another(program: Program, how: str) -> None:
    remotes = [program.start(), program.start()]
    daemons = [remote.load("spawn_daemon") for remote in remotes]
    for remote, daemon in zip(remotes, daemons, strict=True):
        assert exists(daemon)
        if how == "closed":
            remote.worker.close()
        else:
            os.kill(remote.worker.pid, signal.SIGKILL)
        until(lambda daemon=daemon: not exists(daemon))  # type: ignore[misc]


def test_a_daemon_of_the_import_ends_with_the_zygote(program: Program) -> None:
    remotes = [program.start("start_a_daemon"), program.start("start_a_daemon")]
    daemon = int(remotes[0].worker.log.read_text().split("daemon ")[1].split()[0])
    remotes[0].worker.close()
    assert exists(daemon), "it belongs to what both have imported"
    remotes[1].worker.close()
    until(lambda: not exists(daemon))


@pytest.fixture
def stopped(program: Program, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A worker whose zygote stands still; twenty rounds a second, and the limit is 1.5 s."""
    monkeypatch.setattr(rounds, "SECONDS", 0.05)
    remote = program.start()
    os.kill(where(remote)[1], signal.SIGSTOP)
    return remote


def test_a_zygote_that_stands_still_is_replaced_when_it_is_needed(stopped: Remote, program: Program) -> None:
    assert stopped.load("bump") == 1, "its workers do not need it"
    assert program.start().load("bump") == 1
    assert program.imports == 2
    with pytest.raises(StaleObject, match=r"was silent for 1\.5 s when it was needed, and was ended"):
        stopped.load("bump")


def test_a_zygote_that_goes_on_in_time_is_kept(stopped: Remote, program: Program) -> None:
    zygote = where(stopped)[1]
    with ThreadPoolExecutor() as pool:
        second = pool.submit(program.start)
        until(lambda: any(each._silent_rounds > 1 for each in _all_zygotes))
        os.kill(zygote, signal.SIGCONT)
        assert where(second.result(PATIENCE))[1] == zygote
    assert stopped.load("bump") == 1


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_the_end_of_a_worker_is_heard_of_though_its_zygote_stands_still(stopped: Remote, how: str) -> None:
    waiting = stopped.worker.channel.submit("load", None, ("hang",))
    if how == "killed":
        os.kill(stopped.worker.pid, signal.SIGKILL)
    else:
        stopped.worker.close()
    assert isinstance(waiting.exception(PATIENCE), WorkerDied if how == "killed" else HubClosed)


def test_a_zygote_stays_for_as_long_as_one_of_its_workers_is_not_closed(program: Program) -> None:
    first, second = program.start(), program.start()
    zygote = where(first)[1]
    first.worker.close()
    assert exists(zygote)
    second.worker.close()
    assert not exists(zygote)
    third = program.start()
    zygote = where(third)[1]
    with pytest.raises(WorkerDied):
        third.load("leave", 1)
    assert exists(zygote), "the next load needs it"
    fourth = program.start()
    third.worker.close()
    assert where(fourth)[1] == zygote
    fourth.worker.close()
    assert not exists(zygote)
    assert program.imports == 2


def test_many_may_close_at_once(program: Program) -> None:
    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            remotes = [*pool.map(lambda _: program.start(), range(6))]
            zygote = where(remotes[0])[1]
            for done in [pool.submit(remote.worker.close) for remote in remotes * 2]:
                done.result(PATIENCE)
        assert not exists(zygote)


def test_closing_does_not_wait_for_an_import(program: Program) -> None:
    started: list[Worker] = []
    begun = threading.Event()

    def starting(worker: Worker) -> None:
        started.append(worker)
        begun.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(program.start, "hang", starting=starting)
        assert begun.wait(PATIENCE)
        imports = program.folder / "imports"
        until(lambda: imports.exists() and imports.read_text().endswith("\n"))
        started[0].close()
        assert isinstance(waiting.exception(PATIENCE), HubClosed)
    assert not exists(int(imports.read_text()))


def test_one_that_gives_up_does_not_disturb_the_others(program: Program) -> None:
    started: list[Worker] = []
    meeting = program.folder / "meeting"
    meeting.mkdir()
    env = {"MEETING": str(meeting)}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(program.start, "meet", env=env, starting=started.append)
        until(lambda: started and [*meeting.iterdir()])
        second = pool.submit(program.start, "meet", env=env, starting=started.append)
        until(lambda: len(started) == 2)
        started[0].close()
        assert isinstance(first.exception(PATIENCE), HubClosed)
        (meeting / "me").touch()
        assert second.result(PATIENCE).load("bump") == 1
    assert program.imports == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_the_host(python: Path, tmp_path: Path, number: int) -> None:
    text = """
        second = Worker(python, name="test/second", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)
        child = second.channel.call("load", None, ("spawn",))
        zygote = int(open(f"/proc/{second.pid}/stat").read().rpartition(")")[2].split()[1])
        assert zygote == int(open(f"/proc/{worker.pid}/stat").read().rpartition(")")[2].split()[1])
        print(worker.pid, second.pid, child, zygote, load("spawn"), load("spawn_daemon"), flush=True)
        time.sleep(600)
    """
    process = host(python, tmp_path, "misbehaving", text)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 6
    assert all(map(exists, pids))
    process.send_signal(number)
    process.wait(PATIENCE)
    until(lambda: not any(map(exists, pids)), 10)
    process.communicate()


def test_an_interrupt_ends_a_start(python: Path, tmp_path: Path) -> None:
    text = f"""
        import signal
        environ = scrubbed_environ({{"AT_IMPORT": "hang", "IMPORTS": "{tmp_path / "imports"}"}})

        def interrupt():
            while not os.path.exists(environ["IMPORTS"]) or not open(environ["IMPORTS"]).read():
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            Worker(python, name="test/hang", repo_dir="{HUBCONFS / "at_import"}", environ=environ, logs=logs)
        except KeyboardInterrupt:
            print("interrupted", load("same", 1), flush=True)
        worker.close()
    """
    process = host(python, tmp_path, "misbehaving", text)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "interrupted 1\n", "")
    assert not exists(int((tmp_path / "imports").read_text()))


# ---- Hubs


def test_hubs_share_zygotes_and_leave_none(home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hubconf.py").write_text(
        "dependencies = []\nimport os, time\ntime.sleep(float(os.environ.get('SECONDS', 0)))\n"
        "def where():\n    return os.getpid(), os.getppid()\n"
        "def leave():\n    os._exit(3)\n"
    )

    def load(hub: isohub.Hub, name: str = "where") -> Any:
        return hub.load(repository, name, source="local", trust_repo=True, verbose=False)

    with isohub.Hub() as one, isohub.Hub() as other:
        (first, zygote), (second, its_zygote) = load(one), load(other)
        assert first != second
        assert zygote == its_zygote
        with pytest.raises(WorkerDied):
            load(one, "leave")
        again, zygote_of_that = load(one)
        assert again != first
        assert zygote_of_that == zygote
        other.close()
        assert load(one)[1] == zygote
        with pytest.raises(WorkerDied):
            load(one, "leave")
        assert load(one)[1] == zygote, "it outlives the last worker"
    assert not exists(zygote)
    slow = isohub.Hub(env={"SECONDS": "600"})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(load, slow)
        until(lambda: any(slot.worker is not None for slot in slow._pool._slots.values()))
        slow.close()
        assert isinstance(waiting.exception(PATIENCE), HubClosed)


def test_a_hubconf_that_does_not_import_any_more(home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "hubconf.py").write_text(
        "dependencies = []\nimport os\nif os.environ.get('BROKEN'):\n    raise ImportError('no more')\n"
        "def net():\n    return 1\n"
    )
    with isohub.Hub() as hub, isohub.Hub(env={"BROKEN": "1"}) as broken:
        assert hub.load(repository, "net", source="local", trust_repo=True, verbose=False) == 1
        for _ in range(2):
            with pytest.raises(HubconfError, match="does not import: ImportError: no more") as caught:
                broken.load(repository, "net", source="local", trust_repo=True, verbose=False)
            assert caught.value.log is not None
            assert caught.value.log.exists()
