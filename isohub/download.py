"""Files from the web: written beside their place and moved there when they are whole and proven, or not at all."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from isohub.errors import FetchError
from isohub.progress import Progress, Step
from isohub.web import Patience, Session

if TYPE_CHECKING:
    import httpx

__all__ = ["download", "download_url_to_file"]

_CHUNK = 1 << 20
# A server that sends less than this in a minute will not finish: curl's and git's low speed limit.
_SLOWEST_BYTES, _SLOWEST_SECONDS = 60 * 1024, 60.0


def download(
    url: str,
    path: Path,
    *,
    sha256_prefix: str | None = None,
    max_bytes: int | None = None,
    headers: Mapping[str, str] | None = None,
    session: Session | None = None,
    step: Step | None = None,
) -> None:
    """Bring the file at `url` (http, https or file) to `path`, whose folder exists.

    Args:
        sha256_prefix: what the SHA-256 of the file must begin with.
        max_bytes: a longer file is refused.
        headers: sent to the server of `url`, and without credentials to where it redirects.
        session: open connections to use.
        step: is told how far it has come.

    Raises:
        FetchError: nothing new lies at `path`, and what lay there is as it was.
    """
    partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}.partial")
    sink = _Sink(url, partial, sha256_prefix, max_bytes, step or Step())
    try:
        if url.startswith("file:"):
            sink.copy_file()
        elif session is not None:
            session.get(url, sink.read_response, headers=_as_it_is(headers))
        else:
            with Session(Patience()) as own:
                own.get(url, sink.read_response, headers=_as_it_is(headers))
        partial.replace(path)
    except OSError as error:
        raise FetchError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def download_url_to_file(
    url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Download `url` to the file `dst`, as ``torch.hub.download_url_to_file`` does.

    Args:
        hash_prefix: what the SHA-256 of the file must begin with.
        progress: show on a terminal how far it has come.

    Raises:
        FetchError: the download failed or has another hash; a file that was at `dst` is as it was.
    """
    path = Path(dst).expanduser()
    with Progress(None if progress else False).step(f"downloading {path.name}") as step:
        download(url, path, sha256_prefix=hash_prefix, step=step)


def _as_it_is(headers: Mapping[str, str] | None) -> dict[str, str]:
    # Weights are kept as they lie on the server; a compressed transfer would also hide their length.
    return {**(headers or {}), "Accept-Encoding": "identity"}


class _Sink:
    """Takes one file's bytes, counts them and proves them. It can begin anew when a connection broke."""

    def __init__(self, url: str, path: Path, prefix: str | None, max_bytes: int | None, step: Step) -> None:
        self._url = url
        self._path = path
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._step = step
        self._shown = 0

    def read_response(self, response: httpx.Response) -> None:
        length = response.headers.get("content-length", "")
        expected = int(length) if length.isdigit() else None
        self._step.total(expected)
        # Chunks as they come: waiting until a large one is full would hide that nothing comes any more.
        self._write(response.iter_raw(), expected)

    def copy_file(self) -> None:
        source = Path(url2pathname(urlsplit(self._url).path))
        try:
            file = source.open("rb")
        except OSError as error:
            raise FetchError(f"cannot read {source}: {error.strerror}") from error
        with file:
            self._step.total(os.fstat(file.fileno()).st_size)
            self._write(iter(lambda: file.read(_CHUNK), b""), None)

    def _write(self, chunks: Iterable[bytes], expected: int | None) -> None:
        digest = hashlib.sha256()
        written = 0
        slow_since, slow_from = time.monotonic(), 0
        with self._path.open("wb") as file:
            for chunk in chunks:
                written += len(chunk)
                if self._max_bytes is not None and written > self._max_bytes:
                    raise FetchError(
                        f"{self._url} is longer than the {self._max_bytes} bytes that are allowed"
                    )
                file.write(chunk)
                digest.update(chunk)
                self._show(written)
                now = time.monotonic()
                if now - slow_since > _SLOWEST_SECONDS:
                    if written - slow_from < _SLOWEST_BYTES:
                        raise FetchError(
                            f"{self._url} sends hardly anything any more", hint="try again later"
                        )
                    slow_since, slow_from = now, written
        if expected is not None and written != expected:
            raise FetchError(f"{self._url} broke off after {written} of {expected} bytes")
        if self._prefix is not None and not digest.hexdigest().startswith(self._prefix):
            raise FetchError(
                f'invalid hash value (expected "{self._prefix}", got "{digest.hexdigest()}") for {self._url}',
                hint="the file on the server is another one than expected, or was damaged on the way",
            )

    def _show(self, written: int) -> None:
        # After a broken connection the bar waits until the second try has caught up.
        if written > self._shown:
            self._step.advance(written - self._shown)
            self._shown = written
