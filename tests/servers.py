"""Real servers on loopback for tests: git repositories behind a stand-in for GitHub, and plain files.

Each server keeps a record of what it was asked, and can be told to misbehave. They use nothing of isohub.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

__all__ = [
    "CERTIFICATE",
    "Fault",
    "FileServer",
    "GitHubServer",
    "GitRepository",
    "Link",
    "Program",
    "Request",
    "git_environment",
]

ServerType = TypeVar("ServerType", bound="_Server")

#: The certificate, and its key, of servers with ``tls=True``: for 127.0.0.1 and localhost, signed by itself.
CERTIFICATE = Path(__file__).parent / "loopback.pem"


class Link(str):
    """The content of a file that is a symbolic link: its target."""


class Program(str):
    """The content of a file that may be executed."""


def git_environment() -> dict[str, str]:
    """For git commands that do the same on every machine and at any time."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "TZ": "UTC",
    }


class GitRepository:
    """A bare repository, made of commits that are given as files.

    Args:
        path: an empty or new folder.
        object_format: "sha1" or "sha256".
    """

    #: When the first commit is made; each later one comes a minute after.
    EPOCH = 1_600_000_000

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path = path
        self.url = path.as_uri()
        self._commits = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", f"--object-format={object_format}")
        self.git("config", "http.receivepack", "false")
        self.git("config", "uploadpack.allowFilter", "true")
        # GitHub hands out any object that it has, a fork's as well.
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")

    def git(self, *arguments: str, input: bytes | None = None) -> str:
        """Run git in the repository; its output without the last line feed."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            input=input,
            env=git_environment(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode().removesuffix("\n")

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        *,
        branch: str = "main",
        parent: str | None = None,
        message: str = "a commit",
    ) -> str:
        """Commit `files` on top of the branch, which is made if need be; a file that is None is deleted.

        Args:
            branch: a branch, or any ref in full.
            parent: a commit to begin a new branch from.

        Returns:
            The commit's id.
        """
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        if parent is None and self.git("for-each-ref", ref):
            parent = ref
        when = self.EPOCH + 60 * self._commits
        self._commits += 1
        stream = io.BytesIO()
        stream.write(f"commit {ref}\ncommitter A U Thor <author@example.com> {when} +0000\n".encode())
        stream.write(_data(message.encode()))
        if parent is not None:
            stream.write(f"from {self.git('rev-parse', parent)}\n".encode())
        for name, content in files.items():
            if content is None:
                stream.write(f"D {name}\n".encode())
                continue
            mode = {Link: "120000", Program: "100755"}.get(type(content), "100644")
            stream.write(f"M {mode} inline {name}\n".encode())
            stream.write(_data(content if isinstance(content, bytes) else content.encode()))
        self.git("fast-import", "--quiet", "--force", input=stream.getvalue())
        return self.git("rev-parse", ref)

    def branch(self, name: str, *, at: str = "main") -> str:
        """Make a branch or move it; the commit it is at."""
        self.git("update-ref", f"refs/heads/{name}", self.git("rev-parse", f"{at}^{{commit}}"))
        return self.git("rev-parse", f"refs/heads/{name}")

    def tag(self, name: str, *, at: str = "main", annotated: bool = False) -> str:
        """Make a tag; the commit it is at."""
        commit = self.git("rev-parse", f"{at}^{{commit}}")
        target = commit
        if annotated:
            text = f"object {commit}\ntype commit\ntag {name}\ntagger A U Thor <author@example.com> {self.EPOCH} +0000\n\nA tag\n"
            target = self.git("mktag", input=text.encode())
        self.git("update-ref", f"refs/tags/{name}", target)
        return commit

    def pull_request(
        self, number: int, files: Mapping[str, str | bytes | None], *, parent: str = "main"
    ) -> str:
        """A stranger's commit: in the repository's store, but only a pull request is at it."""
        return self.commit(files, branch=f"refs/pull/{number}/head", parent=parent)

    def default(self, branch: str) -> None:
        """Make it the default branch."""
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def archive(self, commit: str, top: str) -> bytes:
        """The zip archive that GitHub makes of a commit."""
        done = subprocess.run(
            ["git", "archive", "--format=zip", f"--prefix={top}/", commit],
            cwd=self.path,
            env=git_environment(),
            capture_output=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@dataclass(frozen=True)
class Request:
    """What a server was asked."""

    method: str
    path: str
    authorization: str | None


@dataclass
class Fault:
    """What goes wrong instead of the right answer, or with it.

    Attributes:
        status: answer with this status; 0 leaves the answer as it is.
        headers: in addition.
        body: of an answer with `status`.
        hang: say nothing until the server ends.
        truncate: break off after so many bytes of the right answer's body.
        drip: send the body byte by byte, so many seconds apart.
        times: how often; None for always.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False
    truncate: int | None = None
    drip: float = 0.0
    times: int | None = None


class _Server:
    """A server in threads of this process, from ``with`` to its end."""

    def __init__(self, *, tls: bool = False) -> None:
        self.requests: list[Request] = []
        self._faults: list[tuple[str, Fault]] = []
        self.ending = threading.Event()
        self._listeners: list[tuple[_Listener, threading.Thread]] = []
        self._tls = tls

    def listen(self) -> str:
        """Open a port; its URL."""
        listener = _Listener(self)
        scheme = "http"
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            listener.socket = context.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self._listeners.append((listener, thread))
        return f"{scheme}://127.0.0.1:{listener.server_address[1]}"

    def __enter__(self: ServerType) -> ServerType:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.ending.set()
        for listener, thread in self._listeners:
            listener.shutdown()
            listener.server_close()
            thread.join()
        self._listeners.clear()

    def count(self, part: str = "") -> int:
        """How many requests had `part` in their path."""
        return sum(part in request.path for request in self.requests)

    def fail(
        self,
        part: str,
        status: int = 0,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        hang: bool = False,
        truncate: int | None = None,
        drip: float = 0.0,
        times: int | None = None,
    ) -> None:
        """From now on, requests with `part` in their path go wrong as :class:`Fault` says."""
        self._faults.append((part, Fault(status, headers or {}, body, hang, truncate, drip, times)))

    def recover(self) -> None:
        """No request goes wrong any more."""
        self._faults.clear()

    def answer(self, request: Request, handler: _Handler) -> None:
        raise NotImplementedError

    def fault_for(self, path: str) -> Fault | None:
        """What goes wrong with a request for `path`, if anything does."""
        for part, fault in self._faults:
            if part in path and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


class _Listener(ThreadingHTTPServer):
    def __init__(self, owner: _Server) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news, and neither is one that does not trust our certificate."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        owner = self.server.owner
        # A client that takes us for its proxy asks for a whole URL.
        target = urlsplit(self.path)
        path = target.path + (f"?{target.query}" if target.query else "")
        request = Request(self.command, path, self.headers.get("Authorization"))
        owner.requests.append(request)
        self.fault = owner.fault_for(path)
        if self.fault is not None and self.fault.hang:
            owner.ending.wait()
        elif self.fault is not None and self.fault.status:
            self.reply(self.fault.status, self.fault.body, self.fault.headers)
        else:
            owner.answer(request, self)

    def do_POST(self) -> None:
        self.do_GET()

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        fault = self.fault or Fault()
        body = body[: fault.truncate]
        if not fault.drip:
            self.wfile.write(body)
            return
        for position in range(len(body)):
            self.wfile.write(body[position : position + 1])
            if self.server.owner.ending.wait(fault.drip):
                return

    def log_message(self, format: str, *arguments: object) -> None:
        """The record is in `requests`."""


class FileServer(_Server):
    """Serves bytes.

    Attributes:
        files: by path.
        headers: of every answer.
        url: where it is.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.url = self.listen()

    def put(self, path: str, content: bytes) -> str:
        """Serve `content`; its URL."""
        self.files[path] = content
        return self.url + path

    def answer(self, request: Request, handler: _Handler) -> None:
        content = self.files.get(urlsplit(request.path).path)
        handler.reply(404 if content is None else 200, content or b"", self.headers)


class GitHubServer(_Server):
    """GitHub, as far as loading a hub goes: repositories over smart HTTP, archives from a second host, comparison by API.

    Args:
        folder: where the repositories are made.
        tls: serve https, with :data:`CERTIFICATE`.

    Attributes:
        url: where repositories are; for ``ISOHUB_GITHUB_URL``.
        api_url: for ``ISOHUB_GITHUB_API_URL``.
        archive_url: the other host, to which requests for archives are redirected.
        token: what a client must send to see anything; None lets everybody in.
        refuses_tokens: answer 401 to whoever sends one, as GitHub does when it has expired.
        archives: served instead of the true archive, by commit.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self._folder = folder
        self._renamed: dict[str, str] = {}
        self.repositories: dict[str, GitRepository] = {}
        self.token: str | None = None
        self.refuses_tokens = False
        self.archives: dict[str, bytes] = {}
        self.url = self.listen()
        self.api_url = f"{self.url}/api/v3"
        self.archive_url = self.listen()

    def create(self, name: str, files: Mapping[str, str | bytes | None] | None = None) -> GitRepository:
        """Make the repository ``owner/name``, with a first commit on ``main`` if there are files."""
        repository = GitRepository(self._folder / f"{name}.git")
        if files:
            repository.commit(files)
        self.repositories[name] = repository
        return repository

    def rename(self, old: str, new: str) -> None:
        """Give the repository another name; the old one redirects there."""
        self.repositories[new] = self.repositories.pop(old)
        target = self._folder / f"{new}.git"
        target.parent.mkdir(exist_ok=True)
        self.repositories[new].path = self.repositories[new].path.rename(target)
        self._renamed[old] = new

    def environment(self) -> dict[str, str]:
        """The variables by which isohub takes this server for GitHub."""
        direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1")))
        return {"ISOHUB_GITHUB_URL": self.url, "ISOHUB_GITHUB_API_URL": self.api_url, "NO_PROXY": direct}

    @contextmanager
    def nobody_asks(self) -> Iterator[None]:
        """The block is over without a request."""
        before = len(self.requests)
        yield
        assert self.requests[before:] == []

    def answer(self, request: Request, handler: _Handler) -> None:
        at = rf"/(?P<repo>{_NAME}/{_NAME}?)"
        routes = (
            (
                rf"{at}(?:\.git)?(?P<rest>/info/refs\?service=git-upload-pack|/git-upload-pack)",
                self._smart_http,
            ),
            (rf"{at}/zipball/(?P<rest>[0-9a-f]+)", self._to_archive_host),
            (rf"{at}/legacy\.zip/(?P<rest>[0-9a-f]+)(?:\?.*)?", self._archive),
            (rf"/api/v3/repos{at}/compare/(?P<rest>[0-9a-f]+\.\.\.[0-9a-f]+)(?:\?.*)?", self._compare),
        )
        for pattern, respond in routes:
            match = re.fullmatch(pattern, request.path)
            if match is None:
                continue
            name, rest = match["repo"], match["rest"]
            if name in self._renamed:
                target = request.path.replace(name, self._renamed[name], 1)
                return handler.reply(301, headers={"Location": self.url + target})
            repository = self.repositories.get(name)
            archive_host = respond == self._archive  # its links carry their permission
            if self.refuses_tokens and request.authorization and not archive_host:
                return handler.reply(401, b'{"message": "Bad credentials"}')
            hidden = (
                self.token is not None and _token(request.authorization) != self.token and not archive_host
            )
            if repository is None or hidden:
                # git's protocol asks strangers who they are; the rest of GitHub says that there is nothing.
                asks = respond == self._smart_http and not request.authorization
                headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if asks else {}
                return handler.reply(401 if asks else 404, b"Repository not found.", headers)
            return respond(handler, name, repository, rest)
        return handler.reply(404, b"Not Found")

    def _smart_http(self, handler: _Handler, name: str, repository: GitRepository, rest: str) -> None:
        path, _, query = rest.partition("?")
        length = int(handler.headers.get("Content-Length") or 0)
        done = subprocess.run(
            ["git", "http-backend"],
            input=handler.rfile.read(length),
            env=git_environment()
            | {
                "GIT_PROJECT_ROOT": str(self._folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
                "PATH_INFO": f"/{name}.git{path}",
                "QUERY_STRING": query,
                "REQUEST_METHOD": handler.command,
                "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
                "REMOTE_ADDR": "127.0.0.1",
            },
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        handler.reply(int(headers.pop("Status", "200").split()[0]), body, headers)

    def _to_archive_host(self, handler: _Handler, name: str, repository: GitRepository, commit: str) -> None:
        if not _has_commit(repository, commit):
            return handler.reply(404, b"404: Not Found")
        permission = "?token=ARCHIVEPERMISSION" if self.token else ""
        location = f"{self.archive_url}/{name}/legacy.zip/{commit}{permission}"
        return handler.reply(302, headers={"Location": location})

    def _archive(self, handler: _Handler, name: str, repository: GitRepository, commit: str) -> None:
        content = self.archives.get(commit)
        if content is None:
            content = repository.archive(commit, f"{name.replace('/', '-')}-{commit[:7]}")
        handler.reply(200, content, {"Content-Type": "application/zip"})

    def _compare(self, handler: _Handler, name: str, repository: GitRepository, rest: str) -> None:
        """As GitHub does, for any commit in its store, whoever's it is."""
        base, _, head = rest.partition("...")
        if not _has_commit(repository, base) or not _has_commit(repository, head):
            return handler.reply(404, b'{"message": "Not Found"}')
        if not _related(repository, base, head):
            return handler.reply(404, b'{"message": "No common ancestor"}')
        left_right = repository.git("rev-list", "--count", "--left-right", f"{base}...{head}")
        behind, ahead = (int(number) for number in left_right.split())
        status = {(False, False): "identical", (True, False): "behind", (False, True): "ahead"}.get(
            (behind > 0, ahead > 0), "diverged"
        )
        answer = {"status": status, "ahead_by": ahead, "behind_by": behind}
        return handler.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


_NAME = r"[A-Za-z0-9._-]+"


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _has_commit(repository: GitRepository, commit: str) -> bool:
    try:
        return repository.git("cat-file", "-t", commit) == "commit"
    except AssertionError:
        return False


def _related(repository: GitRepository, one: str, other: str) -> bool:
    try:
        return bool(repository.git("merge-base", one, other))
    except AssertionError:
        return False


def _token(authorization: str | None) -> str | None:
    """The token, however it was sent: ``Bearer``, ``token``, or as the password of ``Basic``."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return value or None
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
