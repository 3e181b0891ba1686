"""What is tried next when an attempt at an environment has failed. Nothing here runs or reads anything.

The latest releases come first. A failure that has a remedy is remedied where it happened. If wheels are missing another Python
may have them, the nearest older first. Then come the releases of the commit's own time, on a Python of that time, and since a
repository may have been ahead of its time, of somewhat later.

Bounds give way in two cases. What describes one machine, or what is not about using the repository, yields to everything else.
What a requirement file says yields only where there is nothing here that it could be met on; that it contradicts something
else is for a person to settle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import SpecifierSet

from isohub.envs.explanations import abi_minors, is_final, names, needs_build, needs_python
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock
from isohub.envs.plan import Plan
from isohub.envs.pythons import by_nearness
from isohub.envs.remedies import remedies_for
from isohub.errors import BuildError, ResolveError
from isohub.hubconf.requirements import Requirement, Strength

__all__ = ["Attempt", "Failure", "Strategy", "python_of"]

_MOST_ATTEMPTS = 24
_MOST_IMPORTS = 12
_MOST_REMEDIES = 8
# Days after the commit. A cut at its own date can leave out what it required of a release that was yet to come.
_CUTS = (0, 30, 180, 365, 730)
# Libraries have wheels for a new Python about so long after its release.
_ADOPTION = timedelta(days=300)


@dataclass(frozen=True)
class Attempt:
    """One way to meet a plan.

    Attributes:
        interpreter: what it runs on.
        as_of: the last day whose releases count; None for all there are.
        added: requirements that turned out to be missing.
        bounds: constraints that turned out to be needed.
        preferred: constraints that are given up if nothing meets them.
        derived: constraints that follow from what was resolved, and are found anew whenever anything changes.
        given_up: what gave way of the plan: a version first, then the requirement itself.
    """

    interpreter: Interpreter
    as_of: date | None = None
    added: tuple[Requirement, ...] = ()
    bounds: tuple[Requirement, ...] = ()
    preferred: tuple[Requirement, ...] = ()
    derived: tuple[Requirement, ...] = ()
    given_up: frozenset[Requirement] = frozenset()

    def of(self, plan: Plan) -> Plan:
        """The plan with all that this attempt changes in it."""
        dropped = sorted(self.given_up, key=lambda item: item.origin)
        notes = [
            f"{item.origin}: gave way, since it cannot be met with the rest: {item.text}" for item in dropped
        ]
        if self.as_of:
            notes.append(f"releases after {self.as_of} are left out: later ones do not work with this commit")
        wanted = (self.form(item) for item in plan.requirements)
        return replace(
            plan,
            requirements=(*(item for item in wanted if item is not None), *self.added),
            constraints=(
                *(item for item in plan.constraints if item not in self.given_up),
                *self.bounds,
                *self.preferred,
                *self.derived,
            ),
            notes=(*plan.notes, *notes),
        )

    def form(self, item: Requirement) -> Requirement | None:
        """What is left of a requirement of the plan's: itself, or itself in any version, or nothing."""
        if item not in self.given_up:
            return item
        bare = _unbounded(item)
        return None if bare in self.given_up else bare

    def __str__(self) -> str:
        releases = f"releases up to {self.as_of}" if self.as_of else "the latest releases"
        changed = (*self.added, *self.bounds, *self.preferred, *self.derived)
        changes = ", ".join(dict.fromkeys(item.text for item in changed))
        dropped = ", ".join(sorted({item.text for item in self.given_up}))
        return (
            f"Python {self.interpreter.version_text}, {releases}"
            + (f", with {changes}" if changes else "")
            + (f", without {dropped}" if dropped else "")
        )


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        attempt: what was tried.
        error: what is raised if nothing better comes.
        reason: in one line.
        text: all of uv's explanation, or the traceback.
        missing: the module that was not found at import, if that is what happened.
        asked: what the repository wanted pip to install while it was imported.
        lock: what was resolved.
    """

    attempt: Attempt
    error: ResolveError | BuildError
    reason: str
    text: str
    missing: str | None = None
    asked: tuple[str, ...] = ()
    lock: Lock | None = None

    @property
    def stage(self) -> int:
        """How far it came: 0 when nothing resolved, 1 when it did not install, 2 when the hubconf did not import."""
        if isinstance(self.error, ResolveError):
            return 0
        return 1 if self.error.step == "install" else 2


class Strategy:
    """Decides what comes next.

    Args:
        plan: what has to be met.
        first: the first attempt.
        pythons: all interpreters that fit, asked for when the first one does not do.
        undeclared: the requirement for a module that nobody declared, by name and origin; None if it must not be guessed.
        committed: when the commit was made; None if that is not known, or does not count.
        today: no cut is made later.
    """

    def __init__(
        self,
        plan: Plan,
        first: Attempt,
        pythons: Callable[[], Sequence[Interpreter]],
        undeclared: Callable[[str, str], Requirement | None],
        committed: date | None,
        today: date,
    ) -> None:
        self.first = first
        self.failures: list[Failure] = []
        self._plan = plan
        self._pythons = pythons
        self._undeclared = undeclared
        self._cuts = [committed + timedelta(days) for days in _CUTS] if committed else []
        self._today = today
        self._tried = {first}
        self._remediable: set[int] = set()

    def after(self, failure: Failure) -> Attempt | None:
        """The next attempt; None if there is nothing left to try."""
        self.failures.append(failure)
        self._tried.add(failure.attempt)
        imports = sum(item.stage == 2 for item in self.failures)
        if is_final(failure.text) or len(self.failures) >= _MOST_ATTEMPTS or imports >= _MOST_IMPORTS:
            return None
        for attempt in self._candidates(failure):
            if attempt not in self._tried:
                self._tried.add(attempt)
                if (attempt.as_of, attempt.interpreter) == (
                    failure.attempt.as_of,
                    failure.attempt.interpreter,
                ):
                    self._remediable.add(id(failure))
                return attempt
        return None

    def error(self) -> ResolveError | BuildError:
        """What to raise at the end: the failure that tells most, with all the others listed in it.

        An import that failed tells more than what did not even install, what had no remedy more than what was only the way
        there, and the first of its kind more than what was tried in its place.
        """
        order = {id(item): index for index, item in enumerate(self.failures)}
        telling = max(
            self.failures, key=lambda item: (item.stage, id(item) not in self._remediable, -order[id(item)])
        )
        error = telling.error
        if len(self.failures) > 1:
            rest = [item for item in self.failures if item is not telling]
            tried = [f"  {item.attempt}: {item.reason}" for item in (telling, *rest)]
            error.tail = "\n".join([*([error.tail.rstrip()] if error.tail else []), "tried:", *tried])
        return error

    def _candidates(self, failure: Failure) -> Iterator[Attempt]:
        attempt = replace(failure.attempt, derived=())
        if attempt.preferred and failure.stage == 0:
            yield replace(attempt, preferred=())
            return
        if len(attempt.added) + len(attempt.bounds) < _MOST_REMEDIES:
            yield from self._remedied(failure, attempt)
        build = needs_build(failure.text)
        if failure.stage == 0:
            python = needs_python(failure.text)
            if python:
                yield from self._other_pythons(attempt, abi_minors(failure.text))
            if attempt.as_of is None and not build:
                yield from self._giving_way(failure, attempt)
                if not python:
                    return  # requirements that contradict each other do so among fewer releases as well
        elif failure.stage == 1 and not build:
            return  # what was found could not be fetched
        yield from self._later_cuts(attempt)
        if failure.stage < 2:
            yield from self._giving_way(failure, attempt)
        if build and failure.stage < 2:
            # Slow, so it comes last: each Python may compile for minutes before it fails.
            yield from self._other_pythons(attempt, frozenset())

    def _remedied(self, failure: Failure, attempt: Attempt) -> Iterator[Attempt]:
        lock = failure.lock
        if failure.stage != 2 or lock is None:
            return
        for name in (
            *([failure.missing] if failure.missing else []),
            *failure.asked,
            *_named_in(failure.reason),
        ):
            added = self._undeclared(name, f"without it: {failure.reason}")
            if added is not None and not _is_met(added, lock):
                yield replace(attempt, added=(*attempt.added, added))
        for remedy in remedies_for(failure.text):
            if remedy.dated and self._cuts:
                continue
            bounds = tuple(item for item in remedy.requirements if not _is_met(item, lock, absent=True))
            if bounds:
                yield replace(attempt, bounds=(*attempt.bounds, *bounds))
            elif remedy.fits is not None:
                for python in by_nearness(self._pythons(), attempt.interpreter):
                    if remedy.fits(python.version_text):
                        yield replace(attempt, interpreter=python)

    def _giving_way(self, failure: Failure, attempt: Attempt) -> Iterator[Attempt]:
        """Without the weakest of what the failure names and nobody insists on."""
        unmet_here = failure.stage > 0 or needs_python(failure.text) or needs_build(failure.text)
        below = Strength.WORD if unmet_here else Strength.FILE
        left = {attempt.form(item) for item in self._plan.requirements} | {*self._plan.constraints}
        weak = {
            item
            for item in left - attempt.given_up
            if item is not None and item.strength < below and names(failure.text, item.name)
        }
        if weak:
            weakest = min(item.strength for item in weak)
            dropped = {item for item in weak if item.strength == weakest}
            # A version gives way before the requirement itself does.
            versions = {item for item in dropped if _unbounded(item) != item}
            yield replace(attempt, given_up=attempt.given_up | (versions or dropped))

    def _other_pythons(self, attempt: Attempt, minors: frozenset[int]) -> Iterator[Attempt]:
        for python in by_nearness(self._pythons(), attempt.interpreter):
            if not minors or python.version[1] in minors:
                yield replace(attempt, interpreter=python)

    def _later_cuts(self, attempt: Attempt) -> Iterator[Attempt]:
        for cut in self._cuts:
            if cut < self._today and (attempt.as_of is None or attempt.as_of < cut):
                python = python_of(cut, self._pythons(), self.first.interpreter)
                # What was missing is missing still; what bounded today's releases says nothing about those of then.
                yield Attempt(python, as_of=cut, added=attempt.added)


def python_of(day: date, pythons: Sequence[Interpreter], newest: Interpreter) -> Interpreter:
    """The interpreter that people would have used at that time, none newer than `newest`; if all are, the oldest."""
    usable = [item for item in (*pythons, newest) if item.version[:2] <= newest.version[:2]]
    current = [item for item in usable if _released(item.version[1]) + _ADOPTION <= day]
    if not current:
        return min(usable, key=lambda item: item.version)
    return newest if newest in current else max(current, key=lambda item: item.version)


def _released(minor: int) -> date:
    # Since 3.8 there has been a release every October.
    return date(2018, 6, 27) if minor <= 7 else date(2011 + minor, 10, 10)


def _unbounded(requirement: Requirement) -> Requirement:
    parsed = ParsedRequirement(requirement.text)
    parsed.specifier = SpecifierSet()
    return replace(requirement, text=str(parsed))


def _is_met(requirement: Requirement, lock: Lock, *, absent: bool = False) -> bool:
    """Whether what is locked meets it already; `absent` is the answer for what is not locked at all."""
    parsed = ParsedRequirement(requirement.text)
    version = lock.version(requirement.name)
    if version is None:
        return absent
    return not version or parsed.specifier.contains(version, prereleases=True)


def _named_in(message: str) -> list[str]:
    """Distributions that an error message asks for in so many words."""
    found = re.findall(r"pip3? install ((?:-\S+ )*)[`'\"]?([A-Za-z][\w.-]*)", message)
    names = [name.rstrip(".") for _, name in found]
    if listed := re.search(r"[Mm]issing dependenc(?:y|ies): ([\w.,\s-]+)", message):
        names += [name for name in re.split(r"[,\s]+", listed[1]) if name]
    return names
