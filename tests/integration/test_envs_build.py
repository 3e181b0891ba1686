"""Environments that work: what is in them, and that they are built once and found at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.store import BrokenEnvironment, Environment, EnvironmentRequest, EnvironmentStore
from isohub.errors import BuildError
from isohub.progress import Progress
from isohub.sources.tree import Pin, Tree
from tests.environments import make_tree, one_of_each, provide

HUBCONF = """\
dependencies = ["numpy", "six", "dataclasses"]
import functools
import os
import sys
import numpy
from models import Net

def net(scale=1.0):
    \"\"\"A net.\"\"\"
    return Net(scale)

def _hidden():
    pass

globals()["net.with.dots"] = functools.partial(net, 2.0)
"""
MODELS = "class Net:\n    def __init__(self, scale):\n        self.scale = scale\n"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    files = {"hubconf.py": HUBCONF, "models.py": MODELS, "requirements.txt": "numpy<1.25\npytest==1.0\n"}
    return make_tree(tmp_path / "repo", files)


def ask(environment: Environment, expression: str) -> object:
    """Evaluate an expression in the environment's interpreter."""
    code = f"import json, sys; print(json.dumps({expression}))"
    done = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_what_a_built_environment_has(settings: Settings, tree: Tree) -> None:
    environment = provide(settings, tree)
    manifest = environment.manifest
    assert [(entry.name, entry.signature, entry.doc) for entry in environment.entry_points][:2] == [
        ("Net", "(scale)", None),
        ("net", "(scale=1.0)", "A net."),
    ]
    assert [entry.name for entry in environment.entry_points] == ["Net", "net", "net.with.dots"]
    # The requirement file bounds what is required, and adds nothing that nobody imports.
    assert sorted(manifest.packages) == ["msgpack", "numpy", "pyzmq", "six"]
    assert manifest.packages["numpy"].startswith("1.24.")
    assert manifest.versions["numpy"] == manifest.packages["numpy"]
    assert manifest.versions["torch"] is None
    assert [(item.text, item.origin) for item in manifest.requirements] == [
        ("numpy", "hubconf.py:1"),
        ("six", "hubconf.py:1"),
        ("numpy", "hubconf.py:5"),
        ("msgpack>=1.0.5", "isohub's worker"),
        ("pyzmq>=22.3", "isohub's worker"),
    ]
    assert ("numpy<1.25", "requirements.txt:1") in [(item.text, item.origin) for item in manifest.constraints]
    assert (manifest.repo, manifest.ref, manifest.commit) == (tree.pin.repo, tree.pin.ref, tree.pin.commit)
    assert ask(environment, "__import__('numpy').__version__") == manifest.packages["numpy"]
    paths = ask(environment, "sys.path")
    assert isinstance(paths, list)
    assert all(path.startswith(str(environment.path)) for path in paths if "site-packages" in path)
    # No setuptools: nothing that nobody asked for.
    assert ask(environment, "__import__('importlib.util').util.find_spec('setuptools') is None") is True
    # The working copy is a copy, and the tree stays as it was.
    assert (environment.repo_dir / "models.py").read_text() == MODELS
    assert sorted(path.name for path in tree.path.iterdir()) == [
        "hubconf.py",
        "models.py",
        "requirements.txt",
    ]
    log = (environment.path / "build.log").read_text()
    assert "pip compile" in log
    assert "describe" in log
    assert list((settings.home / "logs").iterdir()) == []


def test_every_python_that_is_here(settings: Settings, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "dependencies = ['six']\nimport six\ndef f(): pass\n"})
    interpreters = one_of_each(settings)
    for interpreter in interpreters:
        environment = provide(settings, tree, EnvironmentRequest(python=interpreter.version_text))
        assert environment.manifest.python == interpreter.version_text
        assert ask(environment, "list(sys.version_info[:3])") == list(interpreter.version)
        assert [entry.name for entry in environment.entry_points] == ["f"]
    assert len(EnvironmentStore(settings).list()) == len(interpreters)


@pytest.fixture
def processes() -> Iterator[list[str]]:
    """The processes that this one starts."""
    started: list[str] = []
    active = True

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "socket.connect"}:
            started.append(event)

    sys.addaudithook(audit)
    yield started
    active = False


def test_a_built_one_is_found_at_once(settings: Settings, tree: Tree, processes: list[str]) -> None:
    built = provide(settings, tree)
    assert processes
    processes.clear()
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert provide(settings, tree) == built
        times.append(time.perf_counter() - started)
    assert processes == []
    assert sorted(times)[10] < 0.01


def test_finding_imports_nothing_slow(settings: Settings, tree: Tree) -> None:
    built = provide(settings, tree)
    code = f"""
import sys
from pathlib import Path
from isohub.config import Settings
from isohub.envs.store import EnvironmentRequest, EnvironmentStore
from isohub.sources.tree import Pin, Tree
found = EnvironmentStore(Settings(home=Path({str(settings.home)!r}))).find(
    Tree(Pin(*{[tree.pin.source, tree.pin.repo, tree.pin.ref, tree.pin.commit]!r}), Path("/nowhere")), EnvironmentRequest()
)
assert str(found.path) == {str(built.path)!r}
slow = {{"packaging", "filelock", "virtualenv", "uv", "httpx", "rich", "platformdirs", "numpy", "tomllib", "subprocess"}}
print(sorted(slow & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_order_of_requirements_does_not_matter(settings: Settings, tree: Tree) -> None:
    one = provide(settings, tree, EnvironmentRequest(None, ("attrs", "idna"), ("attrs<30", "idna<30")))
    other = provide(settings, tree, EnvironmentRequest(None, ("idna", "attrs"), ("idna<30", "attrs<30")))
    assert one == other
    assert {"attrs", "idna"} <= set(one.manifest.packages)
    # A requirement that is gone is gone.
    assert "attrs" not in provide(settings, tree).manifest.packages


def test_the_host_s_python_by_two_names_is_one_environment(settings: Settings, tree: Tree) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert provide(settings, tree, EnvironmentRequest(python=sys.executable)) == provide(settings, tree)
    assert provide(Settings(home=settings.home, python=sys.executable), tree) == provide(settings, tree)
    assert provide(settings, tree).manifest.python == version


def test_a_new_commit_keeps_the_versions_and_asks_nobody(
    settings: Settings, tree: Tree, tmp_path: Path
) -> None:
    first = provide(settings, tree)
    files = {
        "hubconf.py": HUBCONF + "\ndef more(): pass\n",
        "models.py": MODELS,
        "requirements.txt": "numpy<1.25\npytest==1.0\n",
    }
    changed = make_tree(tmp_path / "changed", files)
    changed = Tree(Pin("github", tree.pin.repo, "refs/heads/dev", changed.pin.commit), changed.path)
    second = provide(Settings(home=settings.home, offline=True), changed)
    assert second.path != first.path
    assert second.manifest.packages == first.manifest.packages
    assert "pip compile" not in (second.path / "build.log").read_text()


def test_an_explanation_builds_nothing(settings: Settings, tree: Tree) -> None:
    store = EnvironmentStore(settings)
    resolved = store.explain(tree, EnvironmentRequest(), Progress(False))
    assert (resolved.lock.version("numpy") or "").startswith("1.24.")
    assert resolved.plan.requirements[0].origin == "hubconf.py:1"
    assert store.list() == []
    assert list((settings.home / "logs").iterdir()) == []


TEN = """
import sys
from pathlib import Path
from isohub.config import Settings
from isohub.sources.tree import Pin, Tree
from tests.environments import provide
home, folder, commit = sys.argv[1:]
tree = Tree(Pin("github", "github.com/test/repo", None, commit), Path(folder))
sys.stdin.read()
print(provide(Settings(home=Path(home)), tree).path)
"""


def test_ten_processes_build_it_once(settings: Settings, tree: Tree) -> None:
    command = [sys.executable, "-c", TEN, str(settings.home), str(tree.path), tree.pin.commit]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)
        for _ in range(10)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    outputs = {process.communicate(timeout=240)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 10
    assert len(outputs) == 1
    path = Path(outputs.pop().strip())
    assert (path / "build.log").read_text().count(" pip sync ") == 1
    assert list((settings.home / "logs").iterdir()) == []
    assert [item.path for item in EnvironmentStore(settings).list()] == [path]


def test_threads_build_side_by_side(settings: Settings, tmp_path: Path) -> None:
    trees = [
        make_tree(
            tmp_path / f"repo{number}", {"hubconf.py": f"dependencies = ['six']\ndef f{number}(): pass\n"}
        )
        for number in range(3)
    ]
    built: dict[str, Environment] = {}

    def build(tree: Tree) -> None:
        built[tree.path.name] = provide(settings, tree)

    threads = [threading.Thread(target=build, args=(tree,)) for tree in trees * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert {name: built[name].entry_points[0].name for name in sorted(built)} == {
        f"repo{number}": f"f{number}" for number in range(3)
    }


def test_what_is_in_use_is_not_removed(settings: Settings, tree: Tree) -> None:
    store = EnvironmentStore(settings)
    environment = provide(settings, tree)
    with environment.hold(), environment.hold(), pytest.raises(BuildError, match="is in use"):
        store.remove(environment)
    assert provide(settings, tree) == environment
    store.remove(environment)
    assert not environment.path.exists()
    assert store.find(tree, EnvironmentRequest()) is None
    with pytest.raises(BuildError, match="was removed since it was found"):
        environment.hold()
    assert provide(settings, tree).path == environment.path


def test_read_only_content_can_be_copied_and_removed(settings: Settings, tmp_path: Path) -> None:
    tree = make_tree(
        tmp_path / "repo", {"hubconf.py": "def f(): pass\n", "data/x.txt": "x", "run.sh": "#!/bin/sh\n"}
    )
    (tree.path / "link.txt").symlink_to("data/x.txt")
    (tree.path / "run.sh").chmod(0o555)
    (tree.path / "data/x.txt").chmod(0o444)
    (tree.path / "data").chmod(0o555)
    environment = provide(settings, tree)
    assert (environment.repo_dir / "link.txt").readlink() == Path("data/x.txt")
    assert os.access(environment.repo_dir / "run.sh", os.X_OK)
    (environment.repo_dir / "data/built.so").write_text("")
    (environment.repo_dir / "data").chmod(0o555)
    EnvironmentStore(settings).remove(environment)
    assert not environment.path.exists()
    (tree.path / "data").chmod(0o755)


def test_a_checkout_is_copied_without_what_tools_put_there(settings: Settings, tmp_path: Path) -> None:
    files = {
        "hubconf.py": "def f(): pass\n",
        ".git/config": "",
        "venv/pyvenv.cfg": "",
        "a/__pycache__/x.pyc": "",
        "a/b": "",
    }
    made = make_tree(tmp_path / "repo", files)
    local = Tree(Pin("local", str(made.path), None, made.pin.commit), made.path)
    copied = provide(settings, local).repo_dir
    assert sorted(
        str(path.relative_to(copied))
        for path in copied.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ) == ["a/b", "hubconf.py"]
    # What was fetched is taken as it is.
    copied = provide(settings, made).repo_dir
    assert (copied / "venv/pyvenv.cfg").exists()


def test_a_list_of_all(settings: Settings, tree: Tree) -> None:
    store = EnvironmentStore(settings)
    assert store.list() == []
    environment = provide(settings, tree)
    (settings.home / "envs-v1" / "leftover").mkdir()
    assert store.list() == [
        environment,
        BrokenEnvironment(
            settings.home / "envs-v1/leftover", f"{settings.home}/envs-v1/leftover was never finished"
        ),
    ]
    store.remove(store.list()[1])
    assert store.list() == [environment]


def test_another_build_of_torch_is_another_request(settings: Settings, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "repo", {"hubconf.py": "def f(): pass\n"})
    provide(settings, tree)
    store = EnvironmentStore(settings)
    assert store.find(tree, EnvironmentRequest()) is not None
    assert store.find(tree, EnvironmentRequest(torch_backend="cpu")) is None
