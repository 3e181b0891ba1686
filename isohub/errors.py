"""Every error that isohub raises, named by whose fault it was.

    IsohubError
     |- ConfigError          (ValueError)    a setting or an argument of isohub's own is wrong
     |- RefError             (ValueError)    a repository or ref is misspelt, or the repository has no such ref
     |- RepoNotFound         (RuntimeError)  no such repository, or it is not visible with these credentials
     |- FetchError           (RuntimeError)  the network, the server, git or the archive failed
     |- OfflineError         (RuntimeError)  it is not in the cache, and offline means that nobody is asked
     |- UntrustedRepo        (RuntimeError)  the repository is not trusted, or its owner was not asked
     |- HubconfError         (RuntimeError)  the repository's hubconf.py is missing, unreadable or does not import
     |   `- EntryPointNotFound               it has no entry point of that name
     |- PythonNotFound       (RuntimeError)  no interpreter on this machine fits
     |- GpuNotFound          (RuntimeError)  there is no such GPU on this machine
     |- SandboxError         (RuntimeError)  this machine cannot make the sandbox that was asked for
     |- ResolveError         (RuntimeError)  the requirements contradict each other or do not exist
     |- BuildError           (RuntimeError)  a step of building the environment failed
     |- HubClosed            (RuntimeError)  the Hub was closed before this call
     |- WorkerDied           (RuntimeError)  the worker process ended while it was needed
     |- CallTimeout          (TimeoutError)  the call did not answer in time
     |- ProtocolError        (RuntimeError)  the peer broke the wire protocol
     |- RemoteError                          the code in the worker raised; also the built-in base of what it raised
     |- StaleObject          (RuntimeError)  a remote object whose worker is gone
     |- ForeignObject        (ValueError)    a remote object was given to a worker that does not own it
     `- UnsupportedValue     (TypeError)     a value has no form that can cross to the worker

Built-in bases are there so that code written for torch.hub, which raises ``RuntimeError`` and ``ValueError``, goes on working.
"""

from __future__ import annotations

from pathlib import Path

from isohub.masking import masked

__all__ = [
    "BuildError",
    "CallTimeout",
    "ConfigError",
    "EntryPointNotFound",
    "FetchError",
    "ForeignObject",
    "GpuNotFound",
    "HubClosed",
    "HubconfError",
    "IsohubError",
    "OfflineError",
    "ProtocolError",
    "PythonNotFound",
    "RefError",
    "RemoteError",
    "RepoNotFound",
    "ResolveError",
    "SandboxError",
    "StaleObject",
    "UnsupportedValue",
    "UntrustedRepo",
    "WorkerDied",
]


class IsohubError(Exception):
    """The root of all errors that isohub raises. Secrets in its texts are masked.

    Args:
        message: what failed, and which thing it failed on.
        tail: the last lines of output that matter, if there was any.
        log: the file that has all of it.
        hint: what to do next.
    """

    def __init__(
        self, message: str, *, tail: str | None = None, log: Path | str | None = None, hint: str | None = None
    ) -> None:
        # Not super(), which in a RemoteError may be a built-in error that is made from other arguments.
        self.message = masked(message)
        Exception.__init__(self, self.message)
        self.tail = None if tail is None else masked(tail)
        self.log = Path(log) if log is not None else None
        self.hint = None if hint is None else masked(hint)

    def __str__(self) -> str:
        parts = [self.message]
        if self.tail:
            parts.append("\n".join(f"  | {line}" for line in self.tail.rstrip().splitlines()))
        if self.log is not None:
            parts.append(f"  log: {self.log}")
        if self.hint:
            parts.append(f"  try: {self.hint}")
        return "\n".join(parts)


class ConfigError(IsohubError, ValueError):
    """A setting or an argument of isohub's own is wrong."""


class RefError(IsohubError, ValueError):
    """A repository or ref is misspelt, or the repository has no such ref."""


class RepoNotFound(IsohubError, RuntimeError):
    """No such repository, or it is not visible with these credentials."""


class FetchError(IsohubError, RuntimeError):
    """The network, the server, git or the archive failed."""


class OfflineError(IsohubError, RuntimeError):
    """It is not in the cache, and offline means that nobody is asked."""


class UntrustedRepo(IsohubError, RuntimeError):
    """The repository is not trusted, and nobody could be asked or the answer was no."""


class HubconfError(IsohubError, RuntimeError):
    """The repository's ``hubconf.py`` is missing, unreadable or does not import."""


class EntryPointNotFound(HubconfError):
    """The hubconf has no entry point of that name."""


class PythonNotFound(IsohubError, RuntimeError):
    """No interpreter on this machine fits what was asked for."""


class GpuNotFound(IsohubError, RuntimeError):
    """There is no such GPU on this machine, or nothing that knows of it."""


class SandboxError(IsohubError, RuntimeError):
    """This machine cannot make the sandbox that was asked for."""


class ResolveError(IsohubError, RuntimeError):
    """The requirements contradict each other, or one of them does not exist."""


class BuildError(IsohubError, RuntimeError):
    """A step of building the environment failed."""

    def __init__(
        self,
        message: str,
        *,
        step: str,
        tail: str | None = None,
        log: Path | str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, tail=tail, log=log, hint=hint)
        self.step = step


class HubClosed(IsohubError, RuntimeError):
    """The Hub was closed before this call."""


class WorkerDied(IsohubError, RuntimeError):
    """The worker process ended while it was needed.

    Attributes:
        returncode: exit status; negative for the signal that killed it, as in :mod:`subprocess`; None if unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        returncode: int | None = None,
        tail: str | None = None,
        log: Path | str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, tail=tail, log=log, hint=hint)
        self.returncode = returncode


class CallTimeout(IsohubError, TimeoutError):
    """The call did not answer in time."""


class ProtocolError(IsohubError, RuntimeError):
    """The peer broke the wire protocol."""


class StaleObject(IsohubError, RuntimeError):
    """A remote object whose worker is gone."""


class ForeignObject(IsohubError, ValueError):
    """A remote object was given to a worker that does not own it."""


class UnsupportedValue(IsohubError, TypeError):
    """A value has no form that can cross to the worker."""


class RemoteError(IsohubError):
    """The code in the worker raised.

    What is raised is also an instance of the built-in base of the remote exception, so ``except ValueError`` works. Its text is
    the remote exception's; the remote traceback and the log are shown as its cause.

    Attributes:
        type_name: qualified name of the remote exception's class.
        traceback_text: the remote traceback, as text.
    """

    def __init__(
        self,
        message: str,
        *,
        type_name: str = "Exception",
        traceback_text: str = "",
        tail: str | None = None,
        log: Path | str | None = None,
    ) -> None:
        super().__init__(message, tail=tail, log=log)
        self.type_name = type_name
        self.traceback_text = masked(traceback_text)

    def __str__(self) -> str:
        return self.message
