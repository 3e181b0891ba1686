"""The import graph of a repository: from ``hubconf.py`` through every module of its own that it reaches. Nothing is run.

What a module imports while it is itself imported is *needed*. What it imports in a function, or where it is prepared for the
import to fail, is *optional*: the module works without. The functions of ``hubconf.py`` are the exception: they are the entry
points, and are there to be called.

Modules are looked for where Python would look: in the repository's root and in the folders that the files read so far put on
``sys.path``, as far as that can be seen without running them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isohub.errors import HubconfError
from isohub.hubconf.paths import PathReader
from isohub.hubconf.syntax import parse

__all__ = ["Import", "import_graph"]

_MODULE_LIMIT = 5000
_SIZE_LIMIT = 4 * 1024 * 1024
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True)
class Import:
    """A module that is not the repository's own, and the first place that imports it.

    Attributes:
        module: its dotted name.
        origin: file and line, such as ``models/detr.py:7``.
        needed: whether the hubconf cannot be imported, or an entry point not be called, without it.
    """

    module: str
    origin: str
    needed: bool


def import_graph(folder: Path) -> tuple[Import, ...]:
    """What the repository in `folder` imports that it does not have, each module once, the needed ones first.

    Raises:
        HubconfError: it has no hubconf, or that is not Python. Other files that are not are passed over: Python says
            more about them, should it ever come to them.
    """
    graph = _Graph(folder.resolve())
    graph.visit("hubconf", folder.resolve() / "hubconf.py", needed=True)
    graph.follow()
    found = graph.foreign.values()
    return (*(item for item in found if item.needed), *(item for item in found if not item.needed))


@dataclass(frozen=True)
class _Statement:
    """One import as it is written: ``import a.b`` is ("a.b", ()), ``from .a import b`` is (".a", ("b",))."""

    module: str
    names: tuple[str, ...]
    line: int
    needed: bool


class _Graph:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths = PathReader(root)
        self._visited: dict[Path, bool] = {}
        self._pending: list[tuple[str, Path, bool]] = []
        self.foreign: dict[str, Import] = {}

    def visit(self, name: str, path: Path, needed: bool) -> None:
        """Read `path` later on, unless it was read already, and was then as needed as now."""
        if self._visited.get(path, False) or (path in self._visited and not needed):
            return
        if len(self._visited) < _MODULE_LIMIT:
            self._visited[path] = needed
            self._pending.append((name, path, needed))

    def follow(self) -> None:
        while self._pending:
            name, path, needed = self._pending.pop(0)
            shown = path.relative_to(self._root).as_posix()
            tree = self._read(path, shown)
            if tree is None:
                continue
            self._paths.read(tree, path)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for statement in _statements(tree, entry_points=name == "hubconf"):
                self._import(statement, package, f"{shown}:{statement.line}", needed and statement.needed)

    def _read(self, path: Path, shown: str) -> ast.Module | None:
        try:
            with path.open("rb") as file:
                source = file.read(_SIZE_LIMIT + 1)
            if len(source) > _SIZE_LIMIT:
                return None
            return parse(source, shown)
        except (OSError, HubconfError):
            if shown == "hubconf.py":
                raise
            return None

    def _import(self, statement: _Statement, package: str, origin: str, needed: bool) -> None:
        module = _absolute(statement.module, package)
        if module is None or not self._follow_module(module, needed):
            if module is not None and not statement.module.startswith("."):
                self._note(module, origin, needed)
            return
        for name in statement.names:
            # `from package import name` imports a module of that name if there is one; if not, it is an attribute.
            self._follow_module(f"{module}.{name}", needed)

    def _follow_module(self, module: str, needed: bool) -> bool:
        """Visit `module` and the packages around it; False if the repository has nothing of its first name."""
        parts = module.split(".")
        for base in self._paths.folders:
            if not _has(base, parts[0]):
                continue
            folder = base
            for index, part in enumerate(parts):
                name = ".".join(parts[: index + 1])
                if (folder / part / "__init__.py").is_file():
                    self.visit(name, folder / part / "__init__.py", needed)
                elif (folder / f"{part}.py").is_file():
                    self.visit(name, folder / f"{part}.py", needed)
                folder = folder / part
            return True
        return False

    def _note(self, module: str, origin: str, needed: bool) -> None:
        known = self.foreign.get(module)
        if known is None or (needed and not known.needed):
            self.foreign[module] = Import(module, origin, needed)


def _has(base: Path, name: str) -> bool:
    if (base / f"{name}.py").is_file() or (base / name / "__init__.py").is_file():
        return True
    # A folder without an __init__ is a package too, but only if there is Python in it: "data" and "docs" are not.
    return (base / name).is_dir() and next((base / name).rglob("*.py"), None) is not None


def _absolute(module: str, package: str) -> str | None:
    """The dotted name that `module` means inside `package`; None if it leads out of it."""
    level = len(module) - len(module.lstrip("."))
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level - 1 > len(parts) or not parts:
        return module[level:] or None
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, *filter(None, module[level:].split("."))]) or None


def _statements(tree: ast.Module, *, entry_points: bool) -> Iterator[_Statement]:
    """The imports of a file with whether they have to succeed for the file to be of use.

    Args:
        entry_points: the functions of this file are there to be called.
    """
    pending: list[tuple[ast.AST, bool]] = [(node, True) for node in reversed(tree.body)]
    while pending:
        node, needed = pending.pop()
        yield from _written(node, needed)
        pending.extend(reversed(list(_children(node, needed, entry_points))))


def _children(node: ast.AST, needed: bool, entry_points: bool) -> Iterator[tuple[ast.AST, bool]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            for child in ast.iter_child_nodes(node):
                yield child, needed and entry_points
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            guarded = any(_catches_import_error(handler) for handler in handlers)
            for child in body:
                yield child, needed and not guarded
            for handler in handlers:
                for child in handler.body:
                    yield child, False
            for child in [*orelse, *finalbody]:
                yield child, needed
        case ast.If(test=test, body=body, orelse=orelse):
            never, doubtful = _is_never(test), _is_doubtful(test)
            for child in [] if never else body:
                yield child, needed and not doubtful
            for child in orelse:
                yield child, needed and not doubtful
        case _:
            for child in ast.iter_child_nodes(node):
                yield child, needed


def _written(node: ast.AST, needed: bool) -> Iterator[_Statement]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield _Statement(alias.name, (), node.lineno, needed)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield _Statement("." * level + (module or ""), tuple(a.name for a in names), node.lineno, needed)
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(module)), *_],
        ) if module.replace(".", "").isidentifier() and not module.startswith("."):
            yield _Statement(module, (), node.lineno, needed)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(item, ast.Name) and item.id in _IMPORT_ERRORS for item in types)


def _is_never(test: ast.expr) -> bool:
    """For type checkers only, or for running the file as a program."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Constant(value=value):
            return not value
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
            return True
    return False


def _is_doubtful(test: ast.expr) -> bool:
    """Whether what follows depends on the interpreter or the platform, which is not known here."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return bool(names & {"sys", "platform", "os"})
