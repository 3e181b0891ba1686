"""From a plan to an attempt that works: what is resolved, in which order, and what is remembered of it.

The attempt that worked is kept beside the lock of the first one, so that what it took to find it is paid once.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from isohub.config import Settings
from isohub.envs.attempts import Attempt, Failure, Strategy
from isohub.envs.buildlog import BuildLog
from isohub.envs.companions import companion_bounds
from isohub.envs.explanations import abi_minors
from isohub.envs.folderlocks import LONGEST_WAIT, at_work
from isohub.envs.interpreters import Interpreter, Interpreters
from isohub.envs.lock import Lock
from isohub.envs.plan import Plan
from isohub.envs.pythons import by_nearness, find_python, fitting_pythons, install_python
from isohub.envs.recipe_builds import with_builds
from isohub.envs.request import EnvironmentRequest
from isohub.envs.resolve import Question, has_wheel, kept_lock, resolve
from isohub.envs.uv import Uv
from isohub.errors import OfflineError, PythonNotFound, ResolveError
from isohub.hubconf.distributions import undeclared_requirement
from isohub.hubconf.requirements import Requirement, Strength, parse_requirement
from isohub.progress import Progress, Step
from isohub.sources.jsonfile import read_json, write_json
from isohub.sources.tree import Tree

__all__ = ["AttemptFailed", "Fitting", "Resolved"]

_MOST_COMPANIONS = 4
_REQUIREMENTS = ("added", "bounds", "preferred", "derived", "given_up")


@dataclass(frozen=True)
class Resolved:
    """Everything that is known before anything is built.

    Attributes:
        plan: with what the attempt changed in it.
        interpreter: what the environment is made from.
        lock: what is installed.
        attempt: how it came to be.
    """

    plan: Plan
    interpreter: Interpreter
    lock: Lock
    attempt: Attempt


class AttemptFailed(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Fitting:
    """The attempts at one plan.

    Args:
        plan: what has to be met.
        tree: the repository.
        request: the user's words.
        settings: where locks are kept, and what is allowed.
        uv: resolves.
        log: gets everything.
        progress: shows when an interpreter is installed.
        anew: resolve again what was resolved before.
    """

    def __init__(
        self,
        plan: Plan,
        tree: Tree,
        request: EnvironmentRequest,
        settings: Settings,
        uv: Uv,
        log: BuildLog,
        progress: Progress,
        *,
        anew: bool,
    ) -> None:
        self._plan = plan
        self._tree = tree
        self._condition = plan.python_range
        self._backend = request.torch_backend
        self._settings = settings
        self._locks = settings.home / "locks-v1"
        self._uv = with_builds(uv, plan.recipe)
        self._log = log
        self._progress = progress
        self._anew = anew
        first = Attempt(self._first_python(), preferred=_host_torch(plan))
        # Who set a cut for uv has said as of when, and a later one of ours would undo it.
        dated = tree.date is not None and "UV_EXCLUDE_NEWER" not in uv.settings.environ
        self._strategy = Strategy(
            plan,
            first,
            pythons=self._pythons,
            undeclared=self._undeclared,
            committed=_day(tree.date) if tree.date is not None and dated else None,
            today=datetime.now(timezone.utc).date(),
        )
        self._memory = self._folder(first) / "fit.json"
        self._kept: Attempt | None = None

    def start(self) -> Attempt:
        """The attempt that worked the last time; if there is none, the first one."""
        if not self._anew and (record := read_json(self._memory)):
            self._kept = _remembered(record, Interpreters(self._settings.home))
        return self._kept or self._strategy.first

    def after(self, failure: Failure) -> Attempt:
        """What to try next.

        Raises:
            ResolveError, BuildError: there is nothing left to try.
        """
        if failure.attempt == self._kept:
            # The world has changed since: from the beginning, then.
            self._memory.unlink(missing_ok=True)
            self._kept = None
            return self._strategy.first
        following = self._strategy.after(failure) or self._on_installed_python(failure)
        if following is None:
            raise self._strategy.error()
        return following

    def keep(self, resolved: Resolved) -> None:
        """Remember that this one works, for as long as there is an environment of its lock."""
        if resolved.attempt != self._strategy.first:
            write_json(self._memory, {**_record(resolved.attempt), "lock": resolved.lock.digest})

    def resolve(self, attempt: Attempt, step: Step) -> Resolved:
        """Resolve an attempt, and see to it that what was found belongs together and is ready for this Python.

        Raises:
            AttemptFailed: nothing fits.
            OfflineError: something is not in uv's cache, and nobody may be asked.
            BuildError: uv does not run or does not end.
        """
        try:
            resolved = self._resolved(attempt, step)
        except ResolveError as error:
            text = error.tail or error.message
            raise AttemptFailed(Failure(attempt, error, text.splitlines()[0][:300], text)) from error
        except OfflineError as error:
            if attempt.preferred:
                return self.resolve(replace(attempt, preferred=()), step)
            if self._strategy.failures:
                raise self._strategy.error() from error
            raise
        for _ in range(_MOST_COMPANIONS):
            better = self._belonging(resolved, step)
            if better is None:
                break
            resolved = better
        return self._with_wheels(resolved, step)

    def _resolved(self, attempt: Attempt, step: Step) -> Resolved:
        question = self._question(attempt)
        folder = self._locks / question.key(self._uv)
        with at_work(folder.with_name(f"{folder.name}.lock"), step, LONGEST_WAIT):
            lock = None if self._anew else kept_lock(folder)
            lock = lock or resolve(question, self._uv, folder, self._log)
        return Resolved(question.plan, attempt.interpreter, lock, attempt)

    def _belonging(self, resolved: Resolved, step: Step) -> Resolved | None:
        attempt = resolved.attempt
        for bound in companion_bounds(resolved.lock):
            try:
                return self._resolved(replace(attempt, derived=(*attempt.derived, bound), preferred=()), step)
            except ResolveError as error:
                self._log.write(f"not with {bound.text} ({bound.origin}): {error.message}")
        return None

    def _with_wheels(self, resolved: Resolved, step: Step) -> Resolved:
        """The same on an older Python, if that has a wheel of what is bounded here and would have to be compiled."""
        bounded = {
            item.name
            for item in (*resolved.plan.requirements, *resolved.plan.constraints)
            if any(sign in item.text for sign in "=<~")
        }
        attempt = resolved.attempt
        for package in resolved.lock.packages:
            if not (package.built and package.version and package.name in bounded):
                continue
            for python in by_nearness(self._pythons(), attempt.interpreter):
                if python.version > attempt.interpreter.version:
                    break
                folder = self._folder(attempt)
                if has_wheel(package.name, package.version, python, self._uv, folder, self._log):
                    try:
                        return self._resolved(replace(attempt, interpreter=python), step)
                    except ResolveError as error:
                        self._log.write(f"not on Python {python.version_text}: {error.message}")
                    break
        return resolved

    def _question(self, attempt: Attempt) -> Question:
        plan = attempt.of(self._plan)
        return Question(plan, attempt.interpreter, self._tree.pin.repo, attempt.as_of, self._backend)

    def _folder(self, attempt: Attempt) -> Path:
        return self._locks / self._question(attempt).key(self._uv)

    # ---- interpreters

    def _first_python(self) -> Interpreter:
        try:
            return self._find_python()
        except PythonNotFound:
            wanted = self._plan.python or self._condition
            if not self._settings.install_python or wanted is None:
                raise
            self._install_python(wanted)
            return self._find_python()

    def _find_python(self) -> Interpreter:
        return find_python(self._plan.python, self._settings, self._condition)

    def _install_python(self, wanted: str) -> None:
        with self._progress.step(f"installing Python {wanted}"):
            install_python(wanted, self._uv, self._log)

    def _pythons(self) -> list[Interpreter]:
        return fitting_pythons(self._plan.python, self._settings, self._condition)

    def _on_installed_python(self, failure: Failure) -> Attempt | None:
        """The first attempt again, on an interpreter that is installed because there are wheels for that one only."""
        minors = abi_minors(failure.text)
        here = {item.version[1] for item in (*self._pythons(), self._strategy.first.interpreter)}
        if not (self._settings.install_python and self._plan.python is None and minors) or minors & here:
            return None
        self._install_python(f"3.{max(minors)}")
        python = find_python(f"3.{max(minors)}", self._settings)
        return replace(self._strategy.first, interpreter=python, preferred=())

    # ---- what is missing

    def _undeclared(self, name: str, origin: str) -> Requirement | None:
        top = name.split(".")[0]
        own = self._tree.path / top
        if own.exists() or own.with_suffix(".py").exists():
            return None  # a module of the repository's own, which no distribution of that name is meant to replace
        return undeclared_requirement(name, origin, self._plan.named)


def _host_torch(plan: Plan) -> tuple[Requirement, ...]:
    """The host's release of torch, if the plan leaves it free: it is known to run here, and may well be in uv's cache."""
    items = (*plan.requirements, *plan.constraints)
    free = not any(item.name == "torch" and any(sign in item.text for sign in "=<>~@!") for item in items)
    if not free or not any(item.name.startswith("torch") for item in plan.requirements):
        return ()
    try:
        version = Version(importlib.metadata.version("torch"))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return ()
    if version.is_prerelease:
        return ()
    return (parse_requirement(f"torch=={version.public}", "the release that the host has"),)


def _record(attempt: Attempt) -> dict[str, Any]:
    return {
        "python": str(attempt.interpreter.path),
        "version": attempt.interpreter.version_text,
        "as_of": attempt.as_of and attempt.as_of.isoformat(),
        **{name: [_plain(item) for item in getattr(attempt, name)] for name in _REQUIREMENTS},
    }


def _remembered(record: dict[str, Any], interpreters: Interpreters) -> Attempt | None:
    """The attempt of a record; None if it makes no sense, or its interpreter is no longer what it was."""
    try:
        interpreter = interpreters.ask(Path(record["python"]))
        if interpreter is None or interpreter.version_text != record["version"]:
            return None
        groups = {name: tuple(_requirement(*item) for item in record[name]) for name in _REQUIREMENTS}
        return Attempt(
            interpreter,
            date.fromisoformat(record["as_of"]) if record["as_of"] else None,
            groups["added"],
            groups["bounds"],
            groups["preferred"],
            groups["derived"],
            frozenset(groups["given_up"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _plain(item: Requirement) -> list[str | int]:
    return [item.name, item.text, item.origin, int(item.strength)]


def _requirement(name: str, text: str, origin: str, strength: int) -> Requirement:
    return Requirement(name, text, origin, Strength(strength))


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, timezone.utc).date()
