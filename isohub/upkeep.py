"""Keeping the disk in order: plans of what to remove, carried out; damage, found and mended."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from isohub import cache
from isohub.config import Settings
from isohub.disk import footprint
from isohub.envs.store import BrokenEnvironment, Environment, EnvironmentStore
from isohub.errors import BuildError, FetchError, IsohubError
from isohub.progress import Progress
from isohub.pruning import Candidate, PrunePlan, Verdict, as_bytes, as_seconds, decide
from isohub.sources import catalog
from isohub.sources.store import Store
from isohub.sources.tree import Pin, Tree

if TYPE_CHECKING:
    from isohub.envs.verify import Fault

__all__ = ["Damage", "Repair", "damages", "plan_cache", "plan_environments", "prune", "repair"]


@dataclass(frozen=True)
class Damage:
    """An environment or a fetched tree that is not what it was.

    Attributes:
        kind: "environment" or "tree".
        key: its name among those of its kind.
        path: its folder.
        faults: what is wrong, file by file.
    """

    kind: str
    key: str
    path: Path
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Repair:
    """What came of a repair.

    Attributes:
        damage: what was wrong.
        outcome: "rebuilt", "removed", or "whole" if another process was faster.
        reason: why it was not rebuilt; empty if it was.
    """

    damage: Damage
    outcome: str
    reason: str = ""


def plan_environments(
    settings: Settings, older_than: timedelta | float | None, max_size: int | None
) -> PrunePlan:
    """Which environments to remove.

    Raises:
        ConfigError: a limit is none.
    """
    age, size = as_seconds(older_than), as_bytes(max_size)
    found = [_candidate(item) for item in EnvironmentStore(settings).list()]
    return decide(found, older_than=age, max_size=size, now=time.time())


def plan_cache(settings: Settings, older_than: timedelta | float | None) -> PrunePlan:
    """What to remove of all that is no environment.

    Raises:
        ConfigError: the limit is none.
    """
    limit = as_seconds(older_than)
    found = cache.candidates(settings, EnvironmentStore(settings).list())
    return decide(found, older_than=limit, max_size=None, now=time.time())


def prune(plan: PrunePlan, settings: Settings) -> PrunePlan:
    """Carry out a plan. What came to be used since it was made stays.

    Returns:
        The plan, with what became of each.
    """
    store = EnvironmentStore(settings)
    there = {item.path: item for item in store.list()}
    return PrunePlan(
        tuple(
            _carried_out(verdict, there.get(verdict.path), store, settings)
            if verdict.fate == "remove"
            else verdict
            for verdict in plan.verdicts
        )
    )


def damages(settings: Settings, keys: Collection[str] | None, progress: Progress) -> Iterator[Damage]:
    """Look at all environments and trees, or at the environments with these keys.

    Raises:
        BuildError, FetchError: something cannot be read.
    """
    from isohub.envs.verify import Fault, faults_of

    if keys is None:
        for tree in Store(settings.home).trees():
            if tree.path.suffix == ".partial":
                continue  # of a fetch that is at work or was cut short; nobody takes it for a tree
            with progress.step(f"looking at the tree {tree.path.parent.name}"):
                whole = tree.is_whole()
            if not whole:
                fault = Fault("tree.json" if tree.pin is None else "tree", "changed or never finished")
                yield Damage("tree", f"{tree.path.parent.name}/{tree.path.name}", tree.path, (fault,))
    for item in EnvironmentStore(settings).list():
        if keys is not None and item.path.name not in keys:
            continue
        if isinstance(item, BrokenEnvironment) and item.occupied() is not None:
            continue  # it is being built
        with progress.step(f"looking at {item.path.name}"):
            try:
                faults = faults_of(item)
            except OSError as error:
                faults = (Fault("env", f"cannot be read: {error}"),)
            except BuildError:
                continue  # it is being removed
        if faults:
            yield Damage("environment", item.path.name, item.path, faults)


def repair(damage: Damage, settings: Settings, progress: Progress) -> Repair:
    """Build the environment anew from its own lock; what cannot be built so, and a tree, is removed, to be made when needed.

    Raises:
        IsohubError: it is in use, or cannot be built or removed.
    """
    if damage.kind == "tree":
        store = Store(settings.home)
        for tree in store.trees():
            if tree.path == damage.path:
                store.remove(tree)
        return Repair(damage, "removed", "it is fetched again when it is needed")
    environments = EnvironmentStore(settings)
    item = next((item for item in environments.list() if item.path == damage.path), None)
    if item is None:
        return Repair(damage, "removed", "another process removed it")
    from isohub.envs.repair import CannotRebuild, rebuild

    try:
        if isinstance(item, BrokenEnvironment):
            raise CannotRebuild(item.reason)
        built = rebuild(item, damage.faults, _tree(item, settings, progress), settings, progress)
    except CannotRebuild as reason:
        environments.remove(item)
        return Repair(damage, "removed", f"{reason}; the next load builds one")
    return Repair(damage, "rebuilt") if built else Repair(damage, "whole", "another process was faster")


def _tree(environment: Environment, settings: Settings, progress: Progress) -> Tree:
    """The content that it was built from."""
    from isohub.envs.repair import CannotRebuild

    manifest = environment.manifest
    pin = Pin(manifest.source, manifest.repo, manifest.ref, manifest.commit)
    if pin.source in ("local", "builtin"):
        try:
            now = catalog.resolve(pin.repo, source=pin.source, settings=settings, progress=progress)
        except IsohubError as error:
            raise CannotRebuild(error.message) from error
        if now.commit != pin.commit:
            raise CannotRebuild(f"{pin.repo} is not what it was built from any more")
    return catalog.fetch(pin, settings=settings, progress=Progress(False))


def _candidate(item: Environment | BrokenEnvironment) -> Candidate:
    return Candidate(
        "environment",
        item.path.name,
        item.path,
        footprint(item.path),
        item.last_used,
        held=item.occupied(),
        broken=item.reason if isinstance(item, BrokenEnvironment) else None,
    )


def _carried_out(
    verdict: Verdict,
    environment: Environment | BrokenEnvironment | None,
    store: EnvironmentStore,
    settings: Settings,
) -> Verdict:
    try:
        if verdict.kind != "environment":
            return replace(verdict, reason=cache.remove(verdict, settings))
        if environment is not None:
            store.remove(environment, unused_since=verdict.last_used)
    except (BuildError, FetchError) as error:
        in_use = isinstance(error, BuildError) and error.step == "lock"
        return replace(verdict, fate="keep" if in_use else "failed", reason=error.message)
    return verdict
