"""Repositories that the latest releases do not suit: what is tried, what is kept of it, and what is left behind."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.interpreters import Interpreter
from isohub.envs.pythons import found_pythons
from isohub.envs.store import EnvironmentRequest, EnvironmentStore
from isohub.errors import BuildError, PythonNotFound, RemoteError, ResolveError
from isohub.hub import Hub
from isohub.progress import Progress
from isohub.sources.tree import Tree
from tests.environments import DatedIndex, make_tree, make_wheel, one_of_each, provide
from tests.servers import FileServer

OLD = "def old(): return 1\n"
NEW = "def new(): return 1\n"
HUBCONF = "dependencies = ['isohubprobe']\nimport isohubprobe\nisohubprobe.old()\ndef f(): pass\n"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatedIndex]:
    """The index that is asked first, in addition to those of this machine, but not to its folders of wheels."""
    (tmp_path / "links").mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_INDEX_STRATEGY", "first-index")
    with DatedIndex() as server:
        monkeypatch.setenv("UV_INDEX", f"{server.url}/simple")
        yield server


def committed(tree: Tree, day: str) -> Tree:
    moment = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=timezone.utc)
    return replace(tree, date=int(moment.timestamp()))


def environments(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "envs-v1").iterdir() if path.is_dir()]


def test_releases_of_the_commit_s_time(
    settings: Settings, tmp_path: Path, index: DatedIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.0", source=OLD), "2021-06-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "2.0", source=NEW), "2023-01-01")
    tree = committed(make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}), "2021-06-10")
    store = EnvironmentStore(settings)
    environment = store.provide(tree, EnvironmentRequest(), Progress(True))
    assert environment.manifest.packages["isohubprobe"] == "1.0"
    shown = capsys.readouterr().err
    assert "module 'isohubprobe' has no attribute 'old'; trying Python" in shown
    assert "releases up to 2021-06-10" in shown
    # The worker's own distributions are of today, and so is what the user asks for.
    assert "has no attribute 'old'" in (environment.path / "build.log").read_text()
    assert environments(settings) == [environment.path]
    assert list((settings.home / "logs").iterdir()) == []
    explained = store.explain(tree, EnvironmentRequest(), Progress(False))
    assert explained.lock.version("isohubprobe") == "1.0"
    assert any("2021-06-10" in note for note in explained.plan.notes)
    # It is paid once: another commit with the same plan starts from what worked, and asks nobody.
    later = committed(make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF + "\n"}), "2021-07-10")
    index.files.clear()
    again = provide(settings, later)
    assert again.manifest.packages == environment.manifest.packages
    assert "trying" not in (again.path / "build.log").read_text()
    assert "pip compile" not in (again.path / "build.log").read_text()


def test_what_worked_once_and_does_no_more(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.0", source=OLD), "2021-06-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "2.0", source=NEW), "2023-01-01")
    provide(settings, committed(make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}), "2021-06-10"))
    modern = HUBCONF.replace("old", "new")
    tree = committed(make_tree(tmp_path / "repo", {"hubconf.py": modern}), "2023-06-10")
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "2.0"


def test_a_cut_that_is_too_sharp(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.0", source=OLD), "2021-06-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.1", source=OLD), "2021-07-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "2.0", source=NEW), "2023-01-01")
    hubconf = HUBCONF.replace("'isohubprobe'", "'isohubprobe>=1.1'", 1)
    tree = committed(make_tree(tmp_path / "repo", {"hubconf.py": hubconf}), "2021-06-10")
    assert provide(settings, tree).manifest.packages["isohubprobe"] == "1.1"


def test_what_the_user_asks_for_has_no_date(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.0", source=OLD), "2021-06-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "2.0", source=NEW), "2023-01-01")
    index.offer(make_wheel(tmp_path, "isohubother", "1.0"), "2025-01-01")
    tree = committed(make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}), "2021-06-10")
    environment = provide(settings, tree, EnvironmentRequest(requirements=("isohubother",)))
    assert environment.manifest.packages["isohubother"] == "1.0"
    assert environment.manifest.packages["isohubprobe"] == "1.0"


def test_a_distribution_that_forgot_what_it_needs(
    settings: Settings, tmp_path: Path, index: DatedIndex
) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", source="import six\n" + OLD))
    environment = provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}))
    added = next(item for item in environment.manifest.requirements if item.text == "six")
    assert added.origin == "without it: ModuleNotFoundError: No module named 'six'"
    assert environments(settings) == [environment.path]
    # Nobody asks for it when only the plan is drawn, but it is remembered.
    explained = EnvironmentStore(settings).explain(
        make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}), EnvironmentRequest(), Progress(False)
    )
    assert explained.lock.version("six") is not None


def test_a_failure_with_a_remedy(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    gone = "raise ImportError(\"No module named 'torchtext.legacy'\")\n"
    index.offer(make_wheel(tmp_path, "torchtext", "0.18.0", source=gone))
    index.offer(make_wheel(tmp_path, "torchtext", "0.11.0"))
    hubconf = "dependencies = ['torchtext']\nimport torchtext\ndef f(): pass\n"
    environment = provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": hubconf}))
    assert environment.manifest.packages["torchtext"] == "0.11.0"
    assert ("torchtext<0.12", "torchtext 0.12 dropped this module") in [
        (item.text, item.origin) for item in environment.manifest.constraints
    ]


def test_all_attempts_fail(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    index.offer(make_wheel(tmp_path, "isohubprobe", "1.0", source="raise ValueError('one')"), "2021-06-01")
    index.offer(make_wheel(tmp_path, "isohubprobe", "2.0", source="raise ValueError('two')"), "2023-01-01")
    tree = committed(make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}), "2021-06-10")
    with pytest.raises(BuildError) as caught:
        provide(settings, tree)
    assert "does not import: ValueError: two" in caught.value.message
    tail = caught.value.tail or ""
    assert tail.index("the latest releases: ValueError: two") < tail.index("2021-06-10: ValueError: one")
    assert caught.value.log is not None
    assert "ValueError: one" in caught.value.log.read_text()
    assert environments(settings) == []


def test_wheels_for_another_python_only(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    oldest = one_of_each(settings)[-1]
    tag = f"cp{oldest.version[0]}{oldest.version[1]}-none-any"
    index.offer(make_wheel(tmp_path, "isohubprobe", source=OLD, tag=tag))
    environment = provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}))
    assert environment.manifest.python == oldest.version_text


def test_no_python_here_has_wheels(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    minor = one_of_each(settings)[0].version[1] + 1
    index.offer(make_wheel(tmp_path, "isohubprobe", source=OLD, tag=f"cp3{minor}-cp3{minor}-any"))
    with pytest.raises(ResolveError) as caught:
        provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": HUBCONF}))
    assert f"uv python install 3.{minor}" in (caught.value.hint or "")
    # uv says which Python it would be, so no other one is tried.
    assert "tried:" not in str(caught.value)


def test_a_companion_decides_on_torch(settings: Settings, tmp_path: Path, index: DatedIndex) -> None:
    for version in ("2.11.0", "2.14.1"):
        index.offer(make_wheel(tmp_path, "torch", version, source=f"__version__ = '{version}'"))
    index.offer(make_wheel(tmp_path, "torchaudio", "2.11.0"))
    hubconf = "dependencies = ['torch', 'torchaudio']\ndef f(): pass\n"
    environment = provide(settings, make_tree(tmp_path / "repo", {"hubconf.py": hubconf}))
    assert environment.manifest.packages["torch"] == "2.11.0"
    assert ("torch==2.11.*", "torchaudio 2.11.0 was compiled for it") in [
        (item.text, item.origin) for item in environment.manifest.constraints
    ]
    # A pin of the user's holds, and the companion gives way as far as it can.
    index.offer(make_wheel(tmp_path, "torchaudio", "2.14.0"))
    pinned = EnvironmentRequest(constraints=("torch==2.11.0",))
    packages = provide(
        settings, make_tree(tmp_path / "repo", {"hubconf.py": hubconf}), pinned
    ).manifest.packages
    assert (packages["torch"], packages["torchaudio"]) == ("2.11.0", "2.11.0")


@pytest.fixture
def host_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has a torch of its own build."""
    info = tmp_path / "host" / "torch-2.5.1+cu121.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1+cu121\n")
    monkeypatch.syspath_prepend(str(info.parent))


@pytest.mark.parametrize(
    ("hubconf", "offered", "expected"),
    [
        ("dependencies = ['torch']\n", ("2.5.1", "2.9.0"), "2.5.1"),
        ("dependencies = ['torch>=2.6']\n", ("2.5.1", "2.9.0"), "2.9.0"),
        ("dependencies = ['torch']\n", ("2.9.0",), "2.9.0"),
    ],
)
def test_the_host_s_torch_is_preferred(
    settings: Settings,
    tmp_path: Path,
    index: DatedIndex,
    host_torch: None,
    hubconf: str,
    offered: tuple[str, ...],
    expected: str,
) -> None:
    for version in offered:
        index.offer(make_wheel(tmp_path, "torch", version, source=f"__version__ = '{version}'"))
    tree = make_tree(tmp_path / "repo", {"hubconf.py": hubconf + "def f(): pass\n"})
    assert provide(settings, tree).manifest.packages["torch"] == expected


def test_an_interpreter_that_the_repository_requires(settings: Settings, tmp_path: Path) -> None:
    other = next(
        item for item in reversed(found_pythons(settings)) if item.version[:2] <= sys.version_info[:2]
    )
    minor = ".".join(map(str, other.version[:2]))
    project = f"[project]\nname = 'x'\nversion = '1'\nrequires-python = '<={minor}.99'\n"
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "def f(): pass\n", "pyproject.toml": project})
    assert provide(settings, tree).manifest.python.startswith(f"{minor}.")


@pytest.fixture
def installable(
    settings: Settings, tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> Interpreter:
    """An interpreter of another version that only uv can get, from a server of builds."""
    other = next(item for item in one_of_each(settings) if item.version[:2] != sys.version_info[:2])
    for name in ("PYENV_ROOT", "CONDA_PREFIX", "CONDA_EXE", "MAMBA_ROOT_PREFIX", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    major, minor, patch = other.version
    program = f'#!/bin/sh\nexec {other.path} "$@"\n'.encode()
    build = io.BytesIO()
    with tarfile.open(fileobj=build, mode="w:gz") as archive:
        # uv looks at the last one, to put its own paths there.
        sysconfig = f"lib/python{major}.{minor}/_sysconfigdata__linux_x86_64-linux-gnu.py"
        for name in ("bin/python3", f"bin/python{major}.{minor}", sysconfig):
            content = (
                program
                if name.startswith("bin/")
                else b"# system configuration generated and used by the sysconfig module\nbuild_time_vars = {}\n"
            )
            member = tarfile.TarInfo(f"python/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    entry = {
        "name": "cpython",
        "arch": {"family": platform.machine().replace("arm64", "aarch64"), "variant": None},
        "os": "darwin" if sys.platform == "darwin" else "linux",
        "libc": "none" if sys.platform == "darwin" else "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": files.put("/python.tar.gz", build.getvalue()),
        "sha256": hashlib.sha256(build.getvalue()).hexdigest(),
        "variant": None,
        "build": "20260101",
    }
    url = files.put("/downloads.json", json.dumps({f"cpython-{other.version_text}-x": entry}).encode())
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", url)
    return other


def test_an_interpreter_that_uv_installs(
    settings: Settings, tmp_path: Path, installable: Interpreter
) -> None:
    minor = ".".join(map(str, installable.version[:2]))
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "def f(): pass\n"})
    with pytest.raises(PythonNotFound) as caught:
        provide(settings, tree, EnvironmentRequest(python=minor))
    assert f"uv python install {minor}, or let isohub do it" in (caught.value.hint or "")
    assert "looked at: PATH" in caught.value.message
    allowed = replace(settings, install_python=True)
    assert (
        provide(allowed, tree, EnvironmentRequest(python=minor)).manifest.python == installable.version_text
    )


def test_an_interpreter_that_uv_cannot_get(
    settings: Settings, tmp_path: Path, installable: Interpreter, files: FileServer
) -> None:
    del files.files["/python.tar.gz"]
    allowed = replace(settings, install_python=True)
    minor = ".".join(map(str, installable.version[:2]))
    with pytest.raises(PythonNotFound, match=f"uv cannot install Python {minor}"):
        provide(
            allowed,
            make_tree(tmp_path / "repo", {"hubconf.py": "def f(): pass\n"}),
            EnvironmentRequest(python=minor),
        )


INSTALLS = {
    "run": "subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '{name}'], check=True)",
    "captured": "subprocess.run([sys.executable, '-m', 'pip', 'install', '{name}'], check=True, capture_output=True)",
    "shell": "subprocess.check_call('pip install {name}', shell=True)",
    "system": "if os.system('pip3 install {name}'): raise RuntimeError('no')",
    "main": "import pip\nif pip.main(['install', '{name}']): raise RuntimeError('no')",
    "uv": "subprocess.run(['uv', 'pip', 'install', '--system', '{name}'], check=True)",
    "file": "subprocess.run(['pip', 'install', '-r', 'needs.txt'], check=True)",
}


@pytest.mark.parametrize("way", INSTALLS)
def test_a_hubconf_that_installs_what_it_needs(settings: Settings, tmp_path: Path, way: str) -> None:
    def tree(name: str) -> Tree:
        hubconf = f"import os, subprocess, sys\n{INSTALLS[way].format(name=name)}\ndef f(): pass\n"
        return make_tree(tmp_path / name, {"hubconf.py": hubconf, "needs.txt": f"# needed\n{name}\n"})

    with pytest.raises(BuildError) as caught:
        provide(settings, tree("isohub-unknown"))
    assert caught.value.hint == (
        "it asked pip to install isohub-unknown while it was imported: isohub.Hub(requirements=['isohub-unknown'])"
    )
    # What is well known is planned at once, and then it is there when it is asked for.
    assert "six" in provide(settings, tree("six")).manifest.packages


def test_an_entry_point_that_installs_what_it_needs(settings: Settings, tmp_path: Path) -> None:
    hubconf = (
        "import subprocess\n"
        "def f():\n    subprocess.run('pip install isohub-unknown', shell=True, check=True, capture_output=True)\n"
    )
    tree = make_tree(tmp_path / "repo", {"hubconf.py": hubconf})
    with Hub(home=settings.home) as hub, pytest.raises(RemoteError) as caught:
        hub.load(tree.path, "f", source="local")
    assert "isohub.Hub(requirements=['isohub-unknown'])" in (caught.value.hint or "")


def test_an_install_that_is_shrugged_off(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hubconf = "import os\nos.system('pip install isohub-unknown==1.0')\ndef f(): pass\n"
    tree = make_tree(tmp_path / "repo", {"hubconf.py": hubconf})
    EnvironmentStore(settings).provide(tree, EnvironmentRequest(), Progress(True))
    assert "isohub.Hub(requirements=['isohub-unknown==1.0'])" in capsys.readouterr().err


EXTENSION = """\
#include <Python.h>
#pragma message("this is the compiler speaking")
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", "", -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""
SETUP = (
    "from setuptools import Extension, setup\nsetup(name='x', ext_modules=[Extension('fast', ['fast.c'])])\n"
)
IN_PLACE = """\
dependencies = ["setuptools"]
import os, subprocess, sys
here = os.path.dirname(os.path.abspath(__file__))
try:
    import fast
except ImportError:
    subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=here, check=True)
    import fast
assert fast.answer() == 42
def f(): return fast.answer()
"""


def test_parts_are_compiled_in_the_environment_s_own_copy(settings: Settings, tmp_path: Path) -> None:
    files = {"hubconf.py": IN_PLACE, "fast.c": EXTENSION, "setup.py": SETUP}
    tree = make_tree(tmp_path / "repo", files)
    environment = provide(settings, tree)
    assert list(environment.repo_dir.glob("fast.*.so"))
    assert sorted(path.name for path in tree.path.iterdir()) == sorted(files)
    assert "this is the compiler speaking" in (environment.path / "build.log").read_text()


FULL = """
import resource, sys
from pathlib import Path
from isohub.envs.store import EnvironmentRequest, EnvironmentStore
from isohub.config import Settings
from isohub.errors import BuildError
from isohub.progress import Progress
from isohub.sources.tree import Pin, Tree
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
tree = Tree(Pin("github", "github.com/test/repo", None, "0" * 40), Path(sys.argv[2]))
try:
    EnvironmentStore(Settings(home=Path(sys.argv[1]))).provide(tree, EnvironmentRequest(), Progress(False))
except BuildError as error:
    print(error.step, error)
"""


@pytest.mark.parametrize("room", [100_000, 10])
def test_no_room(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    # No test can fill a disk for itself alone; a limit on the size of files fails in the same places.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['six']\ndef f(): pass\n"})
    command = [sys.executable, "-c", FULL, str(settings.home), str(tree.path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("write "), done.stdout + done.stderr
    assert "room" in done.stdout
    assert str(settings.home) in done.stdout
    assert not (settings.home / "envs-v1").exists() or environments(settings) == []
    assert environments_after(settings, tree) == "six"


def environments_after(settings: Settings, tree: Tree) -> str:
    """With room it builds."""
    return next(name for name in provide(settings, tree).manifest.packages if name == "six")
