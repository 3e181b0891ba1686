"""torch.hub's functions, over a Hub that is there when it is first needed."""

from __future__ import annotations

import builtins
import os
import threading
from typing import Any

from isohub.hub import Hub

__all__ = ["default_hub", "help", "list", "load"]

_default: Hub | None = None
_default_lock = threading.Lock()


def default_hub() -> Hub:
    """The Hub behind the functions of the module; it reads the settings when it is first used."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Hub()
        return _default


def load(
    repo_or_dir: str | os.PathLike[str],
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: bool | str | None = "check",
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """`Hub.load` of the default Hub."""
    return default_hub().load(
        repo_or_dir,
        model,
        *args,
        source=source,
        trust_repo=trust_repo,
        force_reload=force_reload,
        verbose=verbose,
        skip_validation=skip_validation,
        **kwargs,
    )


def list(
    github: str | os.PathLike[str],
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = "check",
    verbose: bool = True,
    *,
    source: str = "github",
) -> builtins.list[str]:
    """`Hub.list` of the default Hub."""
    return default_hub().list(github, force_reload, skip_validation, trust_repo, verbose, source=source)


def help(
    github: str | os.PathLike[str],
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str | None = "check",
    *,
    source: str = "github",
) -> str | None:
    """`Hub.help` of the default Hub."""
    return default_hub().help(github, model, force_reload, skip_validation, trust_repo, source=source)


def _forget() -> None:
    """In a forked child: the Hub of the parent is closed here."""
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
