"""Repositories behind any git URL, through the git binary.

Commands that talk to a server run with the user's configuration (proxies, ssh, credential helpers) but can neither ask
anybody nor run what a URL or repository says: only plain protocols, no hooks, no submodules, no templates. What is
exported is exported without the user's configuration, so that it is the same everywhere and no filter runs. It is
``git archive`` that exports, as on GitHub: ``export-ignore`` and ``export-subst`` are obeyed, submodules are empty folders
and files in Git LFS stay pointers.

Credentials that stood in a URL are kept for the time of this process and reach git through its environment: they are in no
argument list, no file and no pin.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from isohub.errors import FetchError, RepoNotFound
from isohub.masking import keep_secret
from isohub.sources.advertisement import Advertisement, Resolved, read_ls_remote
from isohub.sources.ref import Credentials, GitName, is_commit_id
from isohub.sources.tree import Pin

__all__ = ["resolve", "use_credentials", "write_archive"]

_ASKING = 120.0
_FETCHING = 3600.0
_OPTIONS = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", f"core.attributesFile={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "fetch.recurseSubmodules=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "http.lowSpeedLimit=1000"),
    *("-c", "http.lowSpeedTime=60"),
)
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}
# What names another repository than ours when isohub itself runs under git, from a hook say.
_STRAY = (
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_PREFIX"
    " GIT_NAMESPACE GIT_SHALLOW_FILE GIT_CONFIG GIT_TEMPLATE_DIR"
).split()
# Prints what it is asked for; git runs it with the shell that it brings.
_CREDENTIAL_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    '"$ISOHUB_GIT_USERNAME" "$ISOHUB_GIT_PASSWORD"; }; f'
)
_HIDDEN_OR_MISSING = (
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "could not read username",
    "could not read password",
    "authentication failed",
    "permission denied",
    "repository access denied",
)

_credentials: dict[str, Credentials] = {}


def use_credentials(name: GitName) -> None:
    """Use the credentials that stood in the URL whenever this process asks that repository."""
    if name.credentials is not None:
        _credentials[name.url] = name.credentials
        # A user without a password may be a token.
        keep_secret(name.credentials.password or name.credentials.username)


def resolve(name: GitName, *, skip_validation: bool = False, patience: float = _ASKING) -> Resolved:
    """Ask what the name means.

    Args:
        skip_validation: take a full commit id without proof that it is in a branch or tag.
        patience: seconds that the server may take to list its refs.

    Raises:
        RepoNotFound: there is no such repository, or it is hidden from us.
        RefError: it has no such ref, or the commit is not its own.
        FetchError: git is missing or fails.
    """
    with tempfile.TemporaryDirectory(prefix="isohub-git-", ignore_cleanup_errors=True) as folder:
        repository = _Repository(Path(folder), name.url, name.ref)
        advertisement = repository.advertisement(patience)
        resolved = advertisement.find(name.ref, name.url)
        if resolved is None:
            assert name.ref is not None  # only a commit id may need a proof
            commit = name.ref.lower()
            if not skip_validation:
                repository.prove(commit, advertisement)
            resolved = Resolved(commit, commit)
        return resolved


def write_archive(pin: Pin, archive: Path) -> None:
    """Fetch the pin's commit and write a zip archive of it.

    Raises:
        FetchError: the server does not have it, or git fails.
    """
    with tempfile.TemporaryDirectory(prefix="git-", dir=archive.parent, ignore_cleanup_errors=True) as folder:
        repository = _Repository(Path(folder), pin.repo, pin.commit)
        repository.fetch_commit(pin.commit)
        repository.export(pin.commit, archive)


class _Repository:
    """An empty repository of ours that knows the other one as its origin.

    Args:
        ref: what will be asked for; the length of a commit's id tells which hash the other repository uses.
    """

    def __init__(self, folder: Path, url: str, ref: str | None) -> None:
        self._folder = folder
        self._url = url
        self._credentials = _credentials.get(url)
        options = ["--quiet", "--bare", "--template="]
        if ref is not None and is_commit_id(ref) and len(ref) == 64:
            options.append("--object-format=sha256")
        self._git("init", *options, timeout=_ASKING, alone=True)
        self._git("remote", "add", "--", "origin", url, timeout=_ASKING, alone=True)

    def advertisement(self, patience: float) -> Advertisement:
        return read_ls_remote(self._git("ls-remote", "--symref", "origin", timeout=patience), self._url)

    def prove(self, commit: str, advertisement: Advertisement) -> None:
        """Return if the commit is in the history of a branch or tag. Only commits are fetched, where the server knows how."""
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._git("fetch", "--quiet", "--no-tags", "--filter=tree:0", "origin", *refs, timeout=_FETCHING)
        try:
            found = self._git("for-each-ref", "--count=1", "--contains", commit, timeout=_ASKING, alone=True)
        except FetchError:
            found = ""  # there is no such commit at all
        if not found:
            raise advertisement.not_its_own(commit, self._url)

    def fetch_commit(self, commit: str) -> None:
        try:
            self._git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit, timeout=_FETCHING)
        except FetchError:
            # Not every server hands out a commit that no ref is at.
            refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            self._git("fetch", "--quiet", "--no-tags", "origin", *refs, timeout=_FETCHING)
            try:
                self._git("cat-file", "-e", f"{commit}^{{commit}}", timeout=_ASKING, alone=True)
            except FetchError as error:
                raise FetchError(
                    f"{self._url} does not have the commit {commit} any more",
                    hint="force_reload=True asks anew which commit the ref is at",
                ) from error

    def export(self, commit: str, archive: Path) -> None:
        options = ("--format=zip", "-0", "--prefix=tree/", f"--output={archive}")
        self._git("archive", *options, commit, timeout=_FETCHING, alone=True)

    def _git(self, *arguments: str, timeout: float, alone: bool = False) -> str:
        """Run git in the repository.

        Args:
            alone: without the user's configuration, and without credentials.
        """
        environ = {name: value for name, value in os.environ.items() if name not in _STRAY} | _ENVIRONMENT
        if alone:
            environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "0"}
        elif self._credentials is not None:
            environ |= _credential_environment(self._credentials, environ)
        command = ["git", *_OPTIONS, f"--git-dir={self._folder}", *arguments]
        status, output, errors = _run(
            command, environ, self._folder, timeout, f"git {arguments[0]} for {self._url}"
        )
        if status == 0:
            return output
        tail = "\n".join(errors.strip().splitlines()[-8:])
        if arguments[0] == "ls-remote" and any(sign in errors.lower() for sign in _HIDDEN_OR_MISSING):
            raise RepoNotFound(
                f"there is no repository {self._url}, or it is hidden from us",
                tail=tail,
                hint="check the URL, and that `git ls-remote URL` answers without asking for a password",
            )
        raise FetchError(f"git {arguments[0]} failed for {self._url} (exit status {status})", tail=tail)


def _credential_environment(credentials: Credentials, environ: Mapping[str, str]) -> dict[str, str]:
    """Configuration of this one command, after what the user has put there in the same way."""
    if credentials.password is None:
        # The user's own helpers may know the password to it.
        settings = [("credential.username", credentials.username)]
        secrets = {}
    else:
        # The empty value drops the user's helpers, some of which would write the password to a file.
        settings = [("credential.helper", ""), ("credential.helper", _CREDENTIAL_HELPER)]
        secrets = {"ISOHUB_GIT_USERNAME": credentials.username, "ISOHUB_GIT_PASSWORD": credentials.password}
    count = environ.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdigit() else 0
    for index, (key, value) in enumerate(settings, start=first):
        secrets |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return {**secrets, "GIT_CONFIG_COUNT": str(first + len(settings))}


def _run(
    command: list[str], environ: dict[str, str], folder: Path, timeout: float, what: str
) -> tuple[int, str, str]:
    """Run a command without a terminal; when it takes too long it ends with all that it started."""
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise FetchError('source="git" needs git, and there is none on PATH', hint="install git") from error
    except OSError as error:
        raise FetchError(f"git does not start: {error}") from error
    with process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise FetchError(
                f"{what} did not end within {timeout:.0f} s", hint="is the server reachable?"
            ) from error
        finally:
            if process.poll() is None:
                _kill_with_children(process)
    return process.returncode, output, errors


def _kill_with_children(process: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
