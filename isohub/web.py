"""Asking HTTP servers: one session with the machine's proxies and certificates, one policy for what is tried again.

A server that is busy, limits its rate or breaks the connection is asked a few times more, never for longer than the
deadline. A request for patience (``Retry-After``) is honoured if it fits. Redirects are followed, but not from https to http,
and no credentials go along to another server (httpx sees to that). httpx is imported by the first session only.
"""

from __future__ import annotations

import email.utils
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from isohub.errors import ConfigError, FetchError

if TYPE_CHECKING:
    import httpx

__all__ = ["Patience", "Session", "StatusError"]

T = TypeVar("T")

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long a server may take.

    Attributes:
        tries: how often it is asked at most.
        silence: seconds without a byte after which a try has failed.
        pause: seconds before the second try; each further pause is twice as long.
        deadline: seconds after which no further try begins.
    """

    tries: int = 4
    silence: float = 30.0
    pause: float = 0.5
    deadline: float = 60.0


class StatusError(FetchError):
    """The server answered, but with a status that is no success.

    Attributes:
        status: the HTTP status.
        wait: seconds that the server asks to wait; None if it does not.
    """

    def __init__(self, url: str, status: int, reason: str, wait: float | None) -> None:
        limited = status == 429 or (status == 403 and wait is not None)
        message = f"{url} answered {status} {reason}".rstrip()
        if limited:
            message += " (rate limit)"
        if wait is not None:
            message += f", and asks to wait {_duration(wait)}"
        hint = None
        if limited:
            hint = "wait, or set GITHUB_TOKEN if this is GitHub: its limits are higher for those who say who they are"
        elif status in _PASSING:
            hint = "the server is in trouble: try again later"
        super().__init__(message, hint=hint)
        self.status = status
        self.wait = wait
        self.limited = limited


class Session:
    """Keeps connections open between requests.

    Args:
        patience: how long servers may take.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        import httpx

        self._patience = patience or Patience()
        self._client = httpx.Client(
            verify=_certificates() or True,
            timeout=self._patience.silence,
            follow_redirects=True,
            max_redirects=10,
            headers={"User-Agent": "isohub"},
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def get(
        self, url: str, read: Callable[[httpx.Response], T], *, headers: Mapping[str, str] | None = None
    ) -> T:
        """Ask for `url` and read the answer.

        Args:
            read: gets the response while it is open. It is called anew when the connection breaks while it reads.

        Returns:
            What `read` returned.

        Raises:
            StatusError: the last answer was no success.
            FetchError: no answer came, or it broke off.
        """
        started = time.monotonic()
        pause = self._patience.pause
        tries_left = self._patience.tries
        while True:
            try:
                return self._get(url, read, headers or {})
            except _Passing as passing:
                wait = pause if passing.wait is None else passing.wait
                tries_left -= 1
                if not tries_left or time.monotonic() + wait > started + self._patience.deadline:
                    raise passing.error from passing.__cause__
            time.sleep(wait)
            pause *= 2

    def read_all(self, response: httpx.Response, limit: int) -> bytes:
        """A `read` for short answers: at most `limit` bytes, and complete before the deadline.

        Raises:
            FetchError: it is longer, or drips in too slowly.
        """
        deadline = time.monotonic() + self._patience.deadline
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > limit:
                raise FetchError(f"{response.url} answered with more than {limit} bytes")
            if time.monotonic() > deadline:
                raise FetchError(f"{response.url} did not finish its answer in time")
        return bytes(data)

    def _get(self, url: str, read: Callable[[httpx.Response], T], headers: Mapping[str, str]) -> T:
        import httpx

        try:
            with self._client.stream("GET", url, headers=headers) as response:
                if url.startswith("https:") and any(
                    step.url.scheme != "https" for step in (*response.history, response)
                ):
                    raise FetchError(f"{url} redirects to an unencrypted address")
                if not response.is_success:
                    wait = _wait_asked_for(response.headers)
                    refused = StatusError(url, response.status_code, response.reason_phrase, wait)
                    if refused.limited or refused.status in _PASSING:
                        raise _Passing(refused, wait)
                    raise refused
                return read(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise FetchError(f"cannot get {url}: {error}") from error
        except httpx.TimeoutException as error:
            silence = self._patience.silence
            failed = FetchError(f"{url} was silent for {_duration(silence)}", hint=_HINT)
            raise _Passing(failed) from error
        except httpx.HTTPError as error:
            raise _Passing(FetchError(f"cannot get {url}: {error}", hint=_HINT)) from error


_HINT = "check the network, HTTPS_PROXY and SSL_CERT_FILE; what is cached works without them"


class _Passing(Exception):
    """A failure that may pass."""

    def __init__(self, error: FetchError, wait: float | None = None) -> None:
        self.error = error
        self.wait = wait


def _certificates() -> ssl.SSLContext | None:
    """The authorities that curl, requests and OpenSSL are told to trust here; None leaves it to httpx."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        value = os.environ.get(name)
        if not value:
            continue
        path = Path(value)
        try:
            if path.is_dir():
                return ssl.create_default_context(capath=path)
            return ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ConfigError(
                f"the environment variable {name} names {value!r}, which cannot be read as certificates: {error}",
                hint=f"correct or unset {name}",
            ) from error
    return None


def _wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds, from ``Retry-After`` or from GitHub's word on when a used-up quota is filled again."""
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    if after:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
        except ValueError:
            return None
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(0.0, int(reset) - time.time())
    return None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
