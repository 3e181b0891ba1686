"""Entry points by name: is there one, and what was meant if there is not."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from isohub.errors import EntryPointNotFound

if TYPE_CHECKING:
    from isohub.envs.store import Environment

__all__ = ["entry_point_not_found", "require_entry_point"]


def require_entry_point(environment: Environment, model: str) -> None:
    """Return if the hubconf may have an entry point called `model`.

    Raises:
        EntryPointNotFound: it has not.
    """
    # A private name is not listed, but torch.hub loads it: the worker has the last word on those.
    if not model.startswith("_") and model not in (entry.name for entry in environment.entry_points):
        raise entry_point_not_found(environment, model)


def entry_point_not_found(environment: Environment, model: str) -> EntryPointNotFound:
    """The error that says so, with the names that come close."""
    names = [entry.name for entry in environment.entry_points]
    close = difflib.get_close_matches(model, names, n=5, cutoff=0.5)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif names:
        hint = f"it has {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}"
    else:
        hint = "it has none at all"
    return EntryPointNotFound(
        f"Cannot find callable {model} in hubconf of {environment.manifest.repo}", hint=hint
    )
