"""Requirements with their origin, and the requirement files of a repository, read line by line.

A stranger's file only names versions here. It cannot name an index, a URL, a path or an environment variable: such
lines are kept as unsupported, with the reason, and are not used.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from isohub.errors import HubconfError

__all__ = ["Requirement", "RequirementFiles", "Unsupported", "parse_requirement", "read_requirement_files"]

_SIZE_LIMIT = 1024 * 1024
_FILES_LIMIT = 100
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(r"\s--[a-z][a-z-]*([= ].*)?$")  # a requirement's own options, such as --hash
_INCLUDE = re.compile(r"(?:(?P<r>-r|--requirement)|(?P<c>-c|--constraint))(?:\s*=\s*|\s*)(?P<path>\S.*)$")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|(?:git|hg|svn|bzr)\+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
# Old files write ">=1.4.*", which the standard has since forbidden and which can only mean ">=1.4".
_WILDCARD = re.compile(r"(?P<operator>>=|<=|>|<|~=)(?P<version>\s*[0-9][0-9.]*)\.\*")


@dataclass(frozen=True)
class Requirement:
    """One requirement, and who asks for it.

    Attributes:
        name: the distribution's normalised name.
        text: the requirement in the standard's form (PEP 508), its name normalised.
        origin: a file and line, such as ``requirements.txt:3``, or another rule that asked.
    """

    name: str
    text: str
    origin: str

    @property
    def as_constraint(self) -> Requirement:
        """The same without extras: a constraint bounds a version and asks for nothing."""
        parsed = ParsedRequirement(self.text)
        parsed.extras = set()
        return Requirement(self.name, str(parsed), self.origin)


@dataclass(frozen=True)
class Unsupported:
    """A line of a requirement file that is not used, and why."""

    text: str
    origin: str
    reason: str


@dataclass(frozen=True)
class RequirementFiles:
    """What the requirement files of a repository say, includes followed."""

    requirements: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()


def parse_requirement(text: str, origin: str) -> Requirement:
    """Parse one requirement (PEP 508).

    Raises:
        packaging.requirements.InvalidRequirement: its text has a caret under the fault.
    """
    parsed = ParsedRequirement(_WILDCARD.sub(r"\g<operator>\g<version>", text.strip()))
    parsed.name = canonicalize_name(parsed.name)
    return Requirement(parsed.name, str(parsed), origin)


def read_requirement_files(folder: Path, name: str = "requirements.txt") -> RequirementFiles:
    """Read a requirement file and what it includes; a repository without one requires nothing.

    Args:
        folder: the repository. Nothing outside it is read.
        name: path of the file in the repository.

    Raises:
        HubconfError: a line is not a requirement, or an included file is missing; it names file and line.
    """
    if not (folder / name).is_file():
        return RequirementFiles()
    reader = _Reader(folder.resolve())
    reader.file(PurePosixPath(name), constraint=False)
    return RequirementFiles(tuple(reader.requirements), tuple(reader.constraints), tuple(reader.unsupported))


@dataclass
class _Reader:
    root: Path
    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    unsupported: list[Unsupported] = field(default_factory=list)
    _seen: set[tuple[Path, bool]] = field(default_factory=set)

    def file(self, name: PurePosixPath, *, constraint: bool) -> None:
        path = (self.root / name).resolve()
        if (path, constraint) in self._seen:
            return
        self._seen.add((path, constraint))
        shown = path.relative_to(self.root).as_posix()
        if len(self._seen) > _FILES_LIMIT:
            raise HubconfError(f"{shown}: more than {_FILES_LIMIT} requirement files include each other")
        for line, text in _logical_lines(_decode(path, shown)):
            self._line(text, f"{shown}:{line}", name, constraint)

    def _line(self, text: str, origin: str, name: PurePosixPath, constraint: bool) -> None:
        if include := _INCLUDE.match(text):
            self._include(include, text, origin, name, constraint)
        elif reason := _why_unsupported(text):
            self.unsupported.append(Unsupported(text, origin, reason))
        else:
            try:
                requirement = parse_requirement(_OPTION.sub("", text), origin)
            except InvalidRequirement as error:
                file, _, line = origin.rpartition(":")
                raise HubconfError(f"{file}, line {line}: not a requirement", tail=str(error)) from error
            if ParsedRequirement(requirement.text).url:
                self.unsupported.append(Unsupported(text, origin, "a URL"))
            else:
                (self.constraints if constraint else self.requirements).append(requirement)

    def _include(
        self, include: re.Match[str], text: str, origin: str, name: PurePosixPath, constraint: bool
    ) -> None:
        wanted = include["path"].strip()
        if _SCHEME.match(wanted) or _VARIABLE.search(wanted):
            self.unsupported.append(Unsupported(text, origin, "a URL"))
            return
        relative = name.parent / wanted.replace("\\", "/")
        path = (self.root / relative).resolve()
        if not path.is_relative_to(self.root):
            self.unsupported.append(Unsupported(text, origin, "leads out of the repository"))
        elif not path.is_file():
            file, _, line = origin.rpartition(":")
            raise HubconfError(f"{file}, line {line}: there is no file {wanted}", tail=text)
        else:
            self.file(relative, constraint=constraint or include["c"] is not None)


def _decode(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise HubconfError(f"cannot read {shown}: {error.strerror}") from error
    if len(data) > _SIZE_LIMIT:
        raise HubconfError(f"{shown} is larger than {_SIZE_LIMIT // 1024**2} MiB")
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise HubconfError(f"{shown}, line {line}: not valid {encoding}") from error


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their number, continuations joined, comments and empty ones gone."""
    pending, start = "", 0
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = _COMMENT.sub("", raw)
        if not pending:
            start = number
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        joined = (pending + line).strip()
        pending = ""
        if joined:
            yield start, joined
    if pending.strip():
        yield start, pending.strip()


def _why_unsupported(text: str) -> str | None:
    if text.startswith(("-e", "--editable")):
        return "an editable install"
    if text.startswith("-"):
        return "an option of pip's"
    if _VARIABLE.search(text):
        return "an environment variable"
    if _SCHEME.match(text):
        return "a URL"
    bare = text.split(";")[0].strip()
    if (
        bare.startswith((".", "/", "~"))
        or "\\" in bare
        or bare.endswith((".whl", ".zip", ".tar.gz", ".tar.bz2"))
    ):
        return "a path"
    return None
