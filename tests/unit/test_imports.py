"""The architecture, as it can be read off the imports: which part stands on which, and what each module offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A part of the host's side is a package or a module right below `isohub`. It may import the parts in its row, and itself.
# "wire" stands for the modules of `isohub_worker` that both sides speak through, "worker" for where the package lies.
MAY_IMPORT = {
    "masking": "",
    "errors": "masking",
    "disk": "",
    "pruning": "disk errors",
    "progress": "masking",
    "shortening": "",
    "sizes": "",
    "strays": "",
    "config": "errors sizes",
    "environ": "config",
    "sandbox": "config errors",
    "web": "errors",
    "download": "errors progress web",
    "sources": "errors masking config disk progress web download",
    "hubconf": "errors",
    "envs": "errors masking config sandbox shortening disk progress environ sources hubconf strays worker",
    "rpc": "errors masking wire",
    "supervise": "errors sandbox shortening sizes strays rpc worker",
    "entry_points": "errors envs",
    "restarts": "errors rpc",
    "errands": "",
    "pool": "errors masking config sandbox environ envs restarts errands supervise weights",
    "cache": "errors config disk progress pruning sources envs",
    "upkeep": "errors config disk progress pruning sources envs cache",
    "hub": "errors config progress sources envs entry_points pool pruning cache upkeep",
    "default": "hub",
    "weights": "errors config download default",
    "cli": "errors masking config sandbox disk progress sizes pruning envs cache upkeep hub default",
}
# What the public names are gathered from, by whoever is above.
PUBLIC = {"isohub", "isohub.__init__"}
WIRE = frozenset(
    """
    arena codec dtypes faults forms images mapping messages packets records small_tensors specials tensor_reader
    tensor_writer tensors
    """.split()
)


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it is imported when the module that does so is."""

    name: str
    at_once: bool


@dataclass(frozen=True)
class Module:
    """A module, read without being imported."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    @cached_property
    def imports(self) -> list[Import]:
        return [*self._imports_in(self.tree, at_once=True)]

    def _imports_in(self, node: ast.AST, *, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, at_once) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                origin = self._origin(child)
                names = [f"{origin}.{alias.name}" for alias in child.names]
                yield from (Import(name if name in MODULES else origin, at_once) for name in names)
            else:
                deferred = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from self._imports_in(child, at_once=at_once and not deferred and not typing)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")[: -node.level]
        return ".".join([*package, *filter(None, [node.module])])

    @cached_property
    def all(self) -> list[str] | None:
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return list(ast.literal_eval(node.value))
        return None

    @property
    def defined(self) -> set[str]:
        """Names of functions and classes."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {node.name for node in self.tree.body if isinstance(node, kinds)}

    @property
    def bound(self) -> set[str]:
        """Names that the module has, one way or another."""
        names = set(self.defined)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names |= {alias.asname or alias.name for alias in node.names}
        return names


def _read(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*.py"):
        if "hubs" not in path.parts:  # those are repositories, which isohub loads and does not import
            parts = path.relative_to(folder.parent).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


PATHS = {**dict(_read(ROOT / "isohub")), **dict(_read(ROOT / "workers" / "isohub_worker"))}
MODULES = {name: Module(name, path) for name, path in sorted(PATHS.items())}
HOST = [module for name, module in MODULES.items() if name.startswith("isohub.")]
WORKER = [module for name, module in MODULES.items() if name.startswith("isohub_worker.")]
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


def part(name: str) -> str:
    """Which part of the host's side, or of the worker's, the module `name` belongs to; "" for somebody else's."""
    package, _, rest = name.partition(".")
    if package == "isohub":
        return rest.partition(".")[0] or "isohub"
    if package == "isohub_worker":
        return "worker" if not rest else "wire" if rest in WIRE else f"worker's {rest}"
    return ""


@pytest.mark.parametrize("module", HOST, ids=lambda module: module.name)
def test_the_host_imports_in_one_direction(module: Module) -> None:
    own = part(module.name)
    assert own in MAY_IMPORT, "a new part needs its place in the table"
    imported = {part(item.name) for item in module.imports} - {"", own}
    if own in ("pool", "cli"):
        imported -= {"isohub"}  # the package's own public names
    assert imported <= set(MAY_IMPORT[own].split())


def test_the_table_has_no_way_round() -> None:
    # All but one: what reads a checkpoint asks a worker of the default Hub, and that Hub asks where checkpoints are.
    rows = {name: set(row.split()) - {"wire", "worker"} for name, row in MAY_IMPORT.items()}
    rows["weights"].remove("default")
    settled: set[str] = set()
    while rows:
        free = {name for name, row in rows.items() if row <= settled}
        assert free, f"these import each other: {sorted(rows)}"
        settled |= free
        rows = {name: row for name, row in rows.items() if name not in free}


def test_no_module_is_imported_while_it_is_being_imported() -> None:
    waiting = {
        name: {item.name for item in module.imports if item.at_once and item.name in MODULES} - {name}
        for name, module in MODULES.items()
    }
    while waiting:
        free = {name for name, needed in waiting.items() if not needed & set(waiting)}
        assert free, f"these import each other: {sorted(waiting)}"
        waiting = {name: needed for name, needed in waiting.items() if name not in free}


@pytest.mark.parametrize("module", WORKER, ids=lambda module: module.name)
def test_the_worker_needs_nothing_but_the_standard_library_msgpack_and_zmq(module: Module) -> None:
    is_wire = part(module.name) == "wire"
    outside = {item.name.partition(".")[0] for item in module.imports if item.at_once} - {"isohub_worker"}
    assert outside - set(sys.stdlib_module_names) <= ({"msgpack"} if is_wire else {"msgpack", "zmq"})
    inside = {part(item.name) for item in module.imports if part(item.name)}
    assert "isohub" not in {item.name.partition(".")[0] for item in module.imports}
    if is_wire:
        assert inside <= {"wire"}


@pytest.mark.parametrize("module", WORKER, ids=lambda module: module.name)
def test_the_worker_imports_what_a_repository_brings_only_when_it_is_needed(module: Module) -> None:
    later = {item.name.partition(".")[0] for item in module.imports if not item.at_once}
    assert later - set(sys.stdlib_module_names) <= {"isohub_worker", "torch", "numpy"}


# ---- what a module offers


def _order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@every_module
def test_what_a_module_offers_is_said_once_sorted_and_is_there(module: Module) -> None:
    if module.all is None:
        assert {name for name in module.defined if not name.startswith("_")} <= (
            {"load_package"} if module.name.endswith("__main__") else set()
        )
        return
    assert module.all == sorted(set(module.all), key=_order)
    assert set(module.all) <= module.bound
    if module.name not in PUBLIC:
        assert {name for name in module.defined if not name.startswith("_")} <= set(module.all)


@every_module
def test_a_module_says_what_it_is_about(module: Module) -> None:
    assert ast.get_docstring(module.tree)


@every_module
def test_a_module_is_named_after_its_concept(module: Module) -> None:
    names = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
    assert not names & {name.lstrip("_") for name in module.name.split(".")}


def test_the_public_names_are_there() -> None:
    import isohub

    for name in isohub.__all__:
        assert getattr(isohub, name) is not None
    assert set(isohub.__all__) <= set(dir(isohub))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = isohub.nothing


# ---- what importing it costs


def _loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded for `statement`."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_isohub_costs_next_to_nothing() -> None:
    loaded = _loaded_by("import isohub")
    heavy = {"torch", "numpy", "rich", "httpx", "zmq", "msgpack", "asyncio", "subprocess", "concurrent"}
    assert not heavy & loaded
    assert len(loaded) < 40, sorted(loaded)


@pytest.mark.parametrize("name", ["IsohubError", "get_dir", "Hub", "list", "load"])
def test_a_public_name_loads_no_more_than_it_needs(name: str) -> None:
    loaded = _loaded_by(f"from isohub import {name}")
    assert not {"torch", "numpy", "rich", "httpx", "zmq", "virtualenv"} & loaded


def test_a_connection_needs_no_numpy() -> None:
    loaded = _loaded_by("import isohub.supervise.worker")
    assert not {"torch", "numpy", "PIL", "rich", "httpx", "isohub.envs", "isohub.sources"} & loaded
