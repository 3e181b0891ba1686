"""A question becomes a lock: uv resolves, and what it resolved for a repository is kept and used again.

Kept means that a new commit with the same plan gets the same versions, without asking anybody.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packaging.version import Version

from isohub.envs.buildlog import BuildLog
from isohub.envs.explanations import (
    NO_BUILD_HINT,
    NO_ROOM_HINT,
    explanation,
    hint,
    names,
    needs_wheel,
    no_network,
    no_room,
)
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock, LockedPackage, parse_lock
from isohub.envs.lock_index import default_index, with_index
from isohub.envs.plan import Plan
from isohub.envs.uv import ONLY_WHEELS, Uv, out_of_the_box
from isohub.errors import BuildError, IsohubError, OfflineError, ResolveError

__all__ = ["Question", "has_wheel", "kept_lock", "resolve"]

# uv gives up an index that does not answer after 30 s and three more tries, or what UV_HTTP_TIMEOUT and UV_HTTP_RETRIES say.
# This is for all of it together, builds for the sake of metadata among it.
_LIMIT = 900.0
_WHEEL_LIMIT = 120.0
# Of a distribution, normalised.
_NAME = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
# How the origins of these begin.
_TIMELESS = ("isohub's worker", "Hub(")


@dataclass(frozen=True)
class Question:
    """What uv is asked.

    Attributes:
        plan: what must be met.
        interpreter: what it must run on.
        repo: whose answer it is.
        as_of: the last day whose releases count. An index that does not say when files were uploaded, as folders and plain
            pages do not, then has none that count.
        torch_backend: as in the request.
    """

    plan: Plan
    interpreter: Interpreter
    repo: str
    as_of: date | None = None
    torch_backend: str | None = None

    @property
    def timeless(self) -> list[str]:
        """What has nothing to do with the repository's time: the needs of the worker, and what the user asks for."""
        asked = (*self.plan.requirements, *self.plan.constraints)
        return sorted({item.name for item in asked if item.origin.startswith(_TIMELESS)})

    def key(self, uv: Uv) -> str:
        """The name under which the answer is kept: equal exactly when uv would be asked the same for the same repository."""
        parts = [
            self.plan.key,
            self.interpreter.version_text,
            self.interpreter.implementation,
            self.interpreter.platform,
            uv.digest,
            self.repo,
            str(self.as_of),
            self.torch_backend,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def kept_lock(folder: Path) -> Lock | None:
    """The lock that is kept in the folder; None if there is none that can be read."""
    try:
        return parse_lock((folder / "pylock.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def resolve(question: Question, uv: Uv, folder: Path, log: BuildLog) -> Lock:
    """Resolve a plan.

    Args:
        question: what is asked.
        uv: resolves.
        folder: where the lock is kept. Nobody else may be at work in it.
        log: gets uv's whole output.

    Raises:
        ResolveError: nothing fits all of it; the message has uv's explanation and who asked for what it names.
        OfflineError: what fits is not in uv's cache.
        BuildError: uv does not run or does not end, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted, bounds = folder / "requirements.in", folder / "constraints.txt"
    _write(wanted, [item.text for item in question.plan.requirements])
    _write(bounds, [item.text for item in question.plan.constraints])
    lock = _compiled(wanted, [bounds], question, uv, folder, log)
    if uv.box is not None:
        lock = _confirmed(lock, question, out_of_the_box(uv), folder, log)
    partial = folder / "pylock.new.toml"
    partial.write_text(lock.text, encoding="utf-8")
    partial.replace(folder / "pylock.toml")
    return lock


def _compiled(
    wanted: Path, bounds: list[Path], question: Question, uv: Uv, folder: Path, log: BuildLog, *options: str
) -> Lock:
    # Whatever a box writes lies in the box.
    answered = (folder if uv.box is None else uv.box.scratch) / "pylock.answer.toml"
    answered.unlink(missing_ok=True)  # uv would prefer its versions
    arguments: list[str | Path] = ["pip", "compile", wanted, "--python", question.interpreter.path, "--quiet"]
    for path in (*bounds, *uv.settings.constraints):
        arguments += ["--constraints", path]
    if question.as_of is not None:
        arguments += ["--exclude-newer", f"{question.as_of}T23:59:59Z"]
        for name in question.timeless:
            arguments += ["--exclude-newer-package", f"{name}=9999-01-01T00:00:00Z"]
    if question.torch_backend is not None:
        arguments += ["--torch-backend", question.torch_backend]
    arguments += ["--format", "pylock.toml", "--generate-hashes", "--no-header", "--output-file", answered]
    python = question.interpreter.path
    answer = uv.run([*arguments, *options], log=log, limit=_LIMIT, python=python)
    if answer.returncode != 0:
        raise _failure(answer.output, question, uv, log)
    index = default_index(uv, folder / "nothing.in", python, log)
    try:
        text = answered.read_text(encoding="utf-8") if uv.box is None else uv.box.text(answered)
        answered.unlink(missing_ok=True)
        return parse_lock(with_index(text, index) if index else text)
    except (OSError, ValueError) as error:
        raise ResolveError(f"uv wrote no lock that can be used: {error}", log=log.path) from error


def _confirmed(lock: Lock, question: Question, uv: Uv, folder: Path, log: BuildLog) -> Lock:
    """A lock from a box, of which builds could have written every word: what is not built in there is asked for again, outside.

    Otherwise a file could be fetched from one place and be kept, for other environments too, as that of an index.
    """
    try:
        ready, sources = lock.parted()
        if not all(item.built for item in sources.packages):
            raise ValueError("it says one thing and means another")
        if not ready.packages:
            return lock
        wanted = folder / "ready.in"
        _write(wanted, [_asked_again(item, question) for item in ready.packages])
        again = _compiled(wanted, [], question, uv, folder, log, "--no-deps")
        confirmed = parse_lock("".join([again.text, *sources.blocks]))
        if confirmed.parted()[0].text != again.text:
            raise ValueError("it says one thing and means another")
    except ValueError as error:
        raise ResolveError(
            f"the lock that was made in the sandbox cannot be used: {error}", log=log.path
        ) from error
    return confirmed


def _asked_again(item: LockedPackage, question: Question) -> str:
    """The line that asks for what a lock from a box has. In such a file other lines mean other things, options among them."""
    asked = "\n".join(each.text for each in (*question.plan.requirements, *question.plan.constraints))
    local = not item.url.startswith(("https://", "http://"))
    named = not (item.url and local) or item.url in asked
    if not named or re.search(r"[\s$]", item.url) or not _NAME.fullmatch(item.name):
        raise ValueError(f"it has what nobody asked for: {item.requirement!r:.200}")
    if not item.url:
        Version(item.version)
    return item.requirement


def has_wheel(name: str, version: str, interpreter: Interpreter, uv: Uv, folder: Path, log: BuildLog) -> bool:
    """Whether a release of a distribution has a wheel for an interpreter.

    Args:
        folder: for a file of requirements.
    """
    wanted = folder / "wheel.in"
    wanted.write_text(f"{name}=={version}\n", encoding="utf-8")
    arguments: list[str | Path] = ["pip", "compile", wanted, "--python", interpreter.path, "--quiet"]
    return (
        uv.run(
            [*arguments, "--no-deps", *(() if uv.only_wheels else ONLY_WHEELS)],
            log=log,
            limit=_WHEEL_LIMIT,
            python=interpreter.path,
        ).returncode
        == 0
    )


def _write(path: Path, requirements: list[str]) -> None:
    lines = sorted({*requirements})
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _failure(output: str, question: Question, uv: Uv, log: BuildLog) -> IsohubError:
    said = explanation(output)
    if path := no_room(output):
        return BuildError(
            f"no room to resolve the requirements: cannot write {path}",
            step="write",
            tail=said,
            log=log.path,
            hint=NO_ROOM_HINT,
        )
    plan = question.plan
    asked = [item for item in (*plan.requirements, *plan.constraints) if names(said, item.name)]
    lines = [f"  {item.text}  ({item.origin})" for item in asked]
    tail = "\n".join([said, *(["asked for by:"] if asked else []), *lines])
    if uv.offline and no_network(output):
        return OfflineError(
            "what this repository requires is not in uv's cache",
            tail=tail,
            log=log.path,
            hint="go online once",
        )
    message = f"the requirements cannot be met on Python {question.interpreter.version_text}"
    what_to_do = NO_BUILD_HINT if uv.only_wheels and needs_wheel(said) else hint(said)
    return ResolveError(message, tail=tail, log=log.path, hint=what_to_do)
