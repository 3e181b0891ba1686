"""What was fetched: trees by repository and commit, and which commit each ref was found at.

    trees-v1/<repository>/<commit>/tree        the content
    trees-v1/<repository>/<commit>/tree.json   the mark that it is whole, written last
    refs-v1/<repository>/<ref>.json            ref -> commit

A tree stands under its repository and not under its commit alone: a server could claim anything of a commit id, and must not be
believed on behalf of another. Nobody writes into a tree once it is there.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from isohub.disk import mark_used, used_at
from isohub.errors import FetchError
from isohub.sources.jsonfile import read_json, write_json
from isohub.sources.tree import Pin, Tree

__all__ = ["KeptTree", "Store", "repository_key"]

# Another process that fetches the same commit ends sooner: its own waits have deadlines, and its death frees the lock.
_LONGEST_FETCH = 3600.0


@dataclass(frozen=True)
class KeptTree:
    """A folder among the trees.

    Attributes:
        path: the folder.
        pin: what it is of; None if it is no whole tree.
        digest: of its content when it was fetched; None if that was not kept.
        last_used: when it was last found or fetched, in seconds since the epoch.
    """

    path: Path
    pin: Pin | None
    digest: str | None
    last_used: float

    def is_whole(self) -> bool:
        """Whether its content is what was fetched, as far as can be told.

        Raises:
            FetchError: it cannot be read.
        """
        from isohub.sources.digest import content_digest

        if self.pin is None or not (self.path / "tree").is_dir():
            return False
        return self.digest in (None, content_digest(self.path / "tree", ignore=False))


class Store:
    """The trees and refs under one home.

    Args:
        home: ``Settings.home``.
    """

    def __init__(self, home: Path) -> None:
        self._trees = home / "trees-v1"
        self._refs = home / "refs-v1"
        self._locks = home / "locks-v1"

    def recall(self, source: str, repo: str, name: str | None) -> Pin | None:
        """The pin that `name` had when it was last asked for."""
        record = read_json(self._ref_file(source, repo, name)) or {}
        found, ref, commit = record.get("repo"), record.get("ref"), record.get("commit")
        if isinstance(found, str) and isinstance(ref, str) and isinstance(commit, str):
            return Pin(source, found, ref, commit)
        return None

    def remember(self, pin: Pin, repo: str, names: Iterable[str | None]) -> None:
        """Keep `pin` as what these names of `repo` mean. A renamed repository is asked for by another name than the pin's."""
        for name in names:
            record = {"asked": [repo, name], "repo": pin.repo, "ref": pin.ref, "commit": pin.commit}
            write_json(self._ref_file(pin.source, repo, name), record)

    def known_names(self, source: str, repo: str) -> list[str]:
        """The refs of the repository that can be recalled; the default branch counts under its name."""
        folder = self._refs / repository_key(source, repo)
        records = [read_json(path) or {} for path in sorted(folder.glob("*.json"))]
        names = [name for record in records for name in record.get("asked", [])[1:]]
        return sorted(name for name in names if isinstance(name, str) and not name.startswith("refs/"))

    def find(self, pin: Pin) -> Tree | None:
        """The tree of the pin, if it is here and whole."""
        folder = self._tree_folder(pin)
        record = read_json(folder / "tree.json")
        if record is None or record.get("commit") != pin.commit or not (folder / "tree").is_dir():
            return None
        mark_used(folder / "tree.json")
        date = record.get("date")
        return Tree(pin, folder / "tree", date if isinstance(date, int) else None)

    def add(self, pin: Pin, write_archive: Callable[[Path], None], *, anew: bool = False) -> Tree:
        """Get the tree of the pin; of several processes at once one fetches and the others wait for it.

        Args:
            write_archive: writes the zip archive of the pin's commit to the path that it gets.
            anew: fetch it even if it is here. Who reads the old copy meanwhile loses it only if it differs from the new one.

        Raises:
            FetchError: there is no tree, or none but the one that was there before.
        """
        import filelock

        folder = self._tree_folder(pin)
        lock = self._lock(folder)
        partial = folder.with_name(f"{folder.name}.partial")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(lock, timeout=_LONGEST_FETCH):
                found = self.find(pin)
                if found is not None and not anew:
                    return found
                _remove(partial)  # of a process that was killed: the lock is ours, so nobody is at work there
                partial.mkdir(parents=True)
                try:
                    date = self._fill(partial, pin, write_archive)
                    if found is not None and _same(found.path, partial / "tree"):
                        return found
                    _remove(folder)
                    partial.rename(folder)
                finally:
                    _remove(partial)
                return Tree(pin, folder / "tree", date)
        except filelock.Timeout as error:
            raise FetchError(
                f"another process has been fetching {pin.repo} at {pin.commit[:7]} for too long",
                hint=f"find and end it; it holds {lock}",
            ) from error
        except OSError as error:
            raise FetchError(
                f"cannot keep {pin.repo} at {pin.commit[:7]} in {folder}: {error}",
                hint="ISOHUB_HOME names another folder for isohub's files",
            ) from error

    def trees(self) -> list[KeptTree]:
        """All of them, and what is left of fetches that were cut short."""
        found = []
        for path in sorted(item for item in self._trees.glob("*/*") if item.is_dir()):
            mark = path / "tree.json"
            record = read_json(mark) or {}
            texts = [record.get(name) for name in ("source", "repo", "commit")]
            whole = all(isinstance(text, str) for text in texts) and texts[2] == path.name
            pin = (
                Pin(record["source"], record["repo"], record.get("ref"), record["commit"]) if whole else None
            )
            digest = record.get("digest")
            found.append(
                KeptTree(
                    path, pin, digest if isinstance(digest, str) else None, used_at(mark) or used_at(path)
                )
            )
        return found

    def remove(self, tree: KeptTree) -> None:
        """Remove a tree that nobody is fetching.

        Raises:
            FetchError: somebody is, or it cannot be removed.
        """
        import filelock

        folder = tree.path.with_name(tree.path.name.removesuffix(".partial"))
        try:
            with filelock.FileLock(self._lock(folder), timeout=0):
                # The mark first, so that a removal that is cut short leaves no tree.
                (tree.path / "tree.json").unlink(missing_ok=True)
                _remove(tree.path)
        except filelock.Timeout as error:
            raise FetchError(
                f"another process is fetching {folder.name[:7]}", hint="try again when it is done"
            ) from error
        except OSError as error:
            raise FetchError(
                f"cannot remove {tree.path}: {error}", hint="its disk has to be writable for that"
            ) from error

    def _lock(self, folder: Path) -> Path:
        return self._locks / f"tree-{folder.parent.name}-{folder.name}.lock"

    def _fill(self, partial: Path, pin: Pin, write_archive: Callable[[Path], None]) -> int | None:
        from isohub.sources.archive import unpack
        from isohub.sources.digest import content_digest

        archive = partial / "archive.zip"
        write_archive(archive)
        date = unpack(archive, partial / "tree", commit=pin.commit)
        archive.unlink()
        record = {"source": pin.source, "repo": pin.repo, "ref": pin.ref, "commit": pin.commit, "date": date}
        digest = content_digest(partial / "tree", ignore=False)
        write_json(partial / "tree.json", {**record, "digest": digest})
        return date

    def _ref_file(self, source: str, repo: str, name: str | None) -> Path:
        # Refs may differ in case only, and hold what no file name may.
        stem = "HEAD" if name is None else hashlib.sha256(name.encode()).hexdigest()[:32]
        return self._refs / repository_key(source, repo) / f"{stem}.json"

    def _tree_folder(self, pin: Pin) -> Path:
        return self._trees / repository_key(pin.source, pin.repo) / pin.commit


def repository_key(source: str, repo: str) -> str:
    """A name for files about the repository: readable, and no other repository's."""
    last = re.split(r"[/:\\]", repo.rstrip("/"))[-1].removesuffix(".git")
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", last)[:40]
    return f"{readable}-{hashlib.sha256(f'{source} {repo}'.encode()).hexdigest()[:16]}"


def _same(one: Path, other: Path) -> bool:
    from isohub.sources.digest import content_digest

    return content_digest(one, ignore=False) == content_digest(other, ignore=False)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
