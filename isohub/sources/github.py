"""Repositories on GitHub, an Enterprise server or a mirror, over plain HTTP: no git is needed, and mostly no API.

What a ref means comes from the repository's own advertisement, which has no rate limit. A commit id that no branch or tag is at
proves nothing: GitHub keeps a repository and all its forks in one store and serves anybody's commit under anybody's name. So the
API is asked to compare, and the commit has to be an ancestor of a branch or tag.

The token goes to the two configured servers only. If they refuse it they are asked again without it, since a token without the
right scope sees less than nobody does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from isohub.config import Settings
from isohub.download import download
from isohub.errors import FetchError, RefError, RepoNotFound
from isohub.progress import Step
from isohub.sources.advertisement import Advertisement, Resolved, read_smart_http
from isohub.sources.archive import Limits
from isohub.sources.ref import GitHubName
from isohub.sources.tree import Pin
from isohub.web import Patience, Session, StatusError

if TYPE_CHECKING:
    import httpx

__all__ = ["resolve", "write_archive"]

T = TypeVar("T")

_LONGEST_ADVERTISEMENT = 256 << 20  # a repository with 200,000 pull requests advertises 15 MB
_LONGEST_COMPARISON = 64 << 20
_MOST_COMPARISONS = 10  # without a token the API answers 60 requests an hour
_REFUSED = frozenset({401, 403, 404})


def resolve(
    name: GitHubName, settings: Settings, *, skip_validation: bool = False, patience: Patience | None = None
) -> tuple[str, Resolved]:
    """Ask what the name means.

    Args:
        skip_validation: take a full commit id without proof that it belongs to the repository.

    Returns:
        The repository's canonical name, by which it is known since it was renamed, and the commit.

    Raises:
        RepoNotFound: there is no such repository, or it is hidden from us.
        RefError: it has no such ref, or the commit is not its own.
        FetchError: the server cannot be asked.
    """
    with Session(patience) as session:
        server = _Server(session, settings)
        repo, advertisement = server.advertisement(name)
        resolved = advertisement.find(name.ref, repo)
        if resolved is None:
            assert name.ref is not None  # only a commit id may need a proof
            commit = name.ref.lower()
            if not skip_validation:
                server.prove(repo, commit, advertisement)
            resolved = Resolved(commit, commit)
        return repo, resolved


def write_archive(
    pin: Pin, archive: Path, settings: Settings, step: Step, *, patience: Patience | None = None
) -> None:
    """Download the zip archive of the pin's commit.

    Args:
        step: is told how far it has come.

    Raises:
        FetchError: the server does not have it, or cannot be asked.
    """
    with Session(patience) as session:
        url = f"{settings.github_url}/{_path(pin.repo)}/zipball/{pin.commit}"
        server = _Server(session, settings)
        try:
            server.with_token(
                "token",
                lambda headers: download(
                    url, archive, headers=headers, max_bytes=Limits().bytes, session=session, step=step
                ),
            )
        except StatusError as error:
            if error.status != 404:
                raise
            raise FetchError(
                f"{pin.repo} does not have the commit {pin.commit} any more, or hides it",
                hint="force_reload=True asks anew which commit the ref is at",
            ) from error


@dataclass(frozen=True)
class _Server:
    session: Session
    settings: Settings

    def advertisement(self, name: GitHubName) -> tuple[str, Advertisement]:
        base = self.settings.github_url
        url = f"{base}/{name.owner}/{name.name}.git/info/refs?service=git-upload-pack"
        repo = name.on(base)

        def read(response: httpx.Response) -> tuple[str, bytes]:
            return str(response.url), self.session.read_all(response, _LONGEST_ADVERTISEMENT)

        try:
            final_url, data = self.with_token(
                "basic", lambda headers: self.session.get(url, read, headers=headers)
            )
        except StatusError as error:
            if error.status not in {401, 404}:
                raise
            hint = "check the spelling; a private repository needs a GITHUB_TOKEN that may read it"
            if self.settings.github_token:
                hint = "check the spelling, and whether GITHUB_TOKEN may read it"
            raise RepoNotFound(f"there is no repository {repo}, or it is private", hint=hint) from error
        return self._renamed(final_url) or repo, read_smart_http(data, repo)

    def prove(self, repo: str, commit: str, advertisement: Advertisement) -> None:
        """Return if the commit is an ancestor of a branch or tag."""
        tips = advertisement.tips()
        for tip in tips[:_MOST_COMPARISONS]:
            if self._compare(repo, tip, commit) in {"identical", "behind"}:
                return
        if len(tips) > _MOST_COMPARISONS:
            raise RefError(
                f"the commit {commit} is in none of {_MOST_COMPARISONS} branches of {repo} that were searched; "
                f"{len(tips) - _MOST_COMPARISONS} more were not",
                hint="name the branch or tag that has it; skip_validation=True takes the commit unproven",
            )
        raise advertisement.not_its_own(commit, repo)

    def with_token(self, scheme: str, ask: Callable[[dict[str, str]], T]) -> T:
        """Ask with the token, and without it where it is refused. git's protocol takes it as a password, the rest as it is."""
        token = self.settings.github_token
        if not token:
            return ask({})
        if scheme == "basic":
            token = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        try:
            return ask({"Authorization": f"{scheme} {token}"})
        except StatusError as error:
            if error.status not in _REFUSED:
                raise
            return ask({})

    def _compare(self, repo: str, tip: str, commit: str) -> str | None:
        """How `commit` stands to `tip`; None if they have nothing in common or there is no such commit."""
        url = f"{self.settings.github_api_url}/repos/{_path(repo)}/compare/{tip}...{commit}?per_page=1"

        def read(response: httpx.Response) -> bytes:
            return self.session.read_all(response, _LONGEST_COMPARISON)

        def ask(headers: dict[str, str]) -> bytes:
            return self.session.get(url, read, headers={**headers, "Accept": "application/vnd.github+json"})

        try:
            answer = json.loads(self.with_token("token", ask))
        except StatusError as error:
            if error.status in {404, 422}:
                return None
            raise FetchError(
                f"cannot prove that the commit {commit} belongs to {repo}: {error.message}",
                hint="name a branch or tag, set GITHUB_TOKEN, or take it unproven with skip_validation=True",
            ) from error
        except ValueError as error:
            raise FetchError(
                f"{self.settings.github_api_url} did not answer in JSON when it compared commits"
            ) from error
        status = answer.get("status") if isinstance(answer, dict) else None
        return status if isinstance(status, str) else None

    def _renamed(self, final_url: str) -> str | None:
        """The repository's name now, if the server redirected to another repository of its own."""
        base, final = urlsplit(self.settings.github_url), urlsplit(final_url)
        inner = final.path.removeprefix(f"{base.path}/").removesuffix("/info/refs").removesuffix(".git")
        host = base.netloc.rpartition("@")[2]
        if final.netloc.rpartition("@")[2] != host or not re.fullmatch(
            r"[A-Za-z0-9][\w-]*/[A-Za-z0-9_][\w.-]*", inner, re.ASCII
        ):
            return None
        return f"{host}{base.path}/{inner}"


def _path(repo: str) -> str:
    return "/".join(repo.split("/")[-2:])
