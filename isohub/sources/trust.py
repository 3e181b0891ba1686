"""Whose code may run here. Asked once the commit is known, and before anything of it is fetched.

As in torch.hub, the owners that it trusts are trusted and so is what the user has agreed to, be it to us or to torch.hub. What
we remember is the repository *and* the commit, one file for each approval under trust-v1/: by default the repository is enough,
with ``Settings.trust == "content"`` each commit is asked for.

The lists go by names on GitHub. ``github_url`` may name a mirror or an Enterprise server instead; only the user can set it, and
then the names of that server count.
"""

from __future__ import annotations

import sys

from isohub.config import Settings, torch_home
from isohub.errors import ConfigError, FetchError, UntrustedRepo
from isohub.sources.jsonfile import read_json, write_json
from isohub.sources.store import repository_key
from isohub.sources.tree import Pin

__all__ = ["TRUSTED_OWNERS", "require"]

TRUSTED_OWNERS = ("facebookresearch", "facebookincubator", "pytorch", "fairinternal")

_HINT = "if you trust its code, pass trust_repo=True (on the command line: --trust)"


def require(pin: Pin, trust_repo: bool | str | None, settings: Settings) -> None:
    """Return if the code of the pin may be fetched and run; ask the user if that is not known.

    Args:
        trust_repo: True agrees and is remembered, False asks in any case, "check" asks if need be. None, torch.hub's old
            default, is "check".

    Raises:
        UntrustedRepo: the user said no, or there is no terminal to ask at.
    """
    if trust_repo not in (True, False, "check", None):
        raise ConfigError(f"trust_repo is {trust_repo!r}", hint='use "check", True or False')
    if pin.source in ("local", "builtin"):
        return
    if trust_repo is True:
        _remember(pin, settings)
    elif trust_repo is False or not _is_trusted(pin, settings):
        _ask(pin, settings)
        _remember(pin, settings)


def _is_trusted(pin: Pin, settings: Settings) -> bool:
    if pin.source == "github" and pin.repo.split("/")[-2] in TRUSTED_OWNERS:
        return True
    approvals = settings.home / "trust-v1" / repository_key(pin.source, pin.repo)
    if settings.trust == "content":
        return read_json(approvals / f"{pin.commit}.json") is not None
    return any(read_json(path) for path in approvals.glob("*.json")) or _torch_hub_trusts(pin)


def _torch_hub_trusts(pin: Pin) -> bool:
    """Whether the user agreed when torch.hub asked, which writes ``owner_name`` into a file."""
    if pin.source != "github":
        return False
    owner, name = pin.repo.split("/")[-2:]
    if "_" in owner:
        return False  # "a_b_c" would be a_b/c as well as a/b_c, whoever of the two was meant
    path = torch_home() / "hub" / "trusted_list"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FetchError(
            f"cannot read torch.hub's list of trusted repositories, {path}: {error.strerror}"
        ) from error
    return f"{owner}_{name}" in (line.strip() for line in lines)


def _remember(pin: Pin, settings: Settings) -> None:
    path = settings.home / "trust-v1" / repository_key(pin.source, pin.repo) / f"{pin.commit}.json"
    if read_json(path) is None:
        write_json(path, {"source": pin.source, "repo": pin.repo, "ref": pin.ref, "commit": pin.commit})


def _ask(pin: Pin, settings: Settings) -> None:
    what = f"The repository {pin.repo}"
    if settings.trust == "content":
        what += f" at commit {pin.commit}"
    if sys.stdin is None or not sys.stdin.isatty():
        raise UntrustedRepo(f"{what} is not trusted, and there is no terminal to ask at", hint=_HINT)
    question = (
        f"{what} does not belong to the list of trusted repositories and as such cannot be downloaded. "
        "Do you trust this repository and wish to add it to the trusted list of repositories (y/N)?"
    )
    print(question, end=" ", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise UntrustedRepo(f"{what} is not trusted: the answer was {answer.strip() or 'no'!r}", hint=_HINT)
