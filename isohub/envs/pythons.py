"""Which interpreter an environment gets: the host's own version, or the newest patch release that fits what was asked.

An interpreter counts only if it runs. Nothing is installed unless the user allows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from isohub.config import Settings
from isohub.envs.buildlog import BuildLog
from isohub.envs.explanations import explanation
from isohub.envs.interpreters import OLDEST, Interpreter, Interpreters, host_interpreter
from isohub.envs.places import candidates, searched
from isohub.envs.uv import Uv
from isohub.envs.uv_settings import UvSettings
from isohub.errors import ConfigError, PythonNotFound

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = [
    "by_nearness",
    "find_python",
    "fitting_pythons",
    "found_pythons",
    "install_python",
    "matcher",
]

_INSTALL_LIMIT = 1800.0
_EXACT = re.compile(r"\d+(\.\d+){0,2}((a|b|rc)\d+)?")


def find_python(request: str | None, settings: Settings, condition: str | None = None) -> Interpreter:
    """Find the interpreter for an environment.

    Args:
        request: a version ("3.10", "3.8.18"), a range (">=3.8,<3.11") or a path; None takes the version of the host.
        settings: where the answers of interpreters are remembered.
        condition: a range that counts where nothing was requested; the host's version is taken if it is in it, and if not
            the one that comes nearest, older ones first.

    Raises:
        ConfigError: the request is none of these, or asks for what the worker cannot run on.
        PythonNotFound: nothing on this machine fits.
    """
    interpreters = Interpreters(settings.home)
    host = host_interpreter()
    if request is None:
        if host is not None and host.implementation == "cpython":
            if condition is None or matcher(condition)(host):
                return host
            nearest = by_nearness(fitting_pythons(None, settings, condition), host)
            if not nearest:
                raise _not_found(condition, interpreters, host)
            return nearest[0]
        raise PythonNotFound(
            "isohub runs inside another program, so it has no interpreter of its own to build environments from",
            hint='name one: isohub.Hub(python="3.11")',
        )
    if _is_path(request):
        return _at(Path(request).expanduser(), interpreters)
    fits = matcher(request)
    matching = [item for item in _search(interpreters, request, host) if fits(item)]
    if not matching:
        raise _not_found(request, interpreters, host)
    # Of equal versions the host's own, then the first one found, as PATH would have it.
    return max(matching, key=lambda item: (item.version, not item.prerelease, item.prerelease, item == host))


def found_pythons(settings: Settings) -> list[Interpreter]:
    """Every interpreter on this machine that environments can be built from, newest first."""
    found = _search(Interpreters(settings.home), None, host_interpreter())
    return sorted(dict.fromkeys(found), key=lambda item: item.version, reverse=True)


def fitting_pythons(
    request: str | None, settings: Settings, condition: str | None = None
) -> list[Interpreter]:
    """All that may stand in for what :func:`find_python` answers, the newest of every minor version, newest first.

    There is nothing else for a path or for one version.
    """
    wanted = request or condition
    if wanted is not None and (_is_path(wanted) or _EXACT.fullmatch(wanted)):
        return []
    fits = matcher(wanted) if wanted else (lambda item: not item.prerelease)
    newest: dict[tuple[int, ...], Interpreter] = {}
    for item in found_pythons(settings):
        if fits(item):
            newest.setdefault(item.version[:2], item)
    return list(newest.values())


def by_nearness(pythons: Sequence[Interpreter], origin: Interpreter) -> list[Interpreter]:
    """Those of other minor versions: older ones, the nearest first, and then newer ones."""
    older = [item for item in pythons if item.version[:2] < origin.version[:2]]
    newer = [item for item in pythons if item.version[:2] > origin.version[:2]]
    return [
        *sorted(older, key=lambda item: item.version, reverse=True),
        *sorted(newer, key=lambda item: item.version),
    ]


def install_python(request: str, uv: Uv, log: BuildLog) -> None:
    """Let uv install an interpreter where it keeps its own; it is found there from then on.

    Args:
        request: a version or a range.
        uv: installs, from where its settings say.
        log: gets uv's whole output.

    Raises:
        PythonNotFound: uv cannot get it.
        BuildError: uv does not run or does not end.
    """
    # Nothing is put on the PATH of the user.
    environ = {**uv.settings.environ, "UV_PYTHON_DOWNLOADS": "manual"}
    allowed = replace(uv, settings=UvSettings(environ, (), ()))
    answer = allowed.run(["python", "install", "--no-bin", request], log=log, limit=_INSTALL_LIMIT)
    if answer.returncode != 0:
        raise PythonNotFound(
            f"uv cannot install Python {request}",
            tail=explanation(answer.output),
            log=log.path,
            hint='name one: isohub.Hub(python="/path/to/python"), or a mirror: UV_PYTHON_INSTALL_MIRROR',
        )


def _search(interpreters: Interpreters, request: str | None, host: Interpreter | None) -> list[Interpreter]:
    exact = request if request and _EXACT.fullmatch(request) else None
    found = [host] if host else []
    for path, claimed in candidates():
        # A name that claims another version need not be run.
        if (
            exact
            and claimed
            and not f"{exact}.".startswith(f"{claimed}.")
            and not f"{claimed}.".startswith(f"{exact}.")
        ):
            continue
        interpreter = interpreters.ask(path)
        if interpreter is not None:
            found.append(interpreter)
    return [item for item in found if _usable(item)]


def _usable(item: Interpreter) -> bool:
    return item.implementation == "cpython" and item.version[:2] >= OLDEST and not item.free_threaded


def _is_path(request: str) -> bool:
    separators = {os.sep, os.altsep or os.sep}
    return request.startswith("~") or any(separator in request for separator in separators)


def _at(path: Path, interpreters: Interpreters) -> Interpreter:
    interpreter = interpreters.ask(path.absolute())
    if interpreter is None:
        what = "is no interpreter that runs" if path.exists() else "does not exist"
        raise PythonNotFound(f"{path} {what}", hint=f"see what it says: {path} --version")
    if interpreter.implementation != "cpython" or interpreter.version[:2] < OLDEST:
        name = {"cpython": "Python", "pypy": "PyPy"}.get(
            interpreter.implementation, interpreter.implementation
        )
        raise PythonNotFound(
            f"{path} is {name} {interpreter.version_text}, and workers run on CPython {_dotted(OLDEST)} and newer"
        )
    return interpreter


def matcher(request: str) -> Callable[[Interpreter], bool]:
    """Whether an interpreter is of the version or in the range that was asked for. A pre-release has to be asked for.

    Raises:
        ConfigError: the request is neither.
        PythonNotFound: only what the worker cannot run on would fit.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import Version

    text = request.strip()
    if _EXACT.fullmatch(text):
        version = Version(text)
        asked = version.release
        if asked[0] < OLDEST[0] or (len(asked) > 1 and asked[:2] < OLDEST):
            raise _too_old(request)
        if version.is_prerelease:
            return lambda item: Version(item.version_text) == version
        return lambda item: item.version[: len(asked)] == asked and not item.prerelease
    try:
        if not text:
            raise InvalidSpecifier("empty")
        specifiers = SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ConfigError(
            f"python={request!r} is neither a version, a range nor a path",
            hint='write it as "3.10", "3.8.18", ">=3.8,<3.11" or "/usr/bin/python3"',
        ) from error
    if _only_older(specifiers):
        raise _too_old(request)
    return lambda item: specifiers.contains(item.version_text, prereleases=bool(specifiers.prereleases))


def _only_older(specifiers: SpecifierSet) -> bool:
    newer = (f"3.{minor}.{patch}" for minor in range(OLDEST[1], 40) for patch in range(40))
    older = (
        f"{major}.{minor}.{patch}"
        for major, minors in ((2, 8), (3, OLDEST[1]))
        for minor in range(minors)
        for patch in range(30)
    )
    return not any(specifiers.contains(text) for text in newer) and any(
        specifiers.contains(text) for text in older
    )


def _too_old(request: str) -> PythonNotFound:
    return PythonNotFound(
        f"python={request!r} is too old: workers run on CPython {_dotted(OLDEST)} and newer",
        hint=f"many repositories of that time run on {_dotted(OLDEST)} or 3.8 as well",
    )


def _not_found(request: str, interpreters: Interpreters, host: Interpreter | None) -> PythonNotFound:
    found = {item.version_text for item in _search(interpreters, None, host)}
    listed = (
        ", ".join(sorted(found, key=lambda text: [int(part) for part in re.findall(r"\d+", text)])) or "none"
    )
    install = (
        f"uv python install {request}" if _EXACT.fullmatch(request) else f"uv python install '{request}'"
    )
    return PythonNotFound(
        f"no Python {request} on this machine; found: {listed}; looked at: {', '.join(searched())}",
        hint=f"{install}, or let isohub do it: isohub.Hub(install_python=True), or name one: "
        'isohub.Hub(python="/path/to/python")',
    )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
