"""What an interpreter is: asked once, by really running it, and remembered until its file changes.

A file that does not run, or that does not answer as a Python would, is no interpreter. Virtual environments stand for the
interpreter that they were made from, since an environment of ours must not depend on one of theirs.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohub.envs.process import TimedOut, run_program
from isohub.envs.stamp import stamp
from isohub.errors import FetchError
from isohub.sources.jsonfile import read_json, write_json

__all__ = ["OLDEST", "Interpreter", "Interpreters", "host_interpreter"]

OLDEST = (3, 7)
"""The oldest version that the worker runs on."""

_LIMIT = 10.0
_MARK = "isohub:"
# Runs under every Python 3, and under nothing older.
_QUESTION = f"""
import json, sys, sysconfig
info = sys.version_info
print("{_MARK}" + json.dumps({{
    "path": sys.executable,
    "version": list(info[:3]),
    "prerelease": "" if info[3] == "final" else {{"alpha": "a", "beta": "b", "candidate": "rc"}}[info[3]] + str(info[4]),
    "implementation": sys.implementation.name,
    "platform": sysconfig.get_platform(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}}))
"""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that runs.

    Attributes:
        path: the file itself, links resolved.
        version: major, minor and patch.
        prerelease: such as "rc1"; empty for a release.
        implementation: "cpython" for the usual one.
        platform: as in ``sysconfig.get_platform()``.
        free_threaded: built without the global lock.
    """

    path: Path
    version: tuple[int, int, int]
    prerelease: str
    implementation: str
    platform: str
    free_threaded: bool = False

    @property
    def version_text(self) -> str:
        """Such as "3.10.13" or "3.15.0rc1"."""
        return ".".join(map(str, self.version)) + self.prerelease


class Interpreters:
    """Asks interpreters, and remembers the answers.

    Args:
        home: ``Settings.home``.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "interpreters-v1.json"
        self._known = read_json(self._file) or {}

    def ask(self, path: Path) -> Interpreter | None:
        """What the file is; None if it is no interpreter. A virtual environment's answers for its base."""
        seen = set()
        while (base := _base(path)) is not None and path not in seen:
            seen.add(path)
            path = base
        real = Path(os.path.realpath(path))
        known = self._known.get(str(real))
        if isinstance(known, dict) and known.get("stamp") == stamp(real):
            return _read(known.get("answer"))
        if not (real.is_file() and os.access(real, os.X_OK)):
            return None
        if _is_script(real):
            # A shim: its file says nothing about what it runs, so its answer cannot be remembered.
            answer = _run(path)
            shown = _read(answer)
            return self.ask(shown.path) if shown and not _is_script(shown.path) else None
        found = _read(answer := _run(real))
        if found is not None:
            self._known[str(real)] = {"stamp": stamp(real), "answer": answer}
            try:
                write_json(self._file, self._known)
            except FetchError:
                pass  # it only saves time
        return found


def host_interpreter() -> Interpreter | None:
    """The interpreter that runs this program, or the one that its virtual environment was made from."""
    executable = getattr(sys, "_base_executable", None) or sys.executable
    if not executable or not Path(executable).is_file():
        return None  # embedded in another program
    level = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(sys.version_info.releaselevel, "")
    return Interpreter(
        path=Path(os.path.realpath(executable)),
        version=sys.version_info[:3],
        prerelease=f"{level}{sys.version_info.serial}" if level else "",
        implementation=sys.implementation.name,
        platform=sysconfig.get_platform(),
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    )


def _run(path: Path) -> dict[str, Any] | None:
    with tempfile.TemporaryFile() as output:
        try:
            # -I and -S: nothing of the user's, and no site-packages whose start-up files could print or fail.
            returncode = run_program(
                [path, "-I", "-S", "-c", _QUESTION],
                environ=os.environ,
                folder=Path(path.anchor),
                output=output,
                limit=_LIMIT,
            )
        except (OSError, TimedOut):
            return None
        output.seek(0)
        text = output.read(64 * 1024).decode("utf-8", "replace")
    found = [line for line in text.splitlines() if line.startswith(_MARK)]
    if returncode != 0 or not found:
        return None
    try:
        answer = json.loads(found[-1].removeprefix(_MARK))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _read(answer: object) -> Interpreter | None:
    match answer:
        case {
            "path": str(path),
            "version": [int(major), int(minor), int(patch)],
            "prerelease": str(prerelease),
            "implementation": str(implementation),
            "platform": str(platform),
            "free_threaded": bool(free_threaded),
        } if path:
            real = Path(os.path.realpath(path))
            return Interpreter(
                real, (major, minor, patch), prerelease, implementation, platform, free_threaded
            )
    return None


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _base(path: Path) -> Path | None:
    """The interpreter that a virtual environment was made from; None if `path` is in none."""
    try:
        text = (path.parent.parent / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    settings = {key.strip().lower(): value.strip() for key, _, value in pairs}
    named = settings.get("base-executable") or settings.get("executable")
    if named and Path(named).is_file():
        return Path(named)
    if home := settings.get("home"):
        for name in (path.name, "python3", "python", "python.exe"):
            if (Path(home) / name).is_file():
                return Path(home) / name
    return None
