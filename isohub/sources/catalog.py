"""One door to all sources: a name becomes a pin, and a pin becomes a tree.

What is cached is used without asking anybody, until `force_reload` asks anew; so a commit that was once taken unproven stays
taken. A source is imported when it is asked for the first time: a cached answer takes milliseconds.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from isohub.config import Settings
from isohub.errors import ConfigError, OfflineError
from isohub.progress import Progress, Step
from isohub.sources.advertisement import Resolved
from isohub.sources.ref import is_commit_id, parse_git, parse_github
from isohub.sources.store import Store
from isohub.sources.tree import Pin, Tree

__all__ = ["fetch", "resolve"]

_SOURCES = ("github", "local", "git", "builtin")


def resolve(
    repo: str | os.PathLike[str],
    *,
    source: str,
    settings: Settings,
    force_reload: bool = False,
    skip_validation: bool = False,
    progress: Progress,
) -> Pin:
    """Find out which content `repo` means.

    Args:
        repo: as the source wants it: ``owner/name[:ref]``, ``URL[@ref]``, a folder, or the name of a built-in hub.
        source: "github", "git", "local" or "builtin", in whatever case.
        force_reload: ask where the ref is now, even if an answer is cached.
        skip_validation: take a full commit id without proof that it belongs to the repository.

    Raises:
        ConfigError: there is no such source.
        RefError, RepoNotFound: what was named does not exist.
        OfflineError: it is not cached.
        FetchError: nobody could be asked.
    """
    text = os.fspath(repo)
    match source.lower():
        case "local":
            from isohub.sources import local

            return local.resolve(text, settings)
        case "builtin":
            from isohub.sources import builtin

            return builtin.resolve(text)
        case "github":
            github_name = parse_github(text)

            def ask_github() -> tuple[str, Resolved]:
                from isohub.sources import github

                return github.resolve(github_name, settings, skip_validation=skip_validation)

            repo = github_name.on(settings.github_url)
            return _resolve_remote(
                "github", repo, github_name.ref, ask_github, settings, force_reload, progress
            )
        case "git":
            git_name = parse_git(text)
            if git_name.credentials is not None:
                from isohub.sources.git import use_credentials

                use_credentials(git_name)

            def ask_git() -> tuple[str, Resolved]:
                from isohub.sources import git

                return git_name.url, git.resolve(git_name, skip_validation=skip_validation)

            return _resolve_remote(
                "git", git_name.url, git_name.ref, ask_git, settings, force_reload, progress
            )
    allowed = " | ".join(f'"{name}"' for name in _SOURCES)
    raise ConfigError(f'Unknown source: "{source}". Allowed values: {allowed}.')


def fetch(pin: Pin, *, settings: Settings, force_reload: bool = False, progress: Progress) -> Tree:
    """Get the content of the pin.

    Args:
        force_reload: fetch it even if it is here. Trees of other commits stay.

    Raises:
        OfflineError: it is not here.
        FetchError: it could not be brought here, or is not what it should be.
    """
    match pin.source:
        case "local":
            from isohub.sources import local

            return local.fetch(pin)
        case "builtin":
            from isohub.sources import builtin

            return builtin.fetch(pin)
    store = Store(settings.home)
    found = store.find(pin)
    if found is not None and not force_reload:
        progress.say(f"Using cache found in {found.path}")
        return found
    _refuse_offline(pin.source, pin.repo, pin.commit, settings, force_reload)
    with progress.step(f"fetching {pin.repo} at {pin.commit[:7]}") as step:
        return store.add(pin, lambda archive: _write_archive(pin, archive, settings, step), anew=force_reload)


def _write_archive(pin: Pin, archive: Path, settings: Settings, step: Step) -> None:
    if pin.source == "github":
        from isohub.sources import github

        github.write_archive(pin, archive, settings, step)
    else:
        from isohub.sources import git

        git.write_archive(pin, archive)


def _resolve_remote(
    source: str,
    repo: str,
    ref: str | None,
    ask: Callable[[], tuple[str, Resolved]],
    settings: Settings,
    anew: bool,
    progress: Progress,
) -> Pin:
    pin = None if anew else _cached(source, repo, ref, settings)
    if pin is not None:
        return pin
    _refuse_offline(source, repo, ref, settings, anew)
    with progress.step(f"resolving {repo}"):
        found, resolved = ask()
    if resolved.ambiguous:
        warnings.warn(
            f"The ref {ref} is ambiguous. Perhaps it is both a tag and a branch in the repo? "
            "isohub will now assume that it's a branch. "
            "You can disambiguate tags and branches by explicitly passing refs/heads/branch_name or "
            "refs/tags/tag_name as the ref.",
            stacklevel=3,
        )
    pin = Pin(source, found, resolved.ref, resolved.commit)
    # Each name that was settled by this answer works offline from now on.
    Store(settings.home).remember(pin, repo, {ref, resolved.ref, *resolved.aliases})
    return pin


def _cached(source: str, repo: str, ref: str | None, settings: Settings) -> Pin | None:
    store = Store(settings.home)
    if ref is None or not is_commit_id(ref):
        return store.recall(source, repo, ref)
    # A commit is what it is, whatever name it was fetched under.
    commit = ref.lower()
    tree = store.find(Pin(source, repo, commit, commit))
    return tree.pin if tree else store.recall(source, repo, commit)


def _refuse_offline(source: str, repo: str, ref: str | None, settings: Settings, anew: bool) -> None:
    if not settings.offline:
        return
    what = f"{repo} at {ref or 'its default branch'}"
    if anew:
        raise OfflineError(
            f"force_reload asks the network for {what}, and offline means that nobody is asked",
            hint="leave out one of the two",
        )
    known = Store(settings.home).known_names(source, repo)
    cached = f"; cached of it are: {', '.join(known)}" if known else ""
    raise OfflineError(
        f"{what} is not in the cache under {settings.home}, and offline means that nobody is asked",
        hint=f"load it once without offline (ISOHUB_OFFLINE=0){cached}",
    )
