"""Which repository of a lock file a name means: the one that was asked for by that name, or else one that it resolved to.

Nobody is asked. Where a branch is by now does not matter to a lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from isohub.config import Settings
from isohub.envs.lockfile import LockedRepository, Lockfile
from isohub.errors import ConfigError
from isohub.sources.ref import is_commit_id, parse_git, parse_github

__all__ = ["find_locked", "spelt"]


def find_locked(
    lockfile: Lockfile, repo: str | os.PathLike[str], *, source: str, settings: Settings
) -> LockedRepository:
    """The repository of that name in the lock file. Credentials in the name are used from then on, as ever.

    Args:
        repo: as the source wants it.
        source: "github", "git", "local" or "builtin", in whatever case.

    Raises:
        ConfigError: it is not in there.
        RefError: the name is misspelt.
    """
    kind, text = source.lower(), os.fspath(repo)
    if kind == "git":
        from isohub.sources.git import use_credentials

        use_credentials(parse_git(text))
    asked = _meaning(kind, text, settings)
    of_source = [item for item in lockfile.repositories if item.entry.source == kind]
    for item in of_source:
        if asked in (_meaning(kind, name, settings) for name in item.entry.asked):
            return item
    for ref in _refs(asked[1]):
        for item in of_source:
            if _canonical(kind, item.entry.repo) == asked[0] and ref in (item.entry.ref, item.entry.commit):
                return item
    held = ", ".join(dict.fromkeys(map(str, lockfile.repositories))) or "nothing"
    raise ConfigError(
        f"{lockfile.path} does not have {spelt(kind, text)}; it has {held}",
        hint=f"isohub lock {spelt(kind, text)} --add -o {lockfile.path}",
    )


def spelt(source: str, repo: str) -> str:
    """A name as a person gave it, but without credentials."""
    if source != "git":
        return repo
    name = parse_git(repo)
    return name.url if name.ref is None else f"{name.url}@{name.ref}"


def _meaning(source: str, text: str, settings: Settings) -> tuple[str, str | None]:
    """The canonical name and the ref."""
    match source:
        case "github":
            name = parse_github(text)
            return _canonical(source, name.on(settings.github_url)), _lower_commit(name.ref)
        case "git":
            git_name = parse_git(text)
            return git_name.url, _lower_commit(git_name.ref)
        case "local":
            return str(Path(text).expanduser().resolve()), None
    return text, None


def _canonical(source: str, repo: str) -> str:
    # Names on GitHub differ in more than case.
    return repo.lower() if source == "github" else repo


def _lower_commit(ref: str | None) -> str | None:
    return ref.lower() if ref is not None and is_commit_id(ref) else ref


def _refs(ref: str | None) -> Iterator[str | None]:
    """What a ref may have resolved to; as when a repository is asked, a branch comes before a tag."""
    yield ref
    if ref is not None:
        yield f"refs/heads/{ref}"
        yield f"refs/tags/{ref}"
