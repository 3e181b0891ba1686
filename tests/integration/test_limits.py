"""What workers may take of the machine, and what becomes of those that take more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import isohub
from isohub.environ import scrubbed_environ
from isohub.errors import ConfigError, HubconfError, RemoteError, WorkerDied
from isohub.supervise.limits import Limits
from tests.workers import HUBCONFS, PYTHONS, WIRE, Remote, environment, exists, start, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are limited on Linux only")

MIB = 1 << 20


@pytest.fixture(scope="module", params=[PYTHONS[0], PYTHONS[-1]])
def python(request: pytest.FixtureRequest) -> Path:
    return environment(request.param, *WIRE)


@contextmanager
def limited(python: Path, folder: Path, limits: Limits, hubconf: str = "hungry") -> Iterator[Remote]:
    with start(
        python, hubconf, folder, limits=limits, environ=scrubbed_environ(limits.variables())
    ) as remote:
        yield remote


# ---- memory


def test_what_asks_for_too_much_gets_a_memory_error_and_the_worker_lives_on(
    python: Path, tmp_path: Path
) -> None:
    with limited(python, tmp_path, Limits(memory=400 * MIB)) as remote:
        assert remote.load("take", 100 * MIB) == 100 * MIB
        with pytest.raises(MemoryError) as caught:
            remote.load("take", 400 * MIB)
        assert isinstance(caught.value, RemoteError)
        with pytest.raises(MemoryError):
            remote.load("take_until_it_ends", 10 * MIB)
        assert remote.load("pid") == remote.worker.pid
        assert remote.load("left")["data"] == [400 * MIB] * 2


def test_a_repository_cannot_lift_its_limit(python: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may do everything")
    with (
        limited(python, tmp_path, Limits(memory=400 * MIB)) as remote,
        pytest.raises(ValueError, match="maximum limit"),
    ):
        remote.load("lift", 800 * MIB)


def test_shared_memory_does_not_count(python: Path, tmp_path: Path) -> None:
    limits = Limits(memory=200 * MIB)
    with start(python, "hungry", tmp_path, limits=limits, shared_memory=1 << 30) as remote:
        assert remote.load("take", MIB) == MIB


def test_a_worker_and_what_it_has_started_have_one_limit_together(python: Path, tmp_path: Path) -> None:
    with limited(python, tmp_path, Limits(memory=400 * MIB)) as remote:
        with pytest.raises(WorkerDied, match=r"exceeded its limit of 400\.0 MiB") as caught:
            remote.load("take_with_children", 3, 200 * MIB)
        assert "larger max_memory" in str(caught.value)
        assert caught.value.returncode == -signal.SIGKILL


def test_what_forks_share_counts_once(python: Path, tmp_path: Path) -> None:
    with limited(python, tmp_path, Limits(memory=400 * MIB)) as remote:
        children = remote.load("fork_with", 4, 200 * MIB)
        remote.load("sleep", 2.5)
        assert all(exists(child) for child in children)


def test_an_import_that_takes_too_much_already(python: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(MemoryError, match=r"the import has taken .* beyond its limit of 60 MiB"),
        limited(python, tmp_path, Limits(memory=60 * MIB)),
    ):
        pass


def test_native_code_that_crashes_under_a_limit_is_told_so(python: Path, tmp_path: Path) -> None:
    with limited(python, tmp_path, Limits(memory=400 * MIB), "misbehaving") as remote:
        with pytest.raises(WorkerDied, match="refused memory beyond max_memory, which is 400") as caught:
            remote.load("abort")
        assert caught.value.returncode == -signal.SIGABRT


_GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def control_group() -> Iterator[Path]:
    """A control group of 200 MiB."""
    group = _GROUPS / f"isohub-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(200 * MIB))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_worker_that_the_kernel_kills_for_want_of_memory(
    python: Path, tmp_path: Path, control_group: Path
) -> None:
    """The program that started it goes on, whatever the kernel thinks of it."""
    group = control_group / "cgroup.procs"
    program = """
        import sys
        from pathlib import Path
        Path(sys.argv[4]).write_text("0")
        from isohub.environ import scrubbed_environ
        from isohub.errors import WorkerDied
        from isohub.supervise.worker import Worker
        kept = b"x" * (50 << 20)
        python, hubconf, logs = map(Path, sys.argv[1:4])
        worker = Worker(python, name="test/host", repo_dir=hubconf, environ=scrubbed_environ(), logs=logs)
        try:
            worker.channel.call("load", None, ("take_until_it_ends", 1 << 20))
        except WorkerDied as error:
            print(error.returncode, error)
        worker.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), python, HUBCONFS / "hungry", tmp_path, group],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("-9 "), done.stdout + done.stderr
    assert "probably by the kernel's OOM killer" in done.stdout


def test_a_kill_that_was_not_for_want_of_memory_is_told_from_one_that_was(
    python: Path, tmp_path: Path
) -> None:
    with (
        start(python, "misbehaving", tmp_path) as remote,
        pytest.raises(WorkerDied, match=r"was ended by SIGKILL\n") as caught,
    ):
        remote.load("kill", signal.SIGKILL)
    assert "not the kernel for want of memory" in str(caught.value)


# ---- everything else


def test_every_worker_is_expendable_and_leaves_no_core(python: Path, tmp_path: Path) -> None:
    with start(python, "hungry", tmp_path) as remote:
        left = remote.load("left")
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert left["core"] == [0, 0]
    assert left["oom_score_adj"] == min(own + 500, 1000)
    assert set(left["nice"]) == {os.getpriority(os.PRIO_PROCESS, 0)}
    assert "OPENBLAS_NUM_THREADS" not in left["environ"]


@pytest.mark.parametrize("act", ["", "thread"], ids=["a fork", "alone"])
def test_all_threads_of_a_worker_give_way(python: Path, tmp_path: Path, act: str) -> None:
    environ = scrubbed_environ({"AT_IMPORT": act, "IMPORTS": str(tmp_path / "imports")})
    with start(python, "at_import", tmp_path, limits=Limits(nice=5), environ=environ) as remote:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        tasks = Path(f"/proc/{remote.worker.pid}/task").iterdir()
        assert {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in tasks} == {min(own + 5, 19)}


def test_limits_that_agree_in_the_environment_share_an_import(python: Path, tmp_path: Path) -> None:
    with (
        limited(python, tmp_path, Limits(memory=400 * MIB, nice=3)) as one,
        limited(python, tmp_path, Limits(memory=500 * MIB)) as other,
    ):
        assert one.load("left")["data"] == [400 * MIB] * 2
        assert other.load("left")["data"] == [500 * MIB] * 2
        assert "is a fork of process" in other.worker.log.read_text()


# ---- from a Hub


def test_a_hub_limits_its_workers(home: Path) -> None:
    with isohub.Hub(
        max_memory="500MiB", cpu_threads=2, nice=4, env={"MKL_NUM_THREADS": "1"}, timeout=60
    ) as hub:
        left = hub.load(HUBCONFS / "hungry", "left", source="local", trust_repo=True, verbose=False)
        with pytest.raises(MemoryError):
            hub.load(HUBCONFS / "hungry", "take", 600 * MIB, source="local", verbose=False)
    assert left["data"] == [500 * MIB] * 2
    assert set(left["nice"]) == {min(os.getpriority(os.PRIO_PROCESS, 0) + 4, 19)}
    given = left["environ"]
    assert (given["OMP_NUM_THREADS"], given["OPENBLAS_NUM_THREADS"]) == ("2", "2")
    assert given["MKL_NUM_THREADS"] == "1", "what is said of one library counts for that"
    with isohub.Hub(max_memory=MIB) as hub, pytest.raises(HubconfError, match="larger max_memory"):
        hub.load(HUBCONFS / "hungry", "left", source="local", verbose=False)


@pytest.mark.parametrize(
    "options",
    [
        {"max_memory": 0},
        {"max_memory": "much"},
        {"max_memory": True},
        {"max_memory": 1.5},
        {"cpu_threads": 0},
        {"cpu_threads": "all"},
        {"nice": -1},
        {"nice": 20},
        {"nice": True},
        {"idle_timeout": 0},
    ],
)
def test_what_limits_nothing_is_refused(home: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        isohub.Hub(**options)  # type: ignore[arg-type]
