"""Real workers for tests, in small environments of their own, on hubconfs that do on command what workers must survive."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isohub.config import Settings
from isohub.environ import scrubbed_environ
from isohub.envs.build import create_environment
from isohub.envs.buildlog import BuildLog
from isohub.envs.pythons import find_python
from isohub.envs.uv import load_uv
from isohub.errors import PythonNotFound
from isohub.supervise.worker import Worker

__all__ = [
    "FAKE_WORKER",
    "HUBCONFS",
    "PYTHONS",
    "WIRE",
    "Remote",
    "environment",
    "exists",
    "fake_python",
    "found",
    "host",
    "start",
    "status",
    "until",
]

#: The folders of hubconfs.
HUBCONFS = Path(__file__).parent / "hubconfs"
#: What ``fake_python`` runs.
FAKE_WORKER = Path(__file__).parent / "fake_worker.py"
#: What a worker needs at all.
WIRE = ("msgpack", "pyzmq")
#: A wait that takes longer has failed. What is waited for takes a fraction of a second on an idle machine.
PATIENCE = 30.0


@functools.cache
def _home() -> Path:
    """Where the environments of this run are; it goes when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="isohub-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def found(*versions: str) -> list[str]:
    """Those of these Python versions that are on this machine."""
    settings = Settings(home=_home())
    there = []
    for version in versions:
        try:
            find_python(version, settings)
        except PythonNotFound:
            continue
        there.append(version)
    return there


#: The interpreters that workers are tested with.
PYTHONS = found("3.8", "3.10", "3.12")


@functools.cache
def environment(version: str, *requirements: str) -> Path:
    """The interpreter of an environment with these distributions, made once in a run.

    Raises:
        PythonNotFound: there is no such Python on this machine.
    """
    settings = Settings(home=_home())
    folder = _home() / f"env-{len(list(_home().glob('env-*')))}"
    log = BuildLog(_home() / f"{folder.name}.log")
    create_environment(folder, find_python(version, settings), _home() / "virtualenv", log)
    python = folder / "bin" / "python"
    # The same uv, with the same settings, as for the environments of repositories.
    answer = load_uv(settings).run(["pip", "install", "--python", python, *requirements], log=log, limit=600)
    assert answer.returncode == 0, answer.output
    return python


def fake_python(python: Path, folder: Path) -> Path:
    """An interpreter that runs ``tests/fake_worker.py`` where a worker is wanted, and is `python` otherwise."""
    fake = folder / "python"
    fake.write_text(
        "#!/bin/sh\n"
        f'case "$2" in */isohub_worker/__main__.py) exec "{python}" -I "{FAKE_WORKER}" "$4" ;; esac\n'
        f'exec "{python}" "$@"\n'
    )
    fake.chmod(0o755)
    return fake


class Remote:
    """A worker, and what its hubconf offers.

    Attributes:
        worker: the worker itself.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def load(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the entry point `name`."""
        return self.worker.channel.call("load", None, (name, *args), kwargs)

    def holds(self) -> int:
        """How many objects the worker keeps for the host, once it knows of all that is garbage here."""
        gc.collect()
        return int(self.load("objects_held"))


@contextmanager
def start(python: Path, hubconf: str, folder: Path, **options: Any) -> Iterator[Remote]:
    """A worker of the hubconf, which ends with the block.

    Args:
        python: the interpreter of its environment.
        hubconf: the name of the folder with the hubconf.
        folder: where its log is kept.
        **options: for the worker.
    """
    options.setdefault("environ", scrubbed_environ())
    options.setdefault("name", f"test/{hubconf}")
    worker = Worker(python, repo_dir=HUBCONFS / hubconf, logs=folder, **options)
    try:
        yield Remote(worker)
    finally:
        worker.close()


_HOST = """
    import os, sys, threading, time
    from pathlib import Path
    from isohub.environ import scrubbed_environ
    from isohub.supervise.worker import Worker

    python, hubconf, logs = map(Path, sys.argv[1:4])
    worker = Worker(python, name="test/host", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)

    def load(name, *args):
        return worker.channel.call("load", None, (name, *args))
"""


def host(python: Path, tmp_path: Path, hubconf: str, program: str) -> subprocess.Popen[str]:
    """A program of its own that starts a worker of the hubconf and then does what `program` says."""
    text = textwrap.dedent(_HOST) + textwrap.dedent(program)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", text, str(python), str(HUBCONFS / hubconf), str(tmp_path / "logs")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until the condition holds.

    Raises:
        AssertionError: it did not within these seconds.
    """
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "what was waited for did not happen"
        time.sleep(0.005)


def exists(pid: int) -> bool:
    """Whether there is such a process, one that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return status(pid) != "Z"


def status(pid: int) -> str:
    """What the process does, as one letter, where the system tells that; "" elsewhere."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]
