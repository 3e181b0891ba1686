"""A plan: what an environment must hold and within which bounds, each line with who asked for it.

Making a plan runs nothing and asks nobody: it is drawn from the repository's files and the user's words alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement

from isohub.envs.buildlog import masked
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError
from isohub.hubconf.distributions import requirement_for
from isohub.hubconf.requirements import (
    Requirement,
    RequirementFiles,
    parse_requirement,
    read_requirement_files,
)
from isohub.hubconf.scan import Hubconf, read_hubconf

__all__ = ["Plan", "make_plan", "read_plan"]

# What the worker itself imports. The bounds are the oldest that it was written for; all have builds for Python 3.7.
_WORKER = ("msgpack>=1.0.5", "pyzmq>=22.3")
_URL = re.compile(r"(?:[a-z]+\+)?[a-z]+://", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<!ssh)://[^/\s]+@|://[^/\s]*:[^/\s]*@")


@dataclass(frozen=True)
class Plan:
    """What to resolve.

    Attributes:
        requirements: what must be installed.
        constraints: bounds on what is installed.
        python: which interpreter, as in the request.
        notes: what was read and not used, and why; for the person who asks.
    """

    requirements: tuple[Requirement, ...]
    constraints: tuple[Requirement, ...]
    python: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for plans that require the same, in whatever order, of whatever interpreter and whoever asks."""
        parts = [sorted({item.text for item in items}) for items in (self.requirements, self.constraints)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_plan(folder: Path, request: EnvironmentRequest, repo: str | None = None) -> Plan:
    """Read a repository's files and draw the plan.

    Args:
        folder: the repository's content.
        request: the user's words.
        repo: what messages call the repository.

    Raises:
        HubconfError: a file of the repository is missing or cannot be read.
        ConfigError: a requirement of the user's is not one.
    """
    hubconf = read_hubconf(folder, repo)
    own = {entry.text.split(".")[0] for entry in hubconf.dependencies if _is_own_module(folder, entry.text)}
    return make_plan(hubconf, read_requirement_files(folder), request, own)


def make_plan(
    hubconf: Hubconf, files: RequirementFiles, request: EnvironmentRequest, own_modules: Iterable[str] = ()
) -> Plan:
    """Draw the plan.

    The repository's requirement files bound versions; they ask for nothing by themselves.

    Args:
        hubconf: as it was read.
        files: the repository's requirement files.
        request: the user's words.
        own_modules: the declared dependencies that are modules of the repository itself.

    Raises:
        HubconfError: a declared dependency is neither a module nor a requirement.
        ConfigError: a requirement of the user's is not one.
    """
    pins = [item.as_constraint for item in (*files.requirements, *files.constraints)]
    named = {item.name for item in pins}
    own = frozenset(own_modules)
    declared = (
        requirement_for(entry.text, f"hubconf.py:{entry.line}", named)
        for entry in hubconf.dependencies
        if entry.text.split(".")[0] not in own
    )
    wanted = [_from_user(text, "requirements") for text in request.requirements]
    bounds = [_from_user(text, "constraints") for text in request.constraints]
    worker = [parse_requirement(text, "isohub's worker") for text in _WORKER]
    notes = [
        f"hubconf.py:{item.line}: cannot be read without running it: {item.source}"
        for item in hubconf.unreadable
    ]
    notes += [f"{item.origin}: not used, {item.reason}: {item.text}" for item in files.unsupported]
    return Plan(
        requirements=(*(item for item in declared if item), *wanted, *worker),
        constraints=(*pins, *bounds),
        python=request.python,
        notes=tuple(notes),
    )


def _from_user(text: str, option: str) -> Requirement:
    origin = f"Hub({option}=)"
    if _CREDENTIALS.search(text):
        raise ConfigError(
            f"{option}: {masked(text)!r} has credentials in it, which would end up in files",
            hint="keep them in ~/.netrc or in git's credential store",
        )
    if _URL.match(text):
        return Requirement(text, text, origin)
    if "/" in text and Path(text).expanduser().exists():
        path = Path(text).expanduser().resolve()
        return Requirement(path.name, str(path), origin)
    try:
        return parse_requirement(text, origin)
    except InvalidRequirement as error:
        raise ConfigError(
            f"{option}: {text!r} is not a requirement",
            tail=str(error),
            hint='write it as in "numpy>=1.20,<2"',
        ) from error


def _is_own_module(folder: Path, entry: str) -> bool:
    # The repository stands first on the worker's path, so its own modules are what these names mean.
    name = entry.split(".")[0]
    return name.isidentifier() and (
        (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
    )
