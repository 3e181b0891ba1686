"""``isohub env prune`` and ``isohub cache prune``: what goes and what stays, each with the reason."""

from __future__ import annotations

import argparse
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from isohub.cli.asking import agreed
from isohub.cli.output import age, note, show_json, show_table
from isohub.sizes import size_text

if TYPE_CHECKING:
    from isohub.hub import Hub
    from isohub.pruning import PrunePlan, Verdict

__all__ = ["prune_cache", "prune_environments"]


def prune_environments(args: argparse.Namespace) -> int:
    """``isohub env prune``: environments that no worker uses."""
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        plan = hub.plan_prune(older_than=args.older_than, max_size=args.max_size)
        return _prune(plan, hub, args)


def prune_cache(args: argparse.Namespace) -> int:
    """``isohub cache prune``: fetched trees and resolutions that no environment needs, and what uv no longer needs."""
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        return _prune(hub.plan_cache_prune(older_than=args.older_than), hub, args)


def _prune(plan: PrunePlan, hub: Hub, args: argparse.Namespace) -> int:
    if plan.removed and not args.dry_run:
        lines = [f"{item.key}: {item.reason}" for item in plan.removed]
        question = (
            f"Remove {'this' if len(lines) == 1 else f'these {len(lines)}'} and free {size_text(plan.freed)}?"
        )
        if not args.yes and not agreed(lines, question, "nothing was removed"):
            return 1
        plan = hub.prune(plan)
    if args.json:
        show_json(_as_json(plan, dry_run=args.dry_run))
    elif plan.verdicts:
        words = {"remove": "would remove" if args.dry_run else "removed", "keep": "kept", "failed": "failed"}
        rows = [
            [words[item.fate], item.kind, item.key, *_figures(item), item.reason] for item in plan.verdicts
        ]
        show_table(("", "kind", "key", "used", "size", "own", "because"), rows)
    for item in plan.failed:
        note(f"error: {item.key} was not removed: {item.reason}")
    _sum_up(plan, args)
    return 1 if plan.failed else 0


def _sum_up(plan: PrunePlan, args: argparse.Namespace) -> None:
    if not plan.removed:
        note("there is nothing to remove" if not plan.failed else "nothing was removed", quiet=args.quiet)
        return
    note(f"{'would free' if args.dry_run else 'freed'} {size_text(plan.freed)}", quiet=args.quiet)
    shared = sum(item.disk.shared for item in plan.removed)
    if shared:
        note(
            f"up to {size_text(shared)} more {'is' if args.dry_run else 'was'} shared with uv's cache or other environments, "
            "and stays there",
            quiet=args.quiet,
        )


def _figures(item: Verdict) -> list[str]:
    used = age(time.time() - item.last_used) if item.last_used else ""
    return (
        [used, size_text(item.disk.size), size_text(item.disk.freed)] if item.kind != "uv" else ["", "", ""]
    )


def _as_json(plan: PrunePlan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "removed": [_described(item) for item in plan.removed],
        "kept": [_described(item) for item in plan.kept],
        "failed": [_described(item) for item in plan.failed],
        "size_bytes": plan.disk.size,
        "freed_bytes": plan.freed,
        "dry_run": dry_run,
    }


def _described(item: Verdict) -> dict[str, Any]:
    last = datetime.fromtimestamp(item.last_used, timezone.utc).isoformat(timespec="seconds")
    return {
        "kind": item.kind,
        "key": item.key,
        "path": str(item.path),
        "size_bytes": item.disk.size,
        "freed_bytes": item.disk.freed,
        "last_used": last if item.last_used else None,
        "reason": item.reason,
    }
