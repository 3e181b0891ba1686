"""Strangers on the same machine: programs that connect where a worker is expected, before it does."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.environ import scrubbed_environ
from isohub.errors import WorkerDied
from isohub.supervise import worker as worker_module
from isohub.supervise.worker import Worker
from tests.workers import PYTHONS, WIRE, environment, exists, fake_python, start, until

# It knows the folder, runs as the same user, connects as soon as it can, and says what it got. It tries to be the worker, too.
STRANGER = """
import sys, time
import msgpack, zmq
from pathlib import Path
folder = Path(sys.argv[1])
context = zmq.Context()
inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
for socket, name in ((inbox, "q"), (outbox, "a")):
    socket.linger = 0
    socket.reconnect_ivl = 1
    socket.connect(f"ipc://{folder / name}")
for _ in range(50):
    outbox.send(msgpack.packb([16, 1, "0" * 32, 1]))
print("connecting", flush=True)
while inbox.poll(50) or not Path(sys.argv[2]).exists():
    if inbox.poll(0):
        print("got", inbox.recv(), flush=True)
"""


# A host that gives up waiting for its worker when it is interrupted.
IMPATIENT = """
import sys
from pathlib import Path
from isohub.supervise.worker import Worker
try:
    Worker(Path(sys.argv[1]), name="x", repo_dir=Path("/"), environ={}, logs=Path(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def mute_python(folder: Path) -> Path:
    """An interpreter that stops where a worker is wanted, and writes down what it is, and is this one otherwise."""
    mute = folder / "python"
    pause = f"echo $$ > {folder / 'pid'}; exec sleep 600"
    mute.write_text(f'#!/bin/sh\ncase "$2" in */__main__.py) {pause} ;; esac\nexec "{sys.executable}" "$@"\n')
    mute.chmod(0o755)
    return mute


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """One that is at the door of the next worker before that is started."""
    folder = tmp_path / "door"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: str(folder))
    process = subprocess.Popen(
        [sys.executable, "-c", STRANGER, str(folder), str(tmp_path / "over")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "connecting\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere the kernel does not say who connects"
)
def test_a_stranger_who_is_first_neither_poses_as_the_worker_nor_reads_a_request(
    python: Path, tmp_path: Path, stranger: subprocess.Popen[str]
) -> None:
    with start(python, "misbehaving", tmp_path / "logs") as remote:
        assert [remote.load("same", number) for number in range(200)] == [*range(200)]
    (tmp_path / "over").touch()
    out, _ = stranger.communicate(timeout=60)
    assert out == "", "requests go to each peer in turn, so one that was let in would have had half of them"


def test_the_worker_finds_a_folder_that_only_its_user_can_enter(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: str(folder))
    with (
        pytest.raises(OSError, match="only this user can enter"),
        start(python, "misbehaving", tmp_path / "logs"),
    ):
        pass


def test_sockets_fit_below_a_deep_folder(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with start(python, "misbehaving", tmp_path / "logs") as remote:
        assert remote.load("same", 3) == 3


def test_what_ends_without_a_word_is_dead(tmp_path: Path) -> None:
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexit 4\n")
    silent.chmod(0o755)
    with (
        pytest.raises(WorkerDied, match="exited with status 4"),
        start(silent, "misbehaving", tmp_path / "logs"),
    ):
        pass


def test_what_says_nothing_is_ended(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_HELLO_SECONDS", 0.2)
    with pytest.raises(WorkerDied, match=r"said nothing within 0\.2 s"):
        Worker(
            fake_python(python, tmp_path),
            name="test/mute",
            repo_dir=tmp_path / "mute",
            environ=scrubbed_environ(),
            logs=tmp_path / "logs",
        )


def test_a_worker_that_says_nothing_yet_can_be_closed(tmp_path: Path) -> None:
    mute = mute_python(tmp_path)
    host = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(mute), str(tmp_path / "logs")],
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    host.send_signal(signal.SIGINT)
    assert host.communicate(timeout=60)[0] == "interrupted\n"
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not exists(pid))
