"""The imports of one file, as they are written, and whether they have to succeed for the file to be of use."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

__all__ = ["ImportStatement", "import_statements"]

_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_EXITS = frozenset({"exit", "_exit", "quit"})
_PACKAGE = re.compile(r"(?P<package>\.*[^\W\d][\w.]*|)\.")


@dataclass(frozen=True)
class ImportStatement:
    """One import: ``import a.b`` is ("a.b", ()), ``from .a import b`` is (".a", ("b",)).

    Attributes:
        module: as it is written, dots in front included.
        names: what is taken from it, which may be modules in it.
        line: where it stands.
        needed: whether it has to succeed.
        computed: the program makes up the name; `module` is the package that all such names are in.
        bound: what is taken and the names that it has from then on, if the statement stands in no function.
    """

    module: str
    names: tuple[str, ...]
    line: int
    needed: bool
    computed: bool = False
    bound: tuple[tuple[str, str], ...] = ()


def import_statements(
    tree: ast.Module, *, calls: bool, is_entry_point: Callable[[str], bool]
) -> Iterator[ImportStatement]:
    """The imports of a file, in its order.

    Args:
        tree: of the file.
        calls: look for imports by call too, which may stand in any expression; most files have none, and are read sooner.
        is_entry_point: whether the function of a name is there to be called.
    """
    start = _Place(needed=True, called=False, top=True)
    pending: list[tuple[ast.AST, _Place]] = [(node, start) for node in reversed(tree.body)]
    while pending:
        node, place = pending.pop()
        yield from _written(node, place)
        children = list(_children(node, place, is_entry_point))
        pending.extend(item for item in reversed(children) if calls or not isinstance(item[0], ast.expr))


@dataclass(frozen=True)
class _Place:
    """Where a statement stands: whether it has to succeed, in a function that is called from outside, in no function."""

    needed: bool
    called: bool
    top: bool

    def where(self, needed: bool) -> _Place:
        return self if needed or not self.needed else replace(self, needed=False)

    def inside(self, called: bool) -> _Place:
        called = called or self.called
        return _Place(needed=self.needed and called, called=called, top=False)


def _children(
    node: ast.AST, place: _Place, is_entry_point: Callable[[str], bool]
) -> Iterator[tuple[ast.AST, _Place]]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            inside = place.inside(called=place.top and is_entry_point(name))
            for child in ast.iter_child_nodes(node):
                yield child, inside
        case ast.Lambda():
            for child in ast.iter_child_nodes(node):
                yield child, place.inside(called=False)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            guarded = any(_copes_without(handler) for handler in handlers)
            for child in body:
                yield child, place.where(not guarded)
            for handler in handlers:
                for child in handler.body:
                    yield child, place.where(False)
            for child in [*orelse, *finalbody]:
                yield child, place
        case ast.With(items=items, body=body):
            guarded = any(_suppresses(item.context_expr) for item in items)
            for child in body:
                yield child, place.where(not guarded)
        case ast.If(test=test, body=body, orelse=orelse):
            # What an entry point needs for some of its arguments, it needs; other conditions may never hold.
            certain = place.called and not _asks_the_machine(test)
            for child in [] if _is_never(test) else body:
                yield child, place.where(certain)
            for child in orelse:
                yield child, place.where(certain or _is_never(test))
        case _:
            for child in ast.iter_child_nodes(node):
                yield child, place


def _written(node: ast.AST, place: _Place) -> Iterator[ImportStatement]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield ImportStatement(alias.name, (), node.lineno, place.needed)
        case ast.ImportFrom(module=module, names=names, level=level):
            taken = tuple(alias.name for alias in names if alias.name != "*")
            bound = tuple((alias.name, alias.asname or alias.name) for alias in names) if place.top else ()
            yield ImportStatement("." * level + (module or ""), taken, node.lineno, place.needed, bound=bound)
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
            args=[argument, *_],
        ):
            match argument:
                case ast.Constant(value=str(module)):
                    if module.lstrip(".").replace(".", "").isidentifier():
                        yield ImportStatement(module, (), node.lineno, place.needed)
                case _ if (package := _package_of(argument)) is not None:
                    yield ImportStatement(package, (), node.lineno, needed=False, computed=True)


def _package_of(computed: ast.expr) -> str | None:
    """The package in ``"package." + name`` and in the other ways to write that."""
    match computed:
        case (
            ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add() | ast.Mod())
            | ast.BinOp(left=ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add()), op=ast.Add())
            | ast.JoinedStr(values=[ast.Constant(value=str(text)), *_])
            | ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"))
        ):
            match = _PACKAGE.match(text)
            return (match["package"] or ".") if match else None
    return None


def _copes_without(handler: ast.ExceptHandler) -> bool:
    """Whether a failed import ends here, and the program goes on."""
    match handler.body[-1]:
        case ast.Raise():
            return False
        case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))) if name in _EXITS:
            return False
    return handler.type is None or _names_import_error(handler.type)


def _suppresses(context: ast.expr) -> bool:
    match context:
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=arguments):
            return any(_names_import_error(argument) for argument in arguments)
    return False


def _names_import_error(value: ast.expr) -> bool:
    types = value.elts if isinstance(value, ast.Tuple) else [value]
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


def _asks_the_machine(test: ast.expr) -> bool:
    """Whether it depends on the interpreter or the platform, which is not known here."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return bool(names & {"sys", "platform", "os"})
