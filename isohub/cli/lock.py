"""``isohub lock`` and ``isohub sync``: environments into a lock file, and out of it again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isohub.cli.hub import open_hub, source_of, trust_of
from isohub.cli.output import note, show_json, show_table
from isohub.errors import ConfigError

if TYPE_CHECKING:
    from isohub.envs.lockfile import LockedRepository
    from isohub.envs.store import Environment

__all__ = ["lock", "lock_options", "sync", "sync_options"]


def lock_options() -> argparse.ArgumentParser:
    """What is locked, and in which file."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("repos", nargs="+", metavar="REPO", help="as for the other commands; one or more")
    parser.add_argument(
        "-o", "--output", default="isohub.lock", metavar="FILE", help="the lock file (isohub.lock)"
    )
    parser.add_argument("--add", action="store_true", help="keep what else is in the file")
    return parser


def sync_options() -> argparse.ArgumentParser:
    """Which lock file, and how its repositories are reached."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "lock", nargs="?", default="isohub.lock", metavar="FILE", help="the lock file (isohub.lock)"
    )
    group = parser.add_argument_group("repositories")
    group.add_argument("--trust", action="store_true", help="trust the code of all of them, now and later")
    group.add_argument("--offline", action="store_true", default=None, help="ask nobody over the network")
    group.add_argument("--force-reload", action="store_true", help="fetch the locked commits anew")
    group.add_argument(
        "--python", metavar="PYTHON", help="an interpreter of the locked version, such as a path"
    )
    return parser


def lock(args: argparse.Namespace) -> int:
    """``isohub lock REPO...``: build the environments if need be, and write down what is in them."""
    from isohub.envs.lockfile import read_lockfile, write_lockfile

    path = Path(args.output).expanduser()
    _require_folder(path)
    kept = read_lockfile(path).repositories if args.add and path.exists() else ()
    with open_hub(args) as hub:
        added = [
            hub.lock(
                repo,
                source=source_of(argparse.Namespace(**{**vars(args), "repo": repo})),
                trust_repo=trust_of(args),
                force_reload=args.force_reload,
                verbose=not args.quiet,
                skip_validation=args.skip_validation,
            )
            for repo in args.repos
        ]
    written = write_lockfile(path, _merged([*kept, *added]))
    if args.json:
        show_json(
            {"lock": str(path.absolute()), "repositories": [_describe(item) for item in written.repositories]}
        )
        return 0
    headers = ("repository", "ref", "commit", "python", "distributions")
    show_table(headers, [_row(item, item.entry.pylock) for item in written.repositories])
    note(f"wrote {path}", quiet=args.quiet)
    return 0


def sync(args: argparse.Namespace) -> int:
    """``isohub sync FILE``: build everything that is in a lock file and not here yet."""
    from isohub.hub import Hub

    synced: list[tuple[LockedRepository, Environment, bool]] = []
    sandbox = {name: getattr(args, name) for name in ("sandbox", "network", "readable", "writable")}
    with Hub(lock=args.lock, python=args.python, offline=args.offline, home=args.home, **sandbox) as hub:
        for locked in hub.locked:
            started = time.time()
            environment = hub.rebuild(
                locked, trust_repo=trust_of(args), force_reload=args.force_reload, verbose=not args.quiet
            )
            synced.append((locked, environment, environment.manifest.built >= started))
    if args.json:
        environments = [_describe_built(*item) for item in synced]
        show_json({"lock": str(Path(args.lock).expanduser().absolute()), "environments": environments})
    elif not synced:
        note(f"{args.lock} holds no repositories", quiet=args.quiet)
    else:
        show_table(
            ("repository", "ref", "commit", "python", "environment", ""),
            [_built_row(*item) for item in synced],
        )
    return 0


def _require_folder(path: Path) -> None:
    """Refuse before anything is built what could not be written after."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(
            f"-o {path}: no file can be written there", hint="name a file in an existing folder"
        )


def _merged(repositories: Sequence[LockedRepository]) -> list[LockedRepository]:
    """Of what was asked for by the same name, or led to the same, the later one, under all of its names."""
    from dataclasses import replace

    merged: list[LockedRepository] = []
    for item in repositories:
        asked = item.entry.asked
        rest = []
        for other in merged:
            if other.digest == item.digest:
                asked = (*other.entry.asked, *(name for name in asked if name not in other.entry.asked))
            elif not _replaces(item, other):
                rest.append(other)
        merged = [*rest, replace(item, entry=replace(item.entry, asked=asked))]
    return merged


def _replaces(item: LockedRepository, other: LockedRepository) -> bool:
    if (item.entry.source, item.entry.repo) != (other.entry.source, other.entry.repo):
        return False
    return item.entry.ref == other.entry.ref or bool({*item.entry.asked} & {*other.entry.asked})


def _describe(item: LockedRepository) -> dict[str, Any]:
    entry = item.entry
    return {
        "source": entry.source,
        "repo": entry.repo,
        "ref": entry.ref,
        "commit": entry.commit,
        "tree": entry.tree,
        "python": entry.python,
        "platform": entry.platform,
        "torch_backend": entry.torch_backend,
        "recipe": None if entry.recipe is None else entry.recipe.name,
        "pylock": entry.pylock,
    }


def _describe_built(item: LockedRepository, environment: Environment, built: bool) -> dict[str, Any]:
    manifest = environment.manifest
    return {
        "source": item.entry.source,
        "repo": item.entry.repo,
        "ref": item.entry.ref,
        "commit": item.entry.commit,
        "key": manifest.key,
        "path": str(environment.path),
        "python": manifest.python,
        "locked_python": item.entry.python,
        "built": built,
    }


def _row(item: LockedRepository, last: str, python: str | None = None) -> list[str]:
    entry = item.entry
    ref = (entry.ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    return [entry.repo, ref, entry.commit[:12], python or entry.python, last]


def _built_row(item: LockedRepository, environment: Environment, built: bool) -> list[str]:
    state = f"built in {environment.manifest.seconds:.1f} s" if built else "was there"
    return [*_row(item, environment.manifest.key, environment.manifest.python), state]
