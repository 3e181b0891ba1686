"""``setup.cfg`` and ``setup.py``. The latter is a program, but it is only read: what running it would tell stays unknown."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass

from isohub.errors import HubconfError
from isohub.hubconf.pyproject import classified_pythons
from isohub.hubconf.requirements import Declarations, Strength, Unsupported, declare, declare_python
from isohub.hubconf.syntax import parse

__all__ = ["SetupFile", "parse_setup_cfg", "parse_setup_py"]

_LIST = "install_requires"
_FILE = re.compile(r"[\w./-]*require[\w./-]*\.txt")


@dataclass(frozen=True)
class SetupFile:
    """What one of the two says.

    Attributes:
        declarations: what it states itself.
        requirement_files: the files that it reads its requirements from.
    """

    declarations: Declarations
    requirement_files: tuple[str, ...] = ()


def parse_setup_cfg(text: str, shown: str = "setup.cfg") -> SetupFile:
    """Read a ``setup.cfg``.

    Raises:
        HubconfError: it is not one, or a line is not a requirement.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text, shown)
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        where = f"{shown}, line {line}" if line else shown
        raise HubconfError(f"{where}: cannot be read", tail=error.message) from error
    source = _Lines(text, shown)
    required = parser.get("options", _LIST, fallback="")
    if required.strip().startswith("file:"):
        found, files = [], tuple(_FILE.findall(required.partition(":")[2]))
    else:
        entries = (line.strip() for line in re.split(r"[\n]", required))
        found = [
            declare(entry, source.origin(entry, after=_LIST), Strength.PACKAGE)
            for entry in entries
            if entry and not entry.startswith("#")
        ]
        files = ()
    if python := parser.get("options", "python_requires", fallback=""):
        found.append(declare_python(python, source.origin("python_requires"), strong=True))
    tested = classified_pythons(parser.get("metadata", "classifiers", fallback="").splitlines())
    if tested:
        found.append(declare_python(tested, source.origin("classifiers"), strong=False))
    return SetupFile(Declarations.joined(found), files)


def parse_setup_py(source: bytes, shown: str = "setup.py") -> SetupFile:
    """Read a ``setup.py``. One that is not Python, or not this Python, says nothing."""
    try:
        tree = parse(source, shown)
    except HubconfError as error:
        return SetupFile(Declarations(unsupported=(Unsupported(shown, shown, error.message),)))
    reader = _SetupReader(tree, shown)
    found: list[Declarations] = []
    files: list[str] = []
    for value in reader.values_of(_LIST):
        for text, line in reader.texts(value):
            if _FILE.fullmatch(text):
                files.append(text)
            else:
                found.append(_declare_if_possible(text, f"{shown}:{line}"))
    for value in reader.values_of("python_requires"):
        for text, line in reader.texts(value):
            found.append(declare_python(text, f"{shown}:{line}", strong=True))
    for value in reader.values_of("classifiers"):
        texts = list(reader.texts(value))
        tested = classified_pythons([text for text, _ in texts])
        if tested:
            found.append(declare_python(tested, f"{shown}:{texts[0][1]}", strong=False))
    return SetupFile(Declarations.joined(found), tuple(dict.fromkeys(files)))


def _declare_if_possible(text: str, origin: str) -> Declarations:
    try:
        return declare(text.strip(), origin, Strength.PACKAGE)
    except HubconfError as error:
        return Declarations(unsupported=(Unsupported(text, origin, error.message.partition(": ")[2]),))


class _SetupReader:
    """Knows what the names of a file are bound to, anywhere in it: the last word is not looked for, all of them count."""

    def __init__(self, tree: ast.Module, shown: str) -> None:
        self._shown = shown
        self._tree = tree
        self._bound: dict[str, list[ast.AST]] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        if isinstance(target, ast.Name):
                            self._bound.setdefault(target.id, []).append(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._bound.setdefault(name, []).append(value)
                case ast.AugAssign(target=ast.Name(id=name), value=value):
                    self._bound.setdefault(name, []).append(value)
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend"), args=[value]
                ):
                    self._bound.setdefault(name, []).append(value)
                case ast.FunctionDef(name=name):
                    self._bound.setdefault(name, []).append(node)
                case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                    self._bound.setdefault(name, []).append(value)

    def values_of(self, key: str) -> Iterator[ast.expr]:
        """What is given for `key`: as an argument, or in a dictionary that may become arguments."""
        for node in ast.walk(self._tree):
            match node:
                case ast.keyword(arg=name, value=value) if name == key:
                    yield value
                case ast.Dict(keys=keys, values=values):
                    for word, value in zip(keys, values, strict=True):
                        if isinstance(word, ast.Constant) and word.value == key:
                            yield value
                case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=name))], value=value) if (
                    name == key
                ):
                    yield value

    def texts(self, value: ast.AST) -> Iterator[tuple[str, int]]:
        """The texts that `value` may hold, with their lines; of what is computed, the names of requirement files."""
        pending, seen, computed = [(value, False)], set[int](), False
        while pending:
            node, computed = pending.pop(0)
            if id(node) in seen:
                continue
            seen.add(id(node))
            match node:
                case ast.Constant(value=str(text)):
                    if not computed or _FILE.fullmatch(text):
                        yield text, node.lineno
                case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                    pending += [(element, computed) for element in elements]
                case ast.BinOp(op=ast.Add(), left=left, right=right):
                    pending += [(left, computed), (right, computed)]
                case ast.Starred(value=inner):
                    pending.append((inner, computed))
                case ast.IfExp(body=body, orelse=orelse):
                    pending += [(body, computed), (orelse, computed)]
                case ast.Name(id=name):
                    pending += [(bound, computed) for bound in self._bound.get(name, [])]
                case ast.Call(func=ast.Name(id="list" | "sorted" | "tuple" | "set"), args=[inner]):
                    pending.append((inner, computed))
                case _:
                    pending += [(child, True) for child in ast.iter_child_nodes(node)]


@dataclass(frozen=True)
class _Lines:
    text: str
    shown: str

    def origin(self, wanted: str, after: str = "") -> str:
        """File and line of the first line that has `wanted`, from the first that has `after` on."""
        lines = self.text.splitlines()
        start = next((number for number, line in enumerate(lines) if after in line), 0)
        found = next((number for number, line in enumerate(lines[start:], start + 1) if wanted in line), None)
        return f"{self.shown}:{found}" if found else self.shown
