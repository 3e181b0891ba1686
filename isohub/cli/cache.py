"""``isohub cache``: the folders in which things are kept, and whether what is in them is what it was."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from isohub.cli.asking import agreed
from isohub.cli.env import chosen_by
from isohub.cli.output import note, show, show_json, show_table
from isohub.errors import IsohubError
from isohub.sizes import size_text

if TYPE_CHECKING:
    from isohub.hub import Hub
    from isohub.upkeep import Damage

__all__ = ["list_buckets", "verify"]

_MOST_FILES = 10


def list_buckets(args: argparse.Namespace) -> int:
    """``isohub cache list``: what each folder takes, and what it would free."""
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        found = hub.cache()
        home = hub.settings.home
    if args.json:
        described = [
            {
                "name": item.name,
                "path": str(item.path),
                "entries": item.entries,
                "size_bytes": item.disk.size,
                "freed_bytes": item.disk.freed,
                "note": item.note,
            }
            for item in found
        ]
        show_json({"home": str(home), "buckets": described})
    else:
        rows = [
            [
                item.name,
                str(item.entries),
                size_text(item.disk.size),
                size_text(item.disk.freed),
                str(item.path),
                item.note,
            ]
            for item in found
        ]
        show_table(("what", "entries", "size", "own", "folder", ""), rows)
    return 0


def verify(args: argparse.Namespace) -> int:
    """``isohub cache verify [KEY...]``: fails if something is damaged and was not mended."""
    from isohub.hub import Hub

    with Hub(home=args.home) as hub:
        chosen = chosen_by(args.keys, hub.environments()) if args.keys else None
        found = []
        for damage in hub.verify(chosen, verbose=not args.quiet):
            found.append(damage)
            if not args.json:
                _show(damage)
        done = [_described(damage) for damage in found]
        if found and _wanted(args, len(found)):
            done = [_mended(damage, hub, args) for damage in found]
    if args.json:
        show_json({"damaged": done, "dry_run": args.dry_run})
    elif not found:
        note("nothing is damaged", quiet=args.quiet)
    return 0 if all(item["outcome"] for item in done) else 1


def _wanted(args: argparse.Namespace, count: int) -> bool:
    """Whether to mend. To find damage is an answer as well, so nobody has to be there to be asked."""
    if args.yes or args.dry_run:
        return not args.dry_run
    if sys.stdin is None or not sys.stdin.isatty():
        note("error: nobody can be asked without a terminal, so nothing was mended\n  try: pass --yes")
        return False
    return agreed((), f"Mend {'this' if count == 1 else f'these {count}'}?", "nothing was mended")


def _mended(damage: Damage, hub: Hub, args: argparse.Namespace) -> dict[str, Any]:
    described = _described(damage)
    try:
        done = hub.repair(damage, verbose=not args.quiet)
    except IsohubError as error:
        note(f"error: {damage.key} was not mended: {error}")
        return {**described, "error": str(error)}
    note(f"{damage.key} was {done.outcome}{f': {done.reason}' if done.reason else ''}", quiet=args.quiet)
    return {**described, "outcome": done.outcome, "reason": done.reason or None}


def _show(damage: Damage) -> None:
    show(f"{damage.kind} {damage.key}")
    for fault in damage.faults[:_MOST_FILES]:
        whose = f" ({fault.distribution})" if fault.distribution else ""
        show(f"  {fault.path}: {fault.what}{whose}")
    if len(damage.faults) > _MOST_FILES:
        show(f"  and {len(damage.faults) - _MOST_FILES} more")


def _described(damage: Damage) -> dict[str, Any]:
    files = [
        {"path": fault.path, "what": fault.what, "distribution": fault.distribution}
        for fault in damage.faults
    ]
    about = {"kind": damage.kind, "key": damage.key, "path": str(damage.path), "files": files}
    return {**about, "outcome": None, "reason": None, "error": None}
