"""Reads ``hubconf.py`` as a syntax tree. Nothing of it is ever run, and nothing in it can make reading fail but its syntax.

Module-level statements are followed in order, into every branch of ``if`` and ``try``, because a declaration may stand
anywhere. A name is known by the literals that were bound to it; what different branches bind is joined. What cannot be
read without running it is recorded with its line, never guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isohub.errors import HubconfError
from isohub.hubconf.syntax import parse

__all__ = ["Dependency", "Hubconf", "Unreadable", "read_hubconf", "scan"]

_SIZE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Dependency:
    """One entry of ``dependencies``: an import name, or a requirement as some hubconfs write it."""

    text: str
    line: int


@dataclass(frozen=True)
class Unreadable:
    """A part of ``dependencies`` that only running the file would tell."""

    source: str
    line: int


@dataclass(frozen=True)
class Hubconf:
    """What the file says without being run.

    Attributes:
        dependencies: the declared ones, in order, each text once.
        unreadable: the parts of the declaration that are not literals.
        entry_points: the names that are visible as callables; more may be made when the file runs.
    """

    dependencies: tuple[Dependency, ...]
    unreadable: tuple[Unreadable, ...]
    entry_points: tuple[str, ...]


_Items = tuple[Dependency | Unreadable, ...]


def read_hubconf(folder: Path, repo: str | None = None) -> Hubconf:
    """Read the ``hubconf.py`` of a repository.

    Args:
        folder: where its content lies.
        repo: what messages call it; the folder if not given.

    Raises:
        HubconfError: there is none, it is absurdly large, or it is not Python.
    """
    path = folder / "hubconf.py"
    repo = repo or str(folder)
    if not path.is_file():
        raise HubconfError(
            f"{repo} has no hubconf.py", hint="is it the right repository, and the right branch?"
        )
    try:
        with path.open("rb") as file:
            source = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise HubconfError(f"cannot read {path}: {error.strerror}") from error
    if len(source) > _SIZE_LIMIT:
        raise HubconfError(f"hubconf.py of {repo} is larger than {_SIZE_LIMIT // 1024**2} MiB")
    return scan(source, f"hubconf.py of {repo}")


def scan(source: bytes, filename: str = "hubconf.py") -> Hubconf:
    """Read the bytes of a hubconf; its coding line and byte order mark count.

    Raises:
        HubconfError: it is not Python; the message has the line and a caret under the fault.
    """
    tree = parse(source, filename)
    names: dict[str, _Items] = {}
    try:
        _Reader(source.splitlines()).block(tree.body, names)
    except RecursionError as error:
        raise HubconfError(f"{filename}: nested too deeply to be read") from error
    declared: dict[str, Dependency] = {}
    unreadable: dict[int, Unreadable] = {}
    for item in names.get("dependencies", ()):
        if isinstance(item, Dependency):
            declared.setdefault(item.text, item)
        else:
            unreadable.setdefault(item.line, item)
    return Hubconf(tuple(declared.values()), tuple(unreadable.values()), tuple(_entry_points(tree.body)))


class _Reader:
    """Follows statements and keeps, by name, the literals that are bound to it."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def block(self, body: Iterable[ast.stmt], names: dict[str, _Items]) -> None:
        for statement in body:
            self._statement(statement, names)

    def _statement(self, statement: ast.stmt, names: dict[str, _Items]) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, names)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(target, value, names)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                known = names.get(name, ())
                added = (
                    self._items(value, names)
                    if isinstance(statement.op, ast.Add | ast.BitOr)
                    else self._unread(value)
                )
                names[name] = _once(known + added)
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=arguments)
            ):
                if name in names:
                    names[name] = _once(names[name] + self._edited(method, arguments, statement, names))
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    names[alias.asname or alias.name] = self._unread(statement)
            case ast.If(body=body, orelse=orelse):
                self._branches([body, orelse], names)
            case ast.Match(cases=cases):
                self._branches([[], *(case.body for case in cases)], names)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                self.block(body, names)
                self._branches([orelse, *(handler.body for handler in handlers)], names)
                self.block(finalbody, names)
            case ast.For(body=body, orelse=orelse) | ast.While(body=body, orelse=orelse):
                self._branches([[], [*body, *orelse]], names)
            case ast.With(body=body):
                self.block(body, names)
            case _:
                pass

    def _branches(self, branches: list[list[ast.stmt]], names: dict[str, _Items]) -> None:
        joined: dict[str, _Items] = {}
        for body in branches:
            outcome = dict(names)
            self.block(body, outcome)
            for name, items in outcome.items():
                joined[name] = _once(joined.get(name, ()) + items)
        names.update(joined)

    def _bind(self, target: ast.expr, value: ast.expr, names: dict[str, _Items]) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = _once(self._items(value, names))
        elif isinstance(target, ast.Tuple | ast.List):
            for element in ast.walk(target):
                if isinstance(element, ast.Name):
                    names[element.id] = self._unread(value)

    def _edited(
        self, method: str, arguments: list[ast.expr], statement: ast.stmt, names: dict[str, _Items]
    ) -> _Items:
        if method in {"append", "add", "extend", "update", "insert"} and arguments:
            return self._items(arguments[-1], names)
        return () if method in {"sort", "reverse"} else self._unread(statement)

    def _items(self, value: ast.expr, names: dict[str, _Items]) -> _Items:
        match value:
            case ast.Constant(value=str(text)):
                return (Dependency(text.strip(), value.lineno),) if text.strip() else ()
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return tuple(item for element in elements for item in self._items(element, names))
            case ast.Starred(value=inner):
                return self._items(inner, names)
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.BinOp(op=ast.Add() | ast.BitOr()):
                return tuple(item for operand in _operands(value) for item in self._items(operand, names))
            case ast.IfExp(body=body, orelse=orelse):
                return self._items(body, names) + self._items(orelse, names)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "frozenset" | "sorted"), args=[]):
                return ()
            case ast.Call(
                func=ast.Name(id="list" | "tuple" | "set" | "frozenset" | "sorted"), args=[argument]
            ):
                return self._items(argument, names)
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="split"), args=[]):
                return tuple(Dependency(word, value.lineno) for word in text.split())
        return self._unread(value)

    def _unread(self, node: ast.expr | ast.stmt) -> _Items:
        line = self._lines[node.lineno - 1] if node.lineno <= len(self._lines) else b""
        return (Unreadable(line.decode("utf-8", "replace").strip()[:200], node.lineno),)


def _once(items: _Items) -> _Items:
    # Also what keeps a hostile `a = a + a`, many times over, from filling the memory.
    return tuple(dict.fromkeys(items))


def _operands(value: ast.expr) -> list[ast.expr]:
    """The parts of ``a + b + c``, without recursion: a generated sum may be thousands of parts long."""
    parts: list[ast.expr] = []
    while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.BitOr):
        parts.append(value.right)
        value = value.left
    return [value, *reversed(parts)]


def _entry_points(body: Iterable[ast.stmt]) -> Iterator[str]:
    seen: dict[str, None] = {}
    for statement in _module_level(body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                seen[name] = None
            case ast.ImportFrom(module=module, names=aliases) if module != "__future__":
                seen.update((alias.asname or alias.name, None) for alias in aliases)
            case ast.Assign(targets=[*targets], value=value) if _is_callable(value, seen):
                seen.update((target.id, None) for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_callable(
                value, seen
            ):
                seen[name] = None
    return (name for name in seen if not name.startswith("_") and name != "*")


def _module_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    pending = list(body)[::-1]
    while pending:
        statement = pending.pop()
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.ExceptHandler | ast.match_case):
                inner.extend(child.body)
        pending.extend(inner[::-1])


def _is_callable(value: ast.expr, known: Iterable[str]) -> bool:
    match value:
        case ast.Lambda():
            return True
        case ast.Name(id=name):
            return name in known
        case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial")):
            return True
    return False
