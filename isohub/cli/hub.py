"""What the options mean to a Hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isohub.envs.store import Environment
    from isohub.hub import Hub

__all__ = ["environment_of", "open_hub", "source_of", "trust_of"]

_SANDBOX = ("sandbox", "network", "readable", "writable")


def open_hub(args: argparse.Namespace, **more: Any) -> Hub:
    """The Hub that the options describe; `more` are further arguments of it, and count before the options."""
    from isohub.hub import Hub

    names = [
        "python",
        "install_python",
        "requirements",
        "constraints",
        "torch_backend",
        "recipe",
        "offline",
        "home",
    ]
    names += [name for name in _SANDBOX if hasattr(args, name)]
    return Hub(**{name: getattr(args, name) for name in names} | more)


def source_of(args: argparse.Namespace) -> str:
    """Where REPO is: as said, or as its form says. No name on GitHub looks like a path or a URL."""
    if args.source:
        return str(args.source)
    repo: str = args.repo
    if repo.startswith((".", "~")) or Path(repo).is_absolute():
        return "local"
    return "git" if "://" in repo or repo.startswith("git@") else "github"


def trust_of(args: argparse.Namespace) -> bool | str:
    """What `trust_repo` is."""
    return True if args.trust else "check"


def environment_of(hub: Hub, args: argparse.Namespace) -> Environment:
    """The environment of REPO, built if need be."""
    return hub.environment(
        args.repo,
        source=source_of(args),
        trust_repo=trust_of(args),
        force_reload=args.force_reload,
        verbose=not args.quiet,
        skip_validation=args.skip_validation,
    )
