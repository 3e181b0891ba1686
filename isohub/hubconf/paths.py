"""``sys.path`` edits, as far as they can be read: literals, and what files make of ``__file__`` and ``os.path``."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["PathReader"]

_EDITS = frozenset({"append", "insert", "extend"})


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
        names: dict[str, Path] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    folder = self._path(value, path, names)
                    if folder is not None:
                        names[name] = folder
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="path"), attr=edit),
                    args=[*_, argument],
                ) if edit in _EDITS:
                    self._add(argument, path, names)
                case ast.AugAssign(target=ast.Attribute(value=ast.Name(id="sys"), attr="path"), value=value):
                    self._add(value, path, names)

    def _add(self, value: ast.expr, path: Path, names: dict[str, Path]) -> None:
        values = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        for item in values:
            folder = self._path(item, path, names)
            if folder is None or folder in self.folders:
                continue
            if folder.is_dir() and folder.is_relative_to(self._root):
                self.folders.append(folder)

    def _path(self, value: ast.expr, path: Path, names: dict[str, Path]) -> Path | None:
        """The path that `value` comes to; a relative one is meant from the root, where the hubconf stands."""
        match value:
            case ast.Constant(value=str(text)):
                return (self._root / text).resolve()
            case ast.Name(id="__file__"):
                return path
            case ast.Name(id=name):
                return names.get(name)
            case ast.Attribute(value=inner, attr="parent"):
                found = self._path(inner, path, names)
                return found and found.parent
            case ast.Subscript(
                value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(up))
            ):
                found = self._path(inner, path, names)
                return found and [found, *found.parents][min(up + 1, len(found.parents))]
            case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=str(text))):
                found = self._path(left, path, names)
                return found and (found / text).resolve()
            case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=str(text))):
                found = self._path(left, path, names)
                return found and (found / text.lstrip("/")).resolve()
            case ast.Call(func=func, args=arguments):
                return self._call(func, arguments, path, names)
        return None

    def _call(
        self, func: ast.expr, arguments: list[ast.expr], path: Path, names: dict[str, Path]
    ) -> Path | None:
        called = (
            func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        )
        if called == "getcwd" or called == "cwd":
            return self._root
        if called in {"resolve", "absolute", "as_posix"} and isinstance(func, ast.Attribute):
            return self._path(func.value, path, names)
        if not arguments:
            return None
        first = self._path(arguments[0], path, names)
        if first is None:
            return None
        if called == "dirname":
            return first.parent
        if called == "join":
            rest = [item.value for item in arguments[1:] if isinstance(item, ast.Constant)]
            texts = [text for text in rest if isinstance(text, str)]
            return first.joinpath(*texts).resolve() if len(texts) == len(arguments) - 1 else None
        return first if called in {"abspath", "realpath", "normpath", "str", "Path", "fspath"} else None
