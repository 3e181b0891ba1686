"""The import graph of a repository: from ``hubconf.py`` through every module of its own that it reaches. Nothing is run.

What a module imports while it is itself imported is *needed*. What it imports in a function, under a condition, or where it is
prepared for the import to fail, is *optional*: the module works without. The functions of ``hubconf.py`` are the exception,
wherever it has them from: they are the entry points, and are there to be called.

Modules are looked for where Python would look: in the repository's root and in the folders that the files put on ``sys.path``, as
far as that can be seen without running them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from isohub.errors import HubconfError
from isohub.hubconf.import_statements import ImportStatement, import_statements
from isohub.hubconf.paths import PathReader
from isohub.hubconf.syntax import parse

__all__ = ["Import", "import_graph"]

_MODULE_LIMIT = 5000
_SIZE_LIMIT = 4 * 1024 * 1024


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
    graph.follow()
    found = graph.foreign()
    return (*(item for item in found if item.needed), *(item for item in found if not item.needed))


@dataclass(frozen=True)
class _Visit:
    """Why a module is read: because it has to be imported, or may be; and for which functions, "*" being all of them."""

    needed: bool
    entry_points: frozenset[str] = frozenset()

    def __or__(self, other: _Visit) -> _Visit:
        return _Visit(self.needed or other.needed, self.entry_points | other.entry_points)

    def has(self, name: str) -> bool:
        return name in self.entry_points or "*" in self.entry_points

    def passed_on(self, bound: tuple[tuple[str, str], ...]) -> frozenset[str]:
        """What the module that these names are taken from has of the functions."""
        taken = frozenset(name for name, new in bound if name != "*" and self.has(new))
        return taken | (self.entry_points if ("*", "*") in bound else frozenset())


@dataclass(frozen=True)
class _Unresolved:
    """An import of what is not, or not yet, known to be the repository's own."""

    module: str
    names: tuple[str, ...]
    origin: str
    visit: _Visit


class _Graph:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths = PathReader(root)
        self._visited: dict[Path, _Visit] = {}
        self._pending: list[tuple[str, Path]] = []
        self._unresolved: list[_Unresolved] = []
        self._visit("hubconf", root / "hubconf.py", _Visit(needed=True, entry_points=frozenset({"*"})))

    def follow(self) -> None:
        """Read every module that is reached, and look again for the others whenever a folder was added to the path."""
        known = 0
        while self._pending:
            self._read_pending()
            if len(self._paths.folders) > known:
                known = len(self._paths.folders)
                self._unresolved = [
                    item for item in self._unresolved if not self._find(item.module, item.names, item.visit)
                ]

    def foreign(self) -> list[Import]:
        """What was not found, each module once, by the first place that needs it."""
        found: dict[str, Import] = {}
        for item in self._unresolved:
            known = found.get(item.module)
            if known is None or (item.visit.needed and not known.needed):
                found[item.module] = Import(item.module, item.origin, item.visit.needed)
        return list(found.values())

    def _visit(self, name: str, path: Path, visit: _Visit) -> None:
        """Read `path` later on, unless it was read for all of these reasons already."""
        before = self._visited.get(path)
        after = visit if before is None else before | visit
        if after != before and len(self._visited) < _MODULE_LIMIT:
            self._visited[path] = after
            self._pending.append((name, path))

    def _read_pending(self) -> None:
        # The list grows while it is gone through.
        for name, path in self._pending:
            visit = self._visited[path]
            shown = path.relative_to(self._root).as_posix()
            source = self._source(path, shown)
            tree = self._tree(source, shown)
            if tree is None:
                continue
            if b"sys" in source:
                self._paths.read(tree, path)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            calls = b"import_module" in source or b"__import__" in source
            for statement in import_statements(tree, calls=calls, is_entry_point=visit.has):
                reason = _Visit(visit.needed and statement.needed, visit.passed_on(statement.bound))
                self._import(statement, package, f"{shown}:{statement.line}", reason)
        self._pending.clear()

    def _source(self, path: Path, shown: str) -> bytes:
        try:
            if not path.resolve().is_relative_to(self._root):
                return b""
            with path.open("rb") as file:
                source = file.read(_SIZE_LIMIT + 1)
        except OSError as error:
            if shown == "hubconf.py":
                raise HubconfError(f"cannot read {shown}: {error.strerror}") from error
            return b""
        return source if len(source) <= _SIZE_LIMIT else b""

    def _tree(self, source: bytes, shown: str) -> ast.Module | None:
        try:
            return parse(source, shown)
        except HubconfError:
            if shown == "hubconf.py":
                raise
            return None

    def _import(self, statement: ImportStatement, package: str, origin: str, visit: _Visit) -> None:
        module = _absolute(statement.module, package)
        if module is None:
            return
        names = self._modules_in(module) if statement.computed else statement.names
        found = self._find(module, names, visit)
        if not found and not statement.computed and not statement.module.startswith("."):
            self._unresolved.append(_Unresolved(module, names, origin, visit))

    def _find(self, module: str, names: tuple[str, ...], visit: _Visit) -> bool:
        """Visit `module`, the packages around it, and those of `names` that are modules in it; False if it is not there."""
        parts = module.split(".")
        for base in self._paths.folders:
            if _is_module(base / parts[0]) or any(_is_there(base, parts, name) for name in names or ("",)):
                self._visit_all(base, parts, visit)
                for name in names:
                    # `from package import name` imports a module of that name if there is one; if not, it is an attribute.
                    self._visit_all(base, [*parts, name], _Visit(visit.needed))
                return True
        return False

    def _visit_all(self, base: Path, parts: list[str], visit: _Visit) -> None:
        folder = base
        for index, part in enumerate(parts, 1):
            # The packages around a module are imported too, but nothing is taken from them.
            reason = visit if index == len(parts) else _Visit(visit.needed)
            name = ".".join(parts[:index])
            if (folder / part / "__init__.py").is_file():
                self._visit(name, folder / part / "__init__.py", reason)
            elif (folder / f"{part}.py").is_file():
                self._visit(name, folder / f"{part}.py", reason)
            folder = folder / part

    def _modules_in(self, package: str) -> tuple[str, ...]:
        """What a name that is only known when the program runs may mean."""
        for base in self._paths.folders:
            folder = base.joinpath(*package.split("."))
            if folder.is_dir():
                inside = (path for path in folder.iterdir() if path.stem != "__init__")
                found = (path.stem for path in inside if path.suffix == ".py" or _is_module(path))
                return tuple(sorted(name for name in found if name.isidentifier()))
        return ()


def _is_module(path: Path) -> bool:
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()


def _is_there(base: Path, parts: list[str], name: str) -> bool:
    """Whether folders without an __init__ lead to a module: they are packages too, but only for what lies in them.

    A folder "datasets" of scripts does not stand in the way of a distribution of that name.
    """
    path = base.joinpath(*parts)
    if len(parts) > 1 and _is_module(path):
        return True
    return bool(name) and path.is_dir() and _is_module(path / name)


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
