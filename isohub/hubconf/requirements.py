"""Requirements with their origin: what a repository's files state, as values, whatever form a file has."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from isohub.errors import HubconfError
from isohub.hubconf.tables import load_table

__all__ = [
    "Declarations",
    "PythonHint",
    "Requirement",
    "Strength",
    "Unsupported",
    "declare",
    "declare_python",
    "misnomers",
    "parse_requirement",
]

# Old files write ">=1.4.*", which the standard has since forbidden and which can only mean ">=1.4".
_WILDCARD = re.compile(r"(?P<operator>>=|<=|>|<|~=)(?P<version>\s*[0-9][0-9.]*)\.\*")
# A build of torch for one CUDA is on no index but torch's own. Which build it is, isohub decides.
_LOCAL = re.compile(r"(===?\s*[0-9][\w.!]*)\+[\w.]+")


class Strength(enum.IntEnum):
    """How much a bound means, when not all of them can be met. The weakest give way first."""

    ASIDE = 0
    """From a file for development, tests or documentation."""
    MACHINE = 1
    """From a description of the author's environment: what happened to be there."""
    FILE = 2
    """From a requirements.txt."""
    PACKAGE = 3
    """From what the project says about itself as a package."""
    WORD = 4
    """From the hubconf, an import, a recipe or the user: it never gives way."""


@dataclass(frozen=True)
class Requirement:
    """One requirement, and who asks for it.

    Attributes:
        name: the distribution's normalised name.
        text: the requirement in the standard's form (PEP 508), its name normalised.
        origin: a file and line, such as ``requirements.txt:3``, or another rule that asked.
        strength: how much it means.
    """

    name: str
    text: str
    origin: str
    strength: Strength = Strength.WORD

    @property
    def as_constraint(self) -> Requirement:
        """The same without extras: a constraint bounds a version and asks for nothing."""
        parsed = ParsedRequirement(self.text)
        parsed.extras = set()
        return Requirement(self.name, str(parsed), self.origin, self.strength)


@dataclass(frozen=True)
class Unsupported:
    """A line of a requirement file that is not used, and why."""

    text: str
    origin: str
    reason: str


@dataclass(frozen=True)
class PythonHint:
    """What a repository says about the interpreter.

    Attributes:
        specifier: versions, in the standard's form (PEP 440).
        origin: who says so.
        strong: whether it is a condition; if not, it is what the author had.
    """

    specifier: str
    origin: str
    strong: bool


@dataclass(frozen=True)
class Declarations:
    """What files of a repository state.

    Attributes:
        needs: what the project needs as a package, wherever it runs.
        pins: bounds, and what is installed if the hubconf leads to an import of it.
        bounds: only bounds.
        pythons: what they say about the interpreter.
        unsupported: what was read and is not used.
    """

    needs: tuple[Requirement, ...] = ()
    pins: tuple[Requirement, ...] = ()
    bounds: tuple[Requirement, ...] = ()
    pythons: tuple[PythonHint, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable[Declarations]) -> Declarations:
        """All of them in order, and what they have in common once."""
        known = list(parts)
        return cls(
            tuple(dict.fromkeys(item for part in known for item in part.needs)),
            tuple(dict.fromkeys(item for part in known for item in part.pins)),
            tuple(dict.fromkeys(item for part in known for item in part.bounds)),
            tuple(dict.fromkeys(item for part in known for item in part.pythons)),
            tuple(dict.fromkeys(item for part in known for item in part.unsupported)),
        )

    @property
    def as_bounds(self) -> Declarations:
        """The same, asking for nothing."""
        return replace(self, needs=(), pins=(), bounds=self.needs + self.pins + self.bounds)

    @property
    def as_needs(self) -> Declarations:
        """The same for files that a package reads its own needs from."""
        return replace(self, needs=self.needs + self.pins, pins=())


def parse_requirement(text: str, origin: str, strength: Strength = Strength.WORD) -> Requirement:
    """Parse one requirement (PEP 508).

    Raises:
        packaging.requirements.InvalidRequirement: its text has a caret under the fault.
    """
    parsed = ParsedRequirement(_WILDCARD.sub(r"\g<operator>\g<version>", text.strip()))
    parsed.name = canonicalize_name(parsed.name)
    return Requirement(parsed.name, str(parsed), origin, strength)


def declare(text: str, origin: str, strength: Strength) -> Declarations:
    """What a line of a stranger's file states. It cannot name a URL, and some say one name and mean another.

    Raises:
        HubconfError: it is not a requirement; the message has file and line, and a caret under the fault.
    """
    try:
        requirement = parse_requirement(_LOCAL.sub(r"\1", text), origin, strength)
    except InvalidRequirement as error:
        file, _, line = origin.rpartition(":")
        raise HubconfError(f"{file}, line {line}: not a requirement", tail=str(error)) from error
    parsed = ParsedRequirement(requirement.text)
    if parsed.url:
        return Declarations(unsupported=(Unsupported(text, origin, "a URL"),))
    if requirement.name == "python":
        return declare_python(str(parsed.specifier), origin, strong=strength is Strength.PACKAGE)
    if meant := misnomers("pip").get(requirement.name):
        # The version is the placeholder's, not that of what is meant.
        requirement = parse_requirement(meant, origin, strength)
    match strength:
        case Strength.PACKAGE:
            return Declarations(needs=(requirement,))
        case Strength.ASIDE:
            return Declarations(bounds=(requirement,))
    return Declarations(pins=(requirement,))


def declare_python(specifier: str, origin: str, *, strong: bool) -> Declarations:
    """What a line states about the interpreter."""
    try:
        versions = str(SpecifierSet(_WILDCARD.sub(r"\g<operator>\g<version>", specifier)))
    except InvalidSpecifier:
        return Declarations(unsupported=(Unsupported(specifier, origin, "not a range of versions"),))
    return Declarations(pythons=(PythonHint(versions, origin, strong),) if versions else ())


@functools.cache
def misnomers(kind: str) -> Mapping[str, str]:
    """Normalised name -> the distribution that is meant, in files for `kind`; an empty one is no distribution at all."""
    return {canonicalize_name(name): str(meant) for name, meant in load_table("misnomers.toml")[kind].items()}
