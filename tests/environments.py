"""Small repositories, distributions and stores for tests of environments."""

from __future__ import annotations

import hashlib
import json
import zipfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from isohub.config import Settings
from isohub.envs.interpreters import Interpreter
from isohub.envs.pythons import found_pythons
from isohub.envs.store import Environment, EnvironmentRequest, EnvironmentStore
from isohub.progress import Progress
from isohub.sources.tree import Pin, Tree
from tests.servers import FileServer, Request, _Handler

__all__ = ["DatedIndex", "PackageIndex", "make_tree", "make_wheel", "one_of_each", "provide"]


class PackageIndex(FileServer):
    """Indexes of distributions, any number below one address.

    Args:
        user: who may see anything, as ``name:password``; None lets everybody in.
    """

    def __init__(self, *, user: str | None = None) -> None:
        super().__init__()
        self._user = user

    def offer(self, index: str, wheel: Path) -> str:
        """Offer a distribution in the index called `index`; the index's URL."""
        name, content = wheel.name.split("-")[0], wheel.read_bytes()
        page = f"/{index}/simple/{name}/"
        self.files[f"/{index}/files/{wheel.name}"] = content
        link = f'<a href="/{index}/files/{wheel.name}">{wheel.name}</a>\n'
        self.files[page] = self.files.get(page, b"<!DOCTYPE html>\n") + link.encode()
        address = self.url if self._user is None else self.url.replace("://", f"://{self._user}@")
        return f"{address}/{index}/simple"

    def answer(self, request: Request, handler: _Handler) -> None:
        """The file, or the page, or the demand to say who asks."""
        expected = None if self._user is None else f"Basic {b64encode(self._user.encode()).decode()}"
        if expected is not None and request.authorization != expected:
            return handler.reply(401, headers={"WWW-Authenticate": 'Basic realm="index"'})
        content = self.files.get(request.path)
        kind = "text/html" if request.path.endswith("/") else "application/octet-stream"
        return handler.reply(404 if content is None else 200, content or b"", {"Content-Type": kind})


class DatedIndex(FileServer):
    """An index that says when each file was uploaded, which only the JSON form of the protocol can."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[str, list[dict[str, object]]] = {}

    def offer(self, wheel: Path, uploaded: str = "2020-01-01") -> None:
        """Offer a distribution as if uploaded on that day."""
        name, content = wheel.name.split("-")[0].replace("_", "-"), wheel.read_bytes()
        url = self.put(f"/files/{wheel.name}", content)
        files = self._pages.setdefault(name, [])
        digest = hashlib.sha256(content).hexdigest()
        with zipfile.ZipFile(wheel) as archive:
            metadata = next(item for item in archive.namelist() if item.endswith(".dist-info/METADATA"))
            self.put(f"/files/{wheel.name}.metadata", archive.read(metadata))
        files.append(
            {
                "filename": wheel.name,
                "url": url,
                "hashes": {"sha256": digest},
                "upload-time": f"{uploaded}T12:00:00Z",
                "core-metadata": True,
            }
        )
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": []}
        self.put(f"/simple/{name}/", json.dumps(page).encode())

    def answer(self, request: Request, handler: _Handler) -> None:
        """The file or the page."""
        content = self.files.get(request.path)
        kind = (
            "application/vnd.pypi.simple.v1+json"
            if request.path.endswith("/")
            else "application/octet-stream"
        )
        handler.reply(404 if content is None else 200, content or b"", {"Content-Type": kind})


def make_tree(folder: Path, files: Mapping[str, str]) -> Tree:
    """A repository with these files; its commit is their hash."""
    digest = hashlib.sha1(usedforsecurity=False)
    for name, text in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest.update(f"{name}\0{text}\0".encode())
    return Tree(
        Pin("github", f"github.com/test/{folder.name}", "refs/heads/main", digest.hexdigest()), folder
    )


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    source: str = "",
    requires: Sequence[str] = (),
    tag: str = "py3-none-any",
) -> Path:
    """A distribution with one module of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", source or f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", "".join(metadata))
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def one_of_each(settings: Settings) -> list[Interpreter]:
    """The newest interpreter on this machine of each minor version."""
    newest: dict[tuple[int, ...], Interpreter] = {}
    for interpreter in found_pythons(settings):
        newest.setdefault(interpreter.version[:2], interpreter)
    return list(newest.values())


def provide(settings: Settings, tree: Tree, request: EnvironmentRequest | None = None) -> Environment:
    """The environment, built if need be, in silence."""
    return EnvironmentStore(settings).provide(tree, request or EnvironmentRequest(), Progress(False))
