"""``sys.path`` edits, as far as they can be read: literals, and what files make of ``__file__``, ``os.path`` and ``pathlib``.

An expression is a text, or each of several where a loop goes through a list. Whatever is not known makes it none.
"""

from __future__ import annotations

import ast
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["PathReader"]

_EDITS = frozenset({"append", "insert", "extend", "addsitedir"})
_SAME = frozenset(
    {"abspath", "realpath", "normpath", "str", "fspath", "expanduser", "resolve", "absolute", "as_posix"}
)
_MOST_TEXTS = 50

_Texts = tuple[str, ...]


class PathReader:
    """The folders of a repository that are searched for modules; it learns more from each file that it is shown.

    Args:
        root: the repository. A folder outside it is of no interest.

    Attributes:
        folders: where to look, in order.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.folders: list[Path] = [root]

    def read(self, tree: ast.Module, path: Path) -> None:
        """Take in what the file at `path` does to ``sys.path``, and in which of its statements does not matter."""
        known = _Evaluation(str(path), str(self._root))
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    known.bind(name, known.texts(value))
                case ast.For(target=ast.Name(id=name), iter=ast.List(elts=items) | ast.Tuple(elts=items)):
                    known.bind(name, known.all_texts(items))
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(value=ast.Name(id="sys"), attr="path") | ast.Name(id="site"),
                        attr=edit,
                    ),
                    args=[*_, argument],
                ) if edit in _EDITS:
                    self._add(known.items(argument))
                case ast.AugAssign(target=ast.Attribute(value=ast.Name(id="sys"), attr="path"), value=value):
                    self._add(known.items(value))

    def _add(self, texts: Iterable[str]) -> None:
        for text in texts:
            # A relative path is meant from the root, where the hubconf stands. A text need not be a path at all.
            try:
                folder = (self._root / text).resolve()
                wanted = folder not in self.folders and folder.is_relative_to(self._root) and folder.is_dir()
            except (OSError, ValueError, RuntimeError):
                continue
            if wanted:
                self.folders.append(folder)


class _Evaluation:
    """What the expressions of one file come to. The names bound so far are known."""

    def __init__(self, file: str, root: str) -> None:
        self._file = file
        self._root = root
        self._names: dict[str, _Texts] = {}

    def bind(self, name: str, texts: _Texts) -> None:
        if texts:
            self._names[name] = texts

    def items(self, value: ast.expr) -> _Texts:
        return self.all_texts(value.elts if isinstance(value, ast.List | ast.Tuple) else [value])

    def all_texts(self, values: Iterable[ast.expr]) -> _Texts:
        return tuple(text for value in values for text in self.texts(value))

    def texts(self, value: ast.expr) -> _Texts:
        try:
            return self._texts(value)
        except RecursionError:  # a generated expression may be thousands of parts long
            return ()

    def _texts(self, value: ast.expr) -> _Texts:
        match value:
            case ast.Constant(value=str(text)):
                return (text,)
            case ast.Name(id="__file__"):
                return (self._file,)
            case ast.Name(id=name):
                return self._names.get(name, ())
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name(id="sys"), attr="path"), slice=ast.Constant(value=0)
            ):
                return (self._root,)  # where the hubconf was found
            case ast.Attribute(value=inner, attr="parent"):
                return tuple(map(os.path.dirname, self._texts(inner)))
            case ast.Subscript(
                value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(up))
            ):
                parents = (list(Path(text).parents) for text in self._texts(inner))
                return tuple(str(found[up]) for found in parents if up < len(found))
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._joined(os.path.join, [left, right])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined(_concatenated, [left, right])
            case ast.JoinedStr(values=values):
                inside = [item.value if isinstance(item, ast.FormattedValue) else item for item in values]
                return self._joined(_concatenated, inside)
            case ast.Call(func=ast.Attribute(value=inner, attr=name), args=arguments):
                return self._call(name, inner, arguments)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, None, arguments)
        return ()

    def _call(self, name: str, inner: ast.expr | None, arguments: list[ast.expr]) -> _Texts:
        if name in {"getcwd", "cwd"}:
            return (self._root,)
        if name in {"join", "Path"}:
            return self._joined(os.path.join, arguments)
        if name == "joinpath" and inner is not None:
            return self._joined(os.path.join, [inner, *arguments])
        if name == "dirname" and arguments:
            return tuple(map(os.path.dirname, self._texts(arguments[0])))
        if name in _SAME:
            return self._texts(arguments[0]) if arguments else self._texts(inner) if inner else ()
        return ()

    def _joined(self, join: Callable[..., str], values: list[ast.expr]) -> _Texts:
        parts = [self._texts(value) for value in values]
        if not parts:
            return ()
        return tuple(join(*chosen) for chosen in itertools.islice(itertools.product(*parts), _MOST_TEXTS))


def _concatenated(*texts: str) -> str:
    return "".join(texts)
