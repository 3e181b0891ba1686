"""A folder on this machine. The hash of its content stands for the commit, so an edit is another pin."""

from __future__ import annotations

from pathlib import Path

from isohub.config import Settings
from isohub.errors import HubconfError, RefError
from isohub.sources.digest import content_digest
from isohub.sources.store import repository_key
from isohub.sources.tree import Pin, Tree

__all__ = ["fetch", "resolve"]


def resolve(repo: str, settings: Settings) -> Pin:
    """Hash the folder.

    Raises:
        RefError: there is no such folder.
        HubconfError: it has no ``hubconf.py``. That is looked at first, so that nobody's whole home is hashed by mistake.
        FetchError: something in it cannot be read.
    """
    try:
        folder = Path(repo).expanduser().resolve()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise RefError(f"{repo!r} is not the path of a folder: {error}") from error
    if not is_folder:
        hint = 'source="github" takes owner/name[:ref]' if not folder.exists() else None
        raise RefError(f'there is no folder {str(folder)!r}, and source="local" takes one', hint=hint)
    if not (folder / "hubconf.py").is_file():
        raise HubconfError(f"there is no hubconf.py in {folder}", hint="name the folder that has it")
    memory = settings.home / "refs-v1" / f"{repository_key('local', str(folder))}.json"
    return Pin("local", str(folder), None, content_digest(folder, memory=memory))


def fetch(pin: Pin) -> Tree:
    """The folder itself: it is the user's, and what is edited in it counts from the next load on."""
    return Tree(pin, Path(pin.repo))
