"""A plan and an interpreter become a lock: uv resolves, and what it resolved for a repository is kept and used again.

Kept means that a new commit with the same plan gets the same versions, without asking anybody.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from isohub.envs.buildlog import BuildLog
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock, parse_lock
from isohub.envs.plan import Plan
from isohub.envs.uv import Uv
from isohub.errors import OfflineError, ResolveError
from isohub.hubconf.requirements import Requirement

__all__ = ["kept_lock", "lock_key", "no_network", "resolve"]

_LIMIT = 900.0


def lock_key(plan: Plan, interpreter: Interpreter, uv: Uv, repo: str) -> str:
    """The name under which a lock is kept: equal exactly when uv would be asked the same for the same repository."""
    parts = [
        plan.key,
        interpreter.version_text,
        interpreter.implementation,
        interpreter.platform,
        uv.digest,
        repo,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def kept_lock(folder: Path) -> Lock | None:
    """The lock that is kept in the folder; None if there is none that can be read."""
    try:
        return parse_lock((folder / "pylock.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def resolve(plan: Plan, interpreter: Interpreter, uv: Uv, folder: Path, log: BuildLog) -> Lock:
    """Resolve the plan.

    Args:
        plan: what is asked for.
        interpreter: what it must run on.
        uv: resolves.
        folder: where the lock is kept. Nobody else may be at work in it.
        log: gets uv's whole output.

    Raises:
        ResolveError: nothing fits all of it; the message has uv's explanation and who asked for what it names.
        OfflineError: what fits is not in uv's cache.
        BuildError: uv does not run or does not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted, bounds, partial = (
        folder / "requirements.in",
        folder / "constraints.txt",
        folder / "pylock.new.toml",
    )
    _write(wanted, plan.requirements)
    _write(bounds, plan.constraints)
    partial.unlink(missing_ok=True)  # uv would prefer its versions
    arguments: list[str | Path] = ["pip", "compile", wanted, "--python", interpreter.path, "--quiet"]
    for path in (bounds, *uv.settings.constraints):
        arguments += ["--constraints", path]
    arguments += ["--format", "pylock.toml", "--generate-hashes", "--no-header", "--output-file", partial]
    answer = uv.run(arguments, log=log, limit=_LIMIT)
    if answer.returncode != 0:
        raise _failure(answer.output, plan, interpreter, uv, log)
    try:
        lock = parse_lock(partial.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResolveError(f"uv wrote no lock that can be used: {error}", log=log.path) from error
    partial.replace(folder / "pylock.toml")
    return lock


def no_network(output: str) -> bool:
    """Whether uv failed because it was told to ask nobody."""
    return "network was disabled" in output or "network connectivity is disabled" in output.lower()


def _write(path: Path, requirements: tuple[Requirement, ...]) -> None:
    lines = sorted({item.text for item in requirements})
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _failure(
    output: str, plan: Plan, interpreter: Interpreter, uv: Uv, log: BuildLog
) -> ResolveError | OfflineError:
    explanation = _explanation(output)
    named = [item for item in (*plan.requirements, *plan.constraints) if _names(explanation, item.name)]
    asked = [f"{item.text}  ({item.origin})" for item in named]
    tail = "\n".join([explanation, *(["asked for by:"] if asked else []), *(f"  {line}" for line in asked)])
    if uv.offline and no_network(output):
        return OfflineError(
            "what this repository requires is not in uv's cache",
            tail=tail,
            log=log.path,
            hint="go online once",
        )
    message = f"the requirements cannot be met on Python {interpreter.version_text}"
    return ResolveError(message, tail=tail, log=log.path, hint=_hint(explanation))


def _explanation(output: str) -> str:
    """uv's words without its ornaments and without what every failure says."""
    lines = [
        re.sub(r"^[\s\u00d7\u2500-\u25ff]*(error: |cause: |hint: )?", "", line)
        for line in output.splitlines()
    ]
    kept = [line for line in lines if line and not line.startswith(("No solution found when", "Resolved "))]
    return "\n".join(kept[-40:]) or "uv gave no reason"


def _names(explanation: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", explanation) is not None


def _hint(explanation: str) -> str:
    if (
        "Failed to fetch" in explanation
        or "error sending request" in explanation
        or "timed out" in explanation
    ):
        return "check the network and the index; what is cached works with isohub.Hub(offline=True)"
    if "was not found in the package registry" in explanation:
        return "is the name a distribution's? If it is a module's, add what provides it: isohub.Hub(requirements=[...])"
    if "Python version" in explanation or "wheels" in explanation:
        return 'another Python may fit: isohub.Hub(python="3.8")'
    return "loosen a bound, or take another Python: isohub.Hub(requirements=, constraints=, python=)"
