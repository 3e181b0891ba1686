"""The requirement files of a repository (requirements.txt and its like), read line by line.

A stranger's file only names versions here. It cannot name an index, a URL, a path or an environment variable: such
lines are kept as unsupported, with the reason, and are not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from isohub.errors import HubconfError
from isohub.hubconf.conda import declare_conda
from isohub.hubconf.requirements import Declarations, Strength, Unsupported, declare
from isohub.hubconf.textfile import read_text

__all__ = ["RequirementReader", "is_aside", "read_requirement_files"]

_FILES_LIMIT = 100
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(r"\s--[a-z][a-z-]*([= ].*)?$")  # a requirement's own options, such as --hash
_INCLUDE = re.compile(r"(?:(?P<r>-r|--requirement)|(?P<c>-c|--constraint))(?:\s*=\s*|\s*)(?P<path>\S.*)$")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|(?:git|hg|svn|bzr)\+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
# What `conda list --export` writes, and people call requirements.txt.
_EXPORTED = re.compile(r"[A-Za-z0-9_.-]+=[A-Za-z0-9_.!+]+=[\w.]+")
# In a folder of several requirement files, the one that is for everybody.
_MAIN = frozenset(
    "base core main install common default runtime requirements prod production minimal inference hub".split()
)
# Words in the names of files that are for something else.
_ASIDE = frozenset(
    "dev develop development test tests testing unittest doc docs documentation lint style format ci build release"
    " notebook notebooks jupyter train training eval evaluation benchmark benchmarks demo demos example examples"
    " export deploy deployment optional opt extra extras gpu cuda rocm tpu npu mac macos osx windows win docker colab"
    " gradio app web server api".split()
)


def read_requirement_files(folder: Path) -> Declarations:
    """Read the requirement files of a repository, and what they include; without any it requires nothing.

    Those whose names say that they are for development, tests and the like only bound versions, and what cannot be read in
    them does not matter.

    Args:
        folder: the repository. Nothing outside it is read.

    Raises:
        HubconfError: a line is not a requirement, or an included file is missing; it names file and line.
    """
    main, aside = RequirementReader(folder, Strength.FILE), RequirementReader(folder, Strength.ASIDE)
    names = _file_names(folder)
    for name in names:
        words = _words(name.stem)
        grouped = len(name.parts) > 1 and len(names) > 1 and words.isdisjoint(_MAIN)
        if "constraints" in words:
            main.file(name, constraint=True)
        elif is_aside(name.stem) or grouped:
            aside.file_if_readable(name)
        else:
            main.file(name)
    return Declarations.joined([main.found, aside.found])


def is_aside(stem: str) -> bool:
    """Whether a file or group of that name is for something else than what runs everywhere."""
    return not _ASIDE.isdisjoint(_words(stem))


def _words(stem: str) -> frozenset[str]:
    return frozenset(re.split(r"[-_.\s]+", stem.lower()))


class RequirementReader:
    """Reads requirement files and lines of one strength, and collects what they say.

    Args:
        root: the repository. Nothing outside it is read.
        strength: of the requirements.
    """

    def __init__(self, root: Path, strength: Strength) -> None:
        self._root = root.resolve()
        self._strength = strength
        self._seen: set[tuple[Path, bool]] = set()
        self._found: list[Declarations] = []

    @property
    def found(self) -> Declarations:
        """What was read so far."""
        return Declarations.joined(self._found)

    def file(self, name: PurePosixPath, *, constraint: bool = False) -> None:
        """Read the file at a path in the repository.

        Raises:
            HubconfError: a line is not a requirement, or an included file is missing; it names file and line.
        """
        path = (self._root / name).resolve()
        if (path, constraint) in self._seen:
            return
        self._seen.add((path, constraint))
        shown = path.relative_to(self._root).as_posix()
        if len(self._seen) > _FILES_LIMIT:
            raise HubconfError(f"{shown}: more than {_FILES_LIMIT} requirement files include each other")
        for line, text in _logical_lines(read_text(path, shown)):
            self.line(text, f"{shown}:{line}", name, constraint=constraint)

    def file_if_readable(self, name: PurePosixPath) -> None:
        """Read the file up to what is wrong in it, which is noted."""
        try:
            self.file(name)
        except HubconfError as error:
            self._unsupported(str(name), str(name), error.message)

    def line(self, text: str, origin: str, name: PurePosixPath, *, constraint: bool = False) -> None:
        """Read one line that stands in the file `name`.

        Raises:
            HubconfError: it is not a requirement, or includes what cannot be read.
        """
        if include := _INCLUDE.match(text):
            self._include(include, text, origin, name, constraint)
        elif reason := _why_unsupported(text):
            self._unsupported(text, origin, reason)
        else:
            read = declare_conda if _EXPORTED.fullmatch(text) else declare
            found = read(_OPTION.sub("", text), origin, self._strength)
            self._found.append(found.as_bounds if constraint else found)

    def _unsupported(self, text: str, origin: str, reason: str) -> None:
        self._found.append(Declarations(unsupported=(Unsupported(text, origin, reason),)))

    def _include(
        self, include: re.Match[str], text: str, origin: str, name: PurePosixPath, constraint: bool
    ) -> None:
        wanted = include["path"].strip()
        if _SCHEME.match(wanted) or _VARIABLE.search(wanted):
            self._unsupported(text, origin, "a URL")
            return
        relative = name.parent / wanted.replace("\\", "/")
        path = (self._root / relative).resolve()
        if not path.is_relative_to(self._root):
            self._unsupported(text, origin, "leads out of the repository")
        elif not path.is_file():
            file, _, line = origin.rpartition(":")
            raise HubconfError(f"{file}, line {line}: there is no file {wanted}", tail=text)
        else:
            self.file(relative, constraint=constraint or include["c"] is not None)


def _file_names(folder: Path) -> list[PurePosixPath]:
    """The plainest name first, so that of equal lines its own is the one that is shown."""
    root = folder.resolve()
    found = [*root.glob("*requirements*.txt"), *(root / "requirements").glob("*.txt")]
    inside = [path for path in found if path.is_file() and path.resolve().is_relative_to(root)]
    return sorted(
        (PurePosixPath(path.relative_to(root).as_posix()) for path in inside),
        key=lambda name: (len(name.parts), len(name.name), name),
    )


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
