"""The sandbox: what a hostile repository cannot do in it, and what goes on working."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import HubClosed, IsohubError, WorkerDied
from isohub.sandbox import Sandbox, bubblewrap
from isohub.supervise.census import workers
from tests.workers import HUBCONFS, PYTHONS, WIRE, Remote, environment, exists, host, start, until

PROGRAM, MISSING = bubblewrap()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE, "numpy")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, with things in it that are nobody's business."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("the private key\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / ".cache" / "torch"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def remote(python: Path, home: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(
        python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM), shared_memory=1 << 24
    ) as remote:
        yield remote


# ---- what it cannot do


def test_it_reads_nothing_that_is_not_let_through(remote: Remote, home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("secret")
    for path in (
        home / ".ssh" / "id_ed25519",
        tmp_path / "elsewhere",
        "/etc/shadow",
        "/etc/hostname",
        "/root/.bashrc",
    ):
        assert remote.load("read", str(path))[0] is False, path
    assert remote.load("folder", str(home)) == (True, [".cache"])
    assert remote.load("folder", str(Path(__file__).parent))[0] is False


def test_a_variable_does_not_let_the_home_folder_in(python: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "libraries").mkdir()
    libraries = f"{home}:{tmp_path / 'libraries'}:relative"
    environ = scrubbed_environ({"LD_LIBRARY_PATH": libraries, "CUDA_HOME": "/"})
    with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM), environ=environ) as remote:
        assert remote.load("read", str(home / ".ssh" / "id_ed25519"))[0] is False
        assert remote.load("folder", str(tmp_path / "libraries")) == (True, [])


def test_it_writes_neither_its_environment_nor_its_repository_nor_the_system(
    remote: Remote, python: Path
) -> None:
    assert set(remote.load("write_own").values()) == {False}
    assert remote.load("write_link")[0] is False
    for path in (python, "/usr/bin/env", "/etc/passwd", "/sys/kernel/x", "/mine"):
        assert remote.load("write", str(path))[0] is False, path
    assert remote.load("remount") == 1
    assert not (HUBCONFS / "hostile" / "mine.py").exists()


def test_nothing_of_the_machine_can_be_written(remote: Remote) -> None:
    """Not by root either, who may write many of the kernel's switches without any capability."""
    assert remote.load("writable", ["/"], ["/proc", "/dev", "/tmp"]) == []
    assert remote.load("writable", ["/proc"], [f"/proc/{pid}" for pid in remote.load("processes")]) == []


def test_it_does_not_get_at_what_lies_beside_its_log(remote: Remote, home: Path) -> None:
    listed, written = remote.load("reopen_standard_output", str(remote.worker.log.parent / "other.log"))
    assert not listed[0]
    assert not written[0]


def test_what_it_writes_at_home_and_among_temporary_files_ends_with_it(
    python: Path, home: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM)) as remote:
            assert remote.load("scratch") == [(False, True)] * 3
    assert sorted(path.name for path in home.iterdir()) == [".cache", ".ssh"]
    assert not Path("/tmp/mine").exists()


class Greeter:
    """A server on this machine."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"hello")

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


@pytest.fixture
def greeter() -> Iterator[Greeter]:
    greeter = Greeter()
    yield greeter
    greeter.close()


def test_it_reaches_no_server_unless_it_may(
    remote: Remote, python: Path, tmp_path: Path, greeter: Greeter
) -> None:
    assert remote.load("connect", greeter.port)[0] is False
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0isohub-test")
        abstract.listen()
        assert remote.load("connect_abstract", "isohub-test")[0] is False
    with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM, network=True)) as other:
        assert other.load("connect", greeter.port) == (True, "hello")


def test_it_sees_and_harms_no_process_but_its_own(remote: Remote) -> None:
    seen = remote.load("processes")
    assert len(seen) <= 3
    assert max(seen) < 100
    assert remote.load("signal_all", [os.getpid(), os.getppid()]) in ([False, False], [True, True])
    assert remote.load("same", "still here") == "still here", (
        "if there are such numbers in there, they are others"
    )


def test_it_gets_the_same_variables_as_without_and_none_that_name_what_is_not_there(
    python: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "swordfish")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:swordfish@proxy:3128")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    environ = scrubbed_environ({"MORE": "given"})
    with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM), environ=environ) as remote:
        seen = remote.load("environ")
    assert seen["MORE"] == "given"
    assert seen["HOME"] == str(home)
    assert seen["TMPDIR"] == "/tmp"
    assert "swordfish" not in str(seen)
    assert not {"HF_TOKEN", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} & set(seen)


def test_nothing_of_it_is_left_when_it_ends(remote: Remote) -> None:
    remote.load("start_threads")
    remote.load("escape")
    group = os.getpgid(remote.worker.pid)
    family = [remote.worker.pid, group, *_descendants(group)]
    assert len(set(family)) >= 4
    remote.worker.close()
    until(lambda: not any(exists(pid) for pid in family))


def test_nothing_of_it_is_left_when_the_host_is_killed(python: Path, tmp_path: Path) -> None:
    program = f"""
        from isohub.sandbox import Sandbox
        worker = Worker(python, name="x", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs,
                        sandbox=Sandbox(Path({str(PROGRAM)!r})))
        load("escape")
        print(worker.pid, os.getpgid(worker.pid), flush=True)
        time.sleep(600)
    """
    process = host(python, tmp_path, "hostile", program)
    assert process.stdout is not None
    pid, group = map(int, process.stdout.readline().split())
    family = [pid, group, *_descendants(group)]
    process.kill()
    process.communicate()
    until(lambda: not any(exists(pid) for pid in family))


def _descendants(pid: int) -> list[int]:
    children = [int(item) for item in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(item for child in children for item in _descendants(child))]


# ---- what goes on working


def test_values_tensors_and_streams(remote: Remote) -> None:
    big = np.arange(1 << 20, dtype=np.float64)
    assert (remote.load("same", big) == big).all()
    assert remote.load("same", {"a": [1, None, "x"]}) == {"a": [1, None, "x"]}
    assert [*remote.load("count", 500)] == [*range(500)]


@pytest.mark.parametrize("version", PYTHONS)
def test_every_python(version: str, home: Path, tmp_path: Path) -> None:
    python = environment(version, *WIRE)
    with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM)) as remote:
        assert remote.load("same", version) == version


def test_caches_of_weights_are_shared_and_what_torch_hub_runs_is_not(remote: Remote, home: Path) -> None:
    torch, hugging_face = home / ".cache" / "torch", home / ".cache" / "huggingface"
    for path in (
        torch / "hub" / "checkpoints" / "w.pth",
        torch / "other" / "w.pth",
        hugging_face / "hub" / "m" / "w",
    ):
        assert remote.load("keep", str(path))[0], path
        assert path.read_text() == "mine\n"
    (hugging_face / "token").write_text("hf_secret")
    for path in (torch / "hub" / "owner_repo_main" / "hubconf.py", torch / "hub" / "trusted_list"):
        assert not _kept(remote, path), path
    assert remote.load("relink", str(torch / "hub"))[0] is False
    assert remote.load("read", str(hugging_face / "token"))[0] is False


def test_caches_may_be_links(python: Path, home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    for name in ("cache/torch", "hub", "checkpoints"):
        (disk / name).mkdir(parents=True)
    (home / ".cache").symlink_to(disk / "cache")
    torch = home / ".cache" / "torch"
    (torch / "hub").symlink_to(disk / "hub")
    (disk / "hub" / "checkpoints").symlink_to(disk / "checkpoints")
    with start(python, "hostile", tmp_path / "logs", sandbox=Sandbox(PROGRAM)) as remote:
        assert remote.load("keep", str(torch / "hub" / "checkpoints" / "w.pth"))[0]
        for path in (torch / "hub" / "x.py", torch / "x", disk / "hub" / "x.py"):
            assert remote.load("write", str(path))[0] is False, path
        assert remote.load("relink", str(torch / "hub"))[0] is False
    assert (disk / "checkpoints" / "w.pth").read_text() == "mine\n"
    assert (torch / "hub").resolve() == disk / "hub"


def _kept(remote: Remote, path: Path) -> bool:
    try:
        remote.load("keep", str(path))
    except OSError:
        pass
    return path.exists()


def test_what_the_user_names_can_be_read_or_written(python: Path, home: Path, tmp_path: Path) -> None:
    data, results = home / "data", tmp_path / "results"
    data.mkdir()
    results.mkdir()
    (data / "x").write_text("read me")
    (tmp_path / "link").symlink_to(results)
    sandbox = Sandbox(PROGRAM, readable=(data,), writable=(tmp_path / "link",))
    with start(python, "hostile", tmp_path / "logs", sandbox=sandbox) as remote:
        assert remote.load("read", str(data / "x")) == (True, "read me")
        assert remote.load("write", str(data / "y"))[0] is False
        assert remote.load("write", str(tmp_path / "link" / "y"))[0] is True
        assert remote.load("write", str(results / "z"))[0] is True
    assert {path.name for path in results.iterdir()} == {"y", "z"}


@pytest.mark.parametrize(
    ("entry", "argument", "returncode", "said"),
    [
        ("leave", 0, 0, "exited with status 0"),
        ("leave", 7, 7, "exited with status 7"),
        ("kill", signal.SIGKILL, -9, "was ended by SIGKILL"),
        ("kill", signal.SIGTERM, -15, "was ended by SIGTERM"),
        ("kill", signal.SIGSEGV, -11, "was ended by SIGSEGV"),
    ],
)
def test_how_it_ended_is_the_worker_s_own_end(
    remote: Remote, entry: str, argument: int, returncode: int, said: str
) -> None:
    remote.load("speak")
    with pytest.raises(WorkerDied, match=said) as caught:
        remote.load(entry, int(argument))
    assert caught.value.returncode == returncode
    assert caught.value.tail is not None
    assert "said in the sandbox" in caught.value.tail


def test_the_process_that_is_shown_is_the_worker_s(remote: Remote) -> None:
    (shown,) = [worker for worker in workers() if worker.name == "test/hostile"]
    assert shown.pid == remote.worker.pid
    assert shown.rss is not None
    assert shown.rss > 5 << 20, "what makes the sandbox is smaller than any interpreter"
    os.kill(remote.worker.pid, signal.SIGKILL)
    with pytest.raises(IsohubError):
        remote.load("same", 1)
    assert remote.worker.returncode == -signal.SIGKILL


def test_closing_ends_a_call(remote: Remote) -> None:
    failures: list[BaseException] = []

    def call() -> None:
        try:
            remote.load("hang")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    pid = remote.worker.pid
    remote.worker.close()
    thread.join()
    assert isinstance(failures[0], HubClosed)
    until(lambda: not exists(pid))


def test_its_log_says_what_it_runs_in(remote: Remote) -> None:
    assert remote.worker.log.read_text().startswith(f"isohub: in a sandbox of {PROGRAM}, without network\n")


def test_devices_of_gpus_stay_and_others_do_not(remote: Remote) -> None:
    seen = set(remote.load("devices"))
    there = {path.name for path in Path("/dev").iterdir()}
    assert {name for name in there if name.startswith("nvidia") or name in ("dri", "kfd")} <= seen
    assert not {name for name in there if name.startswith(("sd", "vd", "loop", "mem", "kmsg"))} & seen
