"""``isohub list`` and ``isohub help``: what a repository offers."""

from __future__ import annotations

import argparse
import inspect
import sys

from isohub.cli.hub import environment_of, open_hub, source_of, trust_of
from isohub.cli.output import note, show, show_json, show_table

__all__ = ["show_entry_points", "show_help"]


def show_entry_points(args: argparse.Namespace) -> int:
    """``isohub list REPO``: names, one a line; a table with signatures on a terminal."""
    with open_hub(args) as hub:
        environment = environment_of(hub, args)
    entries, manifest = environment.entry_points, environment.manifest
    if args.json:
        show_json(
            {
                "repo": manifest.repo,
                "commit": manifest.commit,
                "environment": manifest.key,
                "entry_points": [
                    {"name": entry.name, "signature": entry.signature, "doc": entry.doc} for entry in entries
                ],
            }
        )
    elif not entries:
        note(f"{manifest.repo} has no entry points", quiet=args.quiet)
    elif sys.stdout.isatty():
        rows = [(entry.name, entry.signature or "", _first_line(entry.doc)) for entry in entries]
        show_table(("entry point", "signature", "what it is"), rows)
    else:
        for entry in entries:
            show(entry.name)
    return 0


def show_help(args: argparse.Namespace) -> int:
    """``isohub help REPO ENTRY``: its signature and its docstring."""
    with open_hub(args) as hub:
        environment = environment_of(hub, args)
        listed = {entry.name: entry for entry in environment.entry_points}
        if args.entry in listed:
            signature, doc = listed[args.entry].signature, listed[args.entry].doc
        else:
            # It is private, or it is not there: the Hub knows what to say of either.
            signature, doc = (
                None,
                hub.help(args.repo, args.entry, source=source_of(args), trust_repo=trust_of(args)),
            )
    if args.json:
        manifest = environment.manifest
        show_json(
            {
                "repo": manifest.repo,
                "commit": manifest.commit,
                "environment": manifest.key,
                "name": args.entry,
                "signature": signature,
                "doc": doc,
            }
        )
        return 0
    show(f"{args.entry}{signature or ''}")
    if doc:
        show(f"\n{inspect.cleandoc(doc)}")
    else:
        note(f"{args.entry} has no documentation", quiet=args.quiet)
    return 0


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
