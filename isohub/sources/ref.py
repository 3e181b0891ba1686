"""Names of repositories and refs as people write them, parsed once into frozen values. Nothing here asks anybody.

Every name ends up in a URL, a path or the argument list of git, so what git itself would not accept is refused, and a leading
dash is as well. An error shows what was written with a mark under the fault, but never a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from isohub.errors import RefError

__all__ = ["Credentials", "GitHubName", "GitName", "check_ref", "is_commit_id", "parse_git", "parse_github"]


@dataclass(frozen=True)
class GitHubName:
    """``owner/name[:ref]``."""

    owner: str
    name: str
    ref: str | None

    def on(self, server: str) -> str:
        """The repository's canonical name: ``github.com/owner/name``."""
        place = server.partition("://")[2].rpartition("@")[2]
        return f"{place}/{self.owner}/{self.name}"


@dataclass(frozen=True)
class Credentials:
    """What stood before the host in an ``https`` URL. `password` is None where there was only a user name."""

    username: str = field(repr=False)
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class GitName:
    """``URL[@ref]``; `url` has no credentials in it."""

    url: str
    ref: str | None
    credentials: Credentials | None


_OTHER_SOURCES = 'a folder is loaded with source="local", any git URL with source="git"'
_GIT_FORMS = "write https://host/path@ref, ssh://git@host/path@ref, git@host:path@ref or file:///path@ref"
_GIT_SCHEMES = frozenset({"file", "git", "http", "https", "ssh"})

# The rules of git-check-ref-format, and that no ref can be taken for an option.
_REF_RULES = tuple(
    (re.compile(pattern), why)
    for pattern, why in (
        (r"^-", "a ref does not start with a dash"),
        (r"\.\.", "a ref has no two dots in a row"),
        (r"@\{|^@$", "a ref has no '@{' and is not '@' alone"),
        (r"[ ~^:?*\[\\]", "a ref has no space and none of ~ ^ : ? * [ \\"),
        (r"^/|//|/$", "a ref has no empty part between slashes"),
        (r"(?:^|(?<=/))\.", "no part of a ref starts with a dot"),
        (r"\.lock(?=/|$)", "no part of a ref ends in .lock"),
        (r"\.$", "a ref does not end in a dot"),
    )
)


def parse_github(text: str) -> GitHubName:
    """Parse ``owner/name[:ref]``.

    Raises:
        RefError: it is something else; folders and URLs are told which source takes them.
    """
    if "://" in text or text.startswith("git@"):
        # It may hold a password, so it is not shown.
        raise RefError("a URL is no repository on GitHub as owner/name[:ref]", hint=_OTHER_SOURCES)
    _refuse_unprintable(text)
    repo, colon, ref = text.partition(":")
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9._-]+)", repo)
    if match is None or match[2] in {".", ".."}:
        raise _fault(
            text, 0, len(repo), "a repository on GitHub is written owner/name[:ref]", hint=_OTHER_SOURCES
        )
    if colon:
        check_ref(ref, text, len(repo) + 1)
    return GitHubName(match[1], match[2].removesuffix(".git"), ref if colon else None)


def parse_git(text: str) -> GitName:
    """Parse ``URL[@ref]``. The ``@`` of a user and one at the start of a folder's name do not begin a ref.

    A path that holds an ``@`` itself is told from a ref by ending in ``.git``; otherwise the last ``@`` counts.

    Raises:
        RefError: git has no such URL, or it is of a kind that runs programs.
    """
    shown, userinfo = _without_userinfo(text)
    _refuse_unprintable(shown)
    if Path(shown).is_absolute():
        path, ref = _split_ref(shown, 0)
        return GitName(Path(path).as_uri(), ref, None)
    if "://" not in shown:
        return _parse_scp(shown)
    scheme, _, rest = shown.partition("://")
    if scheme.lower() not in _GIT_SCHEMES:
        raise _fault(
            shown, 0, len(scheme), f"{scheme!r} is no kind of git URL that isohub takes", hint=_GIT_FORMS
        )
    host, slash, path = rest.partition("/")
    if not re.fullmatch(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?", host) and (
        host or scheme != "file"
    ):
        # What cannot be parsed may hold a password anywhere, so it is not shown.
        raise RefError(
            f"the {scheme} URL names no host",
            hint="special characters in a user name or password are percent-encoded (%40 for @)",
        )
    path, ref = _split_ref(shown, len(scheme) + 3 + len(host) + len(slash))
    if not path.strip("/") or path.startswith("-") or any(sign in path for sign in "?#"):
        raise _fault(shown, 0, len(shown), "the URL names no repository", hint=_GIT_FORMS)
    username, colon, password = userinfo.partition(":")
    credentials = None
    if userinfo and scheme.lower() in {"http", "https"}:
        credentials = Credentials(unquote(username), unquote(password) if colon else None)
    elif userinfo:
        if not re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._-]*", username):
            raise RefError(f"the {scheme} URL has a user name that isohub does not take", hint=_GIT_FORMS)
        host = f"{username}@{host}"
    return GitName(f"{scheme.lower()}://{host.lower()}/{path.rstrip('/')}", ref, credentials)


def check_ref(ref: str, text: str | None = None, start: int = 0) -> None:
    """Refuse a ref that git would not accept; `text` is what it stood in, from `start` on.

    Raises:
        RefError: it marks the fault.
    """
    text = ref if text is None else text
    if not ref:
        raise _fault(text, start, start + 1, "there is no ref after the separator")
    for pattern, why in _REF_RULES:
        found = pattern.search(ref)
        if found:
            raise _fault(text, start + found.start(), start + found.end(), why)


def is_commit_id(ref: str) -> bool:
    """Whether it is a commit's full id; a branch of such a name does not stand in for a commit."""
    return re.fullmatch(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", ref) is not None


def _parse_scp(shown: str) -> GitName:
    """``[user@]host:path[@ref]``, as scp writes it."""
    match = re.match(r"(?:([A-Za-z0-9._][A-Za-z0-9._-]*)@)?([A-Za-z0-9][A-Za-z0-9._-]*):(?!:)", shown)
    if match is None:
        raise _fault(shown, 0, len(shown), "this is no git URL", hint=_GIT_FORMS)
    path, ref = _split_ref(shown, match.end())
    if not path.strip("/") or path.startswith("-"):
        raise _fault(shown, match.end(), len(shown), "the URL names no repository", hint=_GIT_FORMS)
    user = f"{match[1]}@" if match[1] else ""
    return GitName(f"{user}{match[2].lower()}:{path.rstrip('/')}", ref, None)


def _split_ref(shown: str, start: int) -> tuple[str, str | None]:
    path = shown[start:]
    at = path.find(".git@") + 4
    if at < 4:
        at = path.rfind("@")
    if at <= 0 or path[at - 1] in "/\\":
        return path, None
    check_ref(path[at + 1 :], shown, start + at + 1)
    return path[:at], path[at + 1 :]


def _without_userinfo(text: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/]*)@", text)
    return (match[1] + text[match.end() :], match[2]) if match else (text, "")


def _refuse_unprintable(text: str) -> None:
    for index, character in enumerate(text):
        if not character.isprintable():
            raise _fault(text, index, index + 1, "control characters have no place in a name")
    if not text.strip():
        raise RefError("the name of the repository is empty", hint="write owner/name[:ref]")


def _fault(text: str, start: int, end: int, why: str, *, hint: str | None = None) -> RefError:
    before, marked = _printable(text[:start]), _printable(text[start:end])
    return RefError(
        f"{why}\n    {_printable(text)}\n    {' ' * len(before)}{'^' * max(1, len(marked))}", hint=hint
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
