"""``isohub env``: which environments there are, what one would hold and why, and removing them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from isohub.cli.asking import agreed
from isohub.cli.hub import open_hub, source_of, trust_of
from isohub.cli.output import age, note, show, show_json, show_table
from isohub.disk import DiskUse, disk_use, footprint, together
from isohub.errors import BuildError, ConfigError
from isohub.sizes import size_text

if TYPE_CHECKING:
    from isohub.envs.builder import Resolved
    from isohub.envs.store import BrokenEnvironment, Environment

__all__ = ["chosen_by", "explain", "list_environments", "remove"]


def list_environments(args: argparse.Namespace) -> int:
    """``isohub env list``: a table, the newest first; what is no environment comes last.

    Each has why it stays: because somebody uses it, or because nobody has removed it yet.
    """
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        found = hub.environments()
        home = hub.settings.home
    footprints = [footprint(item.path) for item in found]
    total = together(footprints)
    described = [
        {**_describe(item, together([taken])), **_used(item)}
        for item, taken in zip(found, footprints, strict=True)
    ]
    if args.json:
        show_json({"home": str(home), "environments": described, "size_bytes": total.size})
    elif not found:
        note(f"there are no environments in {home}", quiet=args.quiet)
    else:
        headers = (
            "key",
            "repository",
            "ref",
            "commit",
            "python",
            "torch",
            "age",
            "used",
            "size",
            "own",
            "kept",
        )
        show_table(headers, [_row(item) for item in described])
        note(
            f"together {size_text(total.size)}, each file counted once; {size_text(total.freed)} would be free without them",
            quiet=args.quiet,
        )
    return 0


def explain(args: argparse.Namespace) -> int:
    """``isohub env explain REPO``: each requirement, what it was resolved to, and who asked for it."""
    with open_hub(args) as hub:
        resolved = hub.explain(
            args.repo, source=source_of(args), trust_repo=trust_of(args), verbose=not args.quiet
        )
    explained = _explain(resolved)
    if args.json:
        show_json({"repo": args.repo, **explained})
    else:
        for line in _tree(explained):
            show(line)
    return 0


def remove(args: argparse.Namespace) -> int:
    """``isohub env remove KEY...``: remove them after asking."""
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        chosen = chosen_by(args.keys, hub.environments())
        freed = disk_use(*(item.path for item in chosen)).freed
        removed: list[dict[str, Any]] = [
            {"key": item.path.name, "path": str(item.path), **_sizes(disk_use(item.path))} for item in chosen
        ]
        failed: list[dict[str, str]] = []
        if not args.dry_run:
            count = "this environment" if len(chosen) == 1 else f"these {len(chosen)} environments"
            question = f"Remove {count} and free {size_text(freed)}?"
            if not args.yes and not agreed(
                [item.path.name for item in chosen], question, "nothing was removed"
            ):
                return 1
            for item in chosen:
                try:
                    hub.remove_environment(item)
                except BuildError as error:
                    failed.append({"key": item.path.name, "error": str(error)})
                    note(f"error: {item.path.name} was not removed: {error}")
    kept = {failure["key"] for failure in failed}
    removed = [described for described in removed if described["key"] not in kept]
    if args.json:
        show_json({"removed": removed, "failed": failed, "dry_run": args.dry_run})
    else:
        for described in removed:
            show(described["key"])
        what = "would free" if args.dry_run else "freed"
        size = size_text(sum(described["freed_bytes"] for described in removed))
        note(f"{what} {size}", quiet=args.quiet or not removed)
    return 1 if failed else 0


# ---- list


def _describe(item: Environment | BrokenEnvironment, use: DiskUse) -> dict[str, Any]:
    from isohub.envs.store import BrokenEnvironment

    described: dict[str, Any] = {"key": item.path.name, "path": str(item.path), **_sizes(use)}
    if isinstance(item, BrokenEnvironment):
        names = ("source", "repo", "ref", "commit", "python", "versions", "built")
        return {**described, **dict.fromkeys(names), "broken": item.reason}
    manifest = item.manifest
    return {
        **described,
        "source": manifest.source,
        "repo": manifest.repo,
        "ref": manifest.ref,
        "commit": manifest.commit,
        "python": manifest.python,
        "versions": manifest.versions,
        "built": datetime.fromtimestamp(manifest.built, timezone.utc).isoformat(timespec="seconds"),
        "broken": None,
    }


def _sizes(use: DiskUse) -> dict[str, int]:
    return {"size_bytes": use.size, "freed_bytes": use.freed}


def _used(item: Environment | BrokenEnvironment) -> dict[str, Any]:
    last = datetime.fromtimestamp(item.last_used, timezone.utc)
    return {"last_used": last.isoformat(timespec="seconds"), "held": item.occupied()}


def _row(item: dict[str, Any]) -> list[str]:
    sizes = [size_text(item["size_bytes"]), size_text(item["freed_bytes"])]
    used = age(time.time() - datetime.fromisoformat(item["last_used"]).timestamp())
    if item["broken"] is not None:
        state = item["held"] or f"broken: {item['broken']}"
        return [item["key"], "", "", "", "", "", "", used, *sizes, state]
    elapsed = time.time() - datetime.fromisoformat(item["built"]).timestamp()
    ref = (item["ref"] or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    versions = item["versions"]
    shown = [item["key"], item["repo"], ref, item["commit"][:12], item["python"], versions.get("torch") or ""]
    return [*shown, age(elapsed), used, *sizes, item["held"] or "until it is pruned"]


# ---- explain


def _explain(resolved: Resolved) -> dict[str, Any]:
    """One entry a distribution that somebody asked for, then those that came with them."""
    plan, lock = resolved.plan, resolved.lock
    asked = {item.name: None for item in plan.requirements}
    came_along = [item.name for item in lock.packages if item.name not in asked]
    entries = [
        {
            "name": name,
            "version": lock.version(name),
            "requirements": _lines_for(name, plan.requirements),
            "constraints": _lines_for(name, plan.constraints),
        }
        for name in (*asked, *came_along)
    ]
    known = {entry["name"] for entry in entries}
    return {
        "python": {
            "version": resolved.interpreter.version_text,
            "path": str(resolved.interpreter.path),
            "hints": [
                {"text": item.specifier, "origin": item.origin, "condition": item.strong}
                for item in plan.hints
            ],
        },
        "recipe": None if plan.recipe is None else str(plan.recipe.path),
        "packages": entries,
        "unused_constraints": [
            {"text": item.text, "origin": item.origin} for item in plan.constraints if item.name not in known
        ],
        "notes": list(plan.notes),
    }


def _lines_for(name: str, items: Iterable[Any]) -> list[dict[str, str]]:
    return [{"text": item.text, "origin": item.origin} for item in items if item.name == name]


def _tree(explained: dict[str, Any]) -> Iterable[str]:
    python = explained["python"]
    yield f"Python {python['version']} ({python['path']})"
    yield from (f"  {_asked(item)}{'' if item['condition'] else ' (a hint)'}" for item in python["hints"])
    if explained["recipe"]:
        yield f"recipe {explained['recipe']}"
    for entry in explained["packages"]:
        if entry["requirements"]:
            yield from _entry(entry)
    came_along = [entry for entry in explained["packages"] if not entry["requirements"]]
    if came_along:
        yield "required by these"
        for entry in came_along:
            yield from (f"  {line}" for line in _entry(entry))
    for title, lines in (
        ("bounds on what is not installed", [_asked(item) for item in explained["unused_constraints"]]),
        ("notes", explained["notes"]),
    ):
        if lines:
            yield title
            yield from (f"  {line}" for line in lines)


def _entry(entry: dict[str, Any]) -> Iterable[str]:
    yield f"{entry['name']} {entry['version'] or '(version not known before it is built)'}"
    yield from (f"  {_asked(item)}" for item in entry["requirements"])
    yield from (f"  {_asked(item)} (a bound)" for item in entry["constraints"])


def _asked(item: dict[str, str]) -> str:
    return f"{item['text']}  <-  {item['origin']}"


# ---- remove


def chosen_by(
    keys: Sequence[str], found: Sequence[Environment | BrokenEnvironment]
) -> list[Environment | BrokenEnvironment]:
    """The environments that the keys name, whole or by a beginning that only one has."""
    chosen = {}
    for key in keys:
        matching = [item for item in found if item.path.name == key] or [
            item for item in found if key and item.path.name.startswith(key)
        ]
        if not matching:
            raise ConfigError(f"there is no environment {key!r}", hint="isohub env list shows them")
        if len(matching) > 1:
            names = ", ".join(item.path.name for item in matching)
            raise ConfigError(f"{key!r} may be any of {names}", hint="write more of the key")
        chosen[matching[0].path] = matching[0]
    return [*chosen.values()]
