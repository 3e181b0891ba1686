"""What isohub keeps besides environments: fetched trees, resolutions, and uv's cache; what of it is needed, and what is damaged.

    needed is a tree that an environment was built from, since finding the environment begins with it
    needed is a resolution that an environment holds, or that leads to one
    all else can be fetched or resolved again; what was used within a day stays, since somebody may be building from it

Lock files are empty and stay: others may be waiting for them. What the user agreed to, and what a ref meant, is small and stays.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isohub.config import Settings
from isohub.disk import DiskUse, Footprint, disk_use, footprint, used_at
from isohub.envs.store import BrokenEnvironment, Environment
from isohub.errors import BuildError
from isohub.pruning import Candidate, Verdict
from isohub.sources.jsonfile import read_json
from isohub.sources.store import Store

__all__ = ["Bucket", "buckets", "candidates", "remove", "uv_cache"]

_DAY = 86400.0
_PRUNE_LIMIT = 600.0
_RECENT = "used within a day, so somebody may be building from it"
_BUCKETS = (
    ("environments", "envs-v1", "isohub env list|prune|remove"),
    ("trees", "trees-v1", "repositories by commit; isohub cache prune"),
    ("resolutions", "locks-v1", "what requirements were resolved to; isohub cache prune"),
    ("refs", "refs-v1", "which commit each name meant"),
    ("trust", "trust-v1", "what you agreed to"),
    ("logs", "logs", "of workers for a week, and of failed builds"),
    ("tools", "tools-v1", "what is remembered about this machine"),
)


@dataclass(frozen=True)
class Bucket:
    """One of the folders in which isohub keeps things.

    Attributes:
        name: what is in it.
        path: where it is.
        entries: how many there are.
        disk: what they take.
        note: what it is good for, and what removes it.
    """

    name: str
    path: Path
    entries: int
    disk: DiskUse
    note: str


def buckets(settings: Settings) -> tuple[Bucket, ...]:
    """All of them, uv's cache last."""
    found = [_bucket(name, settings.home / folder, note) for name, folder, note in _BUCKETS]
    if (uv := uv_cache(settings)) is not None:
        found.append(
            _bucket("uv's cache", uv, "distributions, which environments link to; isohub cache prune")
        )
    return tuple(found)


def candidates(
    settings: Settings, environments: Sequence[Environment | BrokenEnvironment]
) -> Iterator[Candidate]:
    """What may be removed, and what of it has to stay."""
    built = [item for item in environments if isinstance(item, Environment)]
    yield from _trees(settings, built)
    yield from _resolutions(settings, built)
    yield from _requests(settings)
    if (uv := uv_cache(settings)) is not None:
        unused = "uv removes what nothing in its cache refers to"
        yield Candidate("uv", "uv's cache", uv, Footprint(), 0.0, unused=unused, broken=unused)


def remove(verdict: Verdict, settings: Settings) -> str:
    """Remove one of them.

    Returns:
        Why it went, or what came of it.

    Raises:
        FetchError, BuildError: somebody is at work on it, or it cannot be removed.
    """
    if verdict.kind == "tree":
        store = Store(settings.home)
        for tree in store.trees():
            if tree.path == verdict.path:
                store.remove(tree)
    elif verdict.kind == "lock":
        _remove_resolution(verdict.path)
    elif verdict.kind == "requests":
        for path in _dangling(settings):
            path.unlink(missing_ok=True)
    elif verdict.kind == "uv":
        return _prune_uv(settings)
    return verdict.reason


def uv_cache(settings: Settings) -> Path | None:
    """Where uv keeps distributions; None if it does not say."""
    from isohub.envs.buildlog import BuildLog
    from isohub.envs.uv import load_uv

    log = BuildLog(settings.home / "logs" / "uv-cache-dir.log")
    try:
        answer = load_uv(settings).run(["cache", "dir"], log=log, limit=30.0, looking=False)
        log.discard()
    except (BuildError, OSError):
        return None
    return Path(answer.output.strip()) if answer.returncode == 0 and answer.output.strip() else None


def _bucket(name: str, path: Path, note: str) -> Bucket:
    try:
        if name == "trees":
            entries = len([*path.glob("*/*")])
        else:
            entries = len([item for item in path.iterdir() if item.suffix not in (".lock", ".users")])
    except OSError:
        return Bucket(name, path, 0, DiskUse(0, 0), note)
    return Bucket(name, path, entries, disk_use(path), note)


def _trees(settings: Settings, built: Iterable[Environment]) -> Iterator[Candidate]:
    needed = {(item.manifest.source, item.manifest.repo, item.manifest.commit) for item in built}
    for tree in Store(settings.home).trees():
        pin = tree.pin
        held = None
        if pin is not None and (pin.source, pin.repo, pin.commit) in needed:
            held = "an environment was built from it"
        elif _is_recent(tree.last_used):
            held = _RECENT
        yield Candidate(
            "tree",
            f"{pin.repo}@{pin.commit[:12]}" if pin else f"{tree.path.parent.name}/{tree.path.name}",
            tree.path,
            footprint(tree.path),
            tree.last_used,
            held=held,
            broken=None if pin else "never finished",
            unused="no environment was built from it",
        )


def _resolutions(settings: Settings, built: Iterable[Environment]) -> Iterator[Candidate]:
    needed = {_digest(item.path / "pylock.toml") for item in built} - {None}
    for path in sorted(item for item in (settings.home / "locks-v1").glob("*") if item.is_dir()):
        if path.name == "requests":
            continue
        last_used = max((used_at(item) for item in (path, *path.iterdir())), default=0.0)
        fit = (read_json(path / "fit.json") or {}).get("lock")
        held = None
        if _digest(path / "pylock.toml") in needed:
            held = "an environment holds it"
        elif fit is not None and fit in needed:
            held = "it leads to what an environment holds"
        elif _is_recent(last_used):
            held = _RECENT
        yield Candidate(
            "lock", path.name, path, footprint(path), last_used, held=held, unused="no environment holds it"
        )


def _requests(settings: Settings) -> Iterator[Candidate]:
    gone = [*_dangling(settings)]
    if gone:
        count = f"{len(gone)} answer{'s' if len(gone) > 1 else ''}"
        alone = sum(footprint(path).alone for path in gone)
        last_used = max(map(used_at, gone))
        why = "the environment is gone" if len(gone) == 1 else "the environments are gone"
        folder = settings.home / "locks-v1" / "requests"
        yield Candidate("requests", count, folder, Footprint(alone), last_used, broken=why)


def _dangling(settings: Settings) -> Iterator[Path]:
    """What was remembered of environments that are no more."""
    for path in sorted((settings.home / "locks-v1" / "requests").glob("*.json")):
        key = (read_json(path) or {}).get("environment")
        if not isinstance(key, str) or not (settings.home / "envs-v1" / key / "manifest.json").exists():
            yield path


def _remove_resolution(path: Path) -> None:
    from isohub.envs.folderlocks import at_work
    from isohub.progress import Step

    try:
        with at_work(path.with_name(f"{path.name}.lock"), Step(), 0.0):
            (path / "pylock.toml").unlink(missing_ok=True)
            shutil.rmtree(path)
    except OSError as error:
        raise BuildError(
            f"cannot remove {path}: {error}", step="remove", hint="its disk has to be writable for that"
        ) from error


def _prune_uv(settings: Settings) -> str:
    from isohub.envs.buildlog import BuildLog
    from isohub.envs.uv import load_uv

    log = BuildLog(settings.home / "logs" / "uv-cache-prune.log")
    answer = load_uv(settings).run(["cache", "prune"], log=log, limit=_PRUNE_LIMIT, looking=False)
    if answer.returncode != 0:
        raise BuildError(
            "uv cannot prune its cache",
            step="uv",
            tail=answer.output.strip(),
            log=log.path,
            hint="uv cache prune",
        )
    log.discard()
    said = [line for line in answer.output.splitlines() if line.startswith(("Removed", "No unused"))]
    return f"uv says: {said[0]}" if said else "uv removed what nothing in its cache refers to"


def _is_recent(used: float) -> bool:
    return time.time() - used < _DAY


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
