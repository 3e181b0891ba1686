"""Which refs a repository has, as its server advertises them, and which of them a name means. No I/O.

Both the smart HTTP answer (git's pack protocol, version 0 or 1) and the lines of ``git ls-remote`` are read. Branches and
tags are the repository's own word. Everything else that is advertised, such as the heads of pull requests, is commits of other
people, so no name leads to them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from isohub.errors import FetchError, RefError
from isohub.sources.ref import check_ref, is_commit_id

__all__ = ["Advertisement", "Resolved", "read_ls_remote", "read_smart_http"]

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_SHORTEST_ID = 7


@dataclass(frozen=True)
class Resolved:
    """What a name means.

    Attributes:
        ref: the branch or tag in full, or the commit id that was asked for.
        ambiguous: the name that was asked for is a tag's, too.
        aliases: other names that mean the same; None is among them if it is the default branch.
    """

    ref: str
    commit: str
    ambiguous: bool = False
    aliases: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Advertisement:
    """The refs of one repository.

    Attributes:
        refs: branches and tags in full, and the commit that each is at; a tag object counts as what it points to.
        head: the commit of the default branch; None if the repository is empty.
        head_ref: the default branch in full, if the server says which it is.
        strangers: the refs that are not the repository's own, by commit.
    """

    refs: Mapping[str, str]
    head: str | None
    head_ref: str | None
    strangers: Mapping[str, str]

    def find(self, name: str | None, repo: str) -> Resolved | None:
        """What `name` means; None if it is a full commit id that no branch or tag is at, which proves nothing yet.

        Args:
            name: a branch, a tag, either in full, a commit id or a unique beginning of one; None is the default branch.
            repo: the repository's name, for errors.

        Raises:
            RefError: the repository has nothing of that name.
        """
        if name is None or name == "HEAD":
            return self._default(repo)
        if is_commit_id(name):
            commit = name.lower()
            return Resolved(commit, commit) if commit in self.refs.values() else None
        if name.startswith("refs/"):
            return self._exact(name, repo)
        branch, tag = _HEADS + name, _TAGS + name
        if branch in self.refs:
            return replace(self._resolved(branch), ambiguous=tag in self.refs)
        if tag in self.refs:
            return self._resolved(tag)
        return self._short_id(name, repo)

    def tips(self) -> list[str]:
        """The commits that history is searched from: the default branch's, the other branches', the tags', newest name first."""
        branches = [self.refs[ref] for ref in sorted(self.refs) if ref.startswith(_HEADS)]
        tags = [self.refs[ref] for ref in sorted(self.refs, reverse=True) if ref.startswith(_TAGS)]
        return list(dict.fromkeys([*([self.head] if self.head else []), *branches, *tags]))

    def not_its_own(self, commit: str, repo: str) -> RefError:
        """The error for a commit that is in no branch or tag."""
        stranger = self.strangers.get(commit)
        what = (
            f"it is the commit of {stranger}, which is not {repo}'s own" if stranger else "it may be a fork's"
        )
        return RefError(
            f"the commit {commit} is in no branch or tag of {repo}: {what}",
            hint="name the fork that it belongs to; skip_validation=True takes it unproven",
        )

    def _resolved(self, ref: str) -> Resolved:
        short = ref.removeprefix(_HEADS)
        aliases: list[str | None] = [None] if ref == self.head_ref else []
        if not short.startswith("refs/") and short != "HEAD" and not is_commit_id(short):
            aliases.append(short)
        return Resolved(ref, self.refs[ref], aliases=tuple(aliases))

    def _default(self, repo: str) -> Resolved:
        if self.head is None:
            hint = f"name one of its branches: {self._close_to('main')}" if self.refs else None
            raise RefError(f"{repo} has no default branch: it is empty or HEAD leads nowhere", hint=hint)
        return (
            self._resolved(self.head_ref) if self.head_ref else Resolved("HEAD", self.head, aliases=(None,))
        )

    def _exact(self, name: str, repo: str) -> Resolved:
        if name in self.refs:
            return self._resolved(name)
        if name in self.strangers.values():
            raise RefError(f"{name} is no branch or tag of {repo}, so anybody may have written it")
        raise self._unknown(name, repo)

    def _short_id(self, name: str, repo: str) -> Resolved:
        if re.fullmatch(rf"[0-9A-Fa-f]{{{_SHORTEST_ID},}}", name):
            found = sorted({commit for commit in self.refs.values() if commit.startswith(name.lower())})
            if len(found) == 1:
                return Resolved(found[0], found[0])
            what = (
                f"begins {len(found)} commits"
                if found
                else "is no branch or tag, and no branch or tag is at it"
            )
            raise RefError(f"{name} in {repo}: it {what}", hint="write the commit's full id (40 digits)")
        raise self._unknown(name, repo)

    def _unknown(self, name: str, repo: str) -> RefError:
        close = self._close_to(name)
        hint = f"did you mean {close}?" if close else f"it has {len(self.refs)} branches and tags"
        return RefError(f"{repo} has no branch or tag {name!r}", hint=hint)

    def _close_to(self, name: str) -> str:
        wanted = name if name.startswith("refs/") else ""
        known = [ref if wanted else ref.removeprefix(_HEADS).removeprefix(_TAGS) for ref in self.refs]
        by_folded = {ref.lower(): ref for ref in known}
        matches = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.5)
        return ", ".join(repr(by_folded[match]) for match in matches)


def read_smart_http(data: bytes, server: str) -> Advertisement:
    """Read the answer to ``info/refs?service=git-upload-pack``.

    Raises:
        FetchError: it is not one, or it is cut off.
    """
    lines = _pkt_lines(data, server)
    if next(lines, None) != b"# service=git-upload-pack" or next(lines, b"") is not None:
        raise _not_git(server, "it does not begin as one")
    capabilities = b""
    refs: list[tuple[str, str]] = []
    ended = False
    for line in lines:
        if line is None:
            ended = True
            break
        if line == b"version 1" or line.startswith(b"shallow "):
            continue
        if line.startswith(b"ERR "):
            raise FetchError(f"{server} answered: {line[4:].decode(errors='replace')}")
        if b"\0" in line:
            line, _, capabilities = line.partition(b"\0")
        commit, _, ref = line.decode(errors="replace").partition(" ")
        if not is_commit_id(commit) or not ref:
            raise _not_git(server, "a line of it has no object id")
        if ref != "capabilities^{}":
            refs.append((commit, ref))
    if not ended:
        raise _not_git(server, "it is cut off")
    symref = re.search(rb"(?:^| )symref=HEAD:(\S+)", capabilities)
    return _advertisement(refs, symref[1].decode(errors="replace") if symref else None)


def read_ls_remote(text: str, server: str) -> Advertisement:
    """Read the lines of ``git ls-remote --symref``.

    Raises:
        FetchError: they are something else.
    """
    head_ref = None
    refs: list[tuple[str, str]] = []
    for line in text.splitlines():
        commit, tab, ref = line.partition("\t")
        if commit.startswith("ref: ") and ref == "HEAD":
            head_ref = commit.removeprefix("ref: ")
        elif tab and is_commit_id(commit):
            refs.append((commit, ref))
        elif not commit.startswith("ref: "):
            raise _not_git(server, "a line of it has no object id")
    return _advertisement(refs, head_ref)


def _advertisement(lines: Iterable[tuple[str, str]], head_ref: str | None) -> Advertisement:
    refs: dict[str, str] = {}
    strangers: dict[str, str] = {}
    head = None
    for commit, line in lines:
        ref = line.removesuffix("^{}")  # the line of what a tag object points to follows the tag's own
        if ref == "HEAD":
            head = commit
        elif ref.startswith((_HEADS, _TAGS)) and _is_well_formed(ref):
            refs[ref] = commit
        else:
            strangers.setdefault(commit, ref)
    if head_ref is None or refs.get(head_ref) != head:
        head_ref = next(
            (ref for ref in (_HEADS + "main", _HEADS + "master") if head and refs.get(ref) == head), None
        )
    return Advertisement(refs, head, head_ref, strangers)


def _is_well_formed(ref: str) -> bool:
    try:
        check_ref(ref)
    except RefError:
        return False
    return ref.isprintable()


def _pkt_lines(data: bytes, server: str) -> Iterator[bytes | None]:
    """The lines, without their line feeds; a flush packet is None."""
    position = 0
    while position < len(data):
        prefix = data[position : position + 4]
        if not re.fullmatch(rb"[0-9A-Fa-f]{4}", prefix):
            raise _not_git(server, "a line of it has no length")
        length = int(prefix, 16)
        if length == 0:
            position += 4
            yield None
        elif length <= 4 or position + length > len(data):
            raise _not_git(server, "it is cut off" if length > 4 else "a line of it has no valid length")
        else:
            yield data[position + 4 : position + length].removesuffix(b"\n")
            position += length


def _not_git(server: str, why: str) -> FetchError:
    return FetchError(
        f"what {server} answered is no list of a git repository's refs: {why}",
        hint="is this the address of a git server, and does a proxy answer in its place?",
    )
