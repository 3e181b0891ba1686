"""For ``isohub doctor``: the programs that isohub runs, each found and really run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isohub.cli.problem import Problem
from isohub.config import Settings
from isohub.masking import is_secret_name
from isohub.sandbox import bubblewrap

__all__ = ["git", "gpus", "pythons", "sandbox", "uv"]

_LIMIT = 10.0


def pythons(settings: Settings) -> tuple[dict[str, Any], list[Problem]]:
    """The interpreters that environments can be built from, and files that only look like one."""
    from isohub.envs.interpreters import Interpreters
    from isohub.envs.places import candidates
    from isohub.envs.pythons import found_pythons

    found = found_pythons(settings)
    interpreters = Interpreters(settings.home)
    unusable = [path for path, _ in candidates() if os.path.lexists(path) and interpreters.ask(path) is None]
    broken = [path for path in dict.fromkeys(unusable) if not _is_python_2(path)]
    problems = [
        Problem(
            f"{path} is no Python that runs", f"see what it says ({path} --version), and repair or remove it"
        )
        for path in broken
    ]
    if not found:
        problems.append(
            Problem("there is no CPython to build environments from", "uv python install 3.11", fatal=True)
        )
    facts = {
        "found": [{"version": item.version_text, "path": str(item.path)} for item in found],
        "broken": [str(path) for path in broken],
    }
    return facts, problems


def uv(settings: Settings) -> tuple[dict[str, Any], list[Problem]]:
    """uv, and what it is told: by its own settings, and by pip's where these are silent."""
    from isohub.envs.pip_settings import read_pip_settings
    from isohub.envs.uv import load_uv
    from isohub.errors import BuildError, ConfigError

    facts: dict[str, Any] = {
        "path": None,
        "version": None,
        "cache": None,
        "settings": {},
        "options": [],
        "pip_files": [],
    }
    try:
        tool = load_uv(settings)
        facts["pip_files"] = [str(path) for path in read_pip_settings().files]
    except (BuildError, ConfigError) as error:
        return facts, [Problem(error.message, error.hint or "correct it, then look again", fatal=True)]
    told = tool.settings
    facts["path"] = str(tool.program)
    facts["version"] = _answer(tool.program, "--version")
    facts["cache"] = _answer(tool.program, "cache", "dir", environ=told.environ, folder=tool.folder)
    facts["options"] = [*told.options, *(f"--constraints {path}" for path in told.constraints)]
    facts["settings"] = {
        name: "***" if is_secret_name(name) or "USERNAME" in name else value
        for name, value in sorted(told.environ.items())
        if name.startswith("UV_") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
    }
    if facts["version"] is None:
        do = "install it again beside isohub: python -m pip install --force-reinstall uv"
        return facts, [Problem(f"{tool.program} does not run", do, fatal=True)]
    return facts, []


def git() -> tuple[dict[str, Any], list[Problem]]:
    """git, which only ``--source git`` needs."""
    program = shutil.which("git")
    version = _answer(Path(program), "--version") if program else None
    if version is None:
        what = f"{program} does not run" if program else "there is no git on PATH"
        return {"path": program, "version": None}, [Problem(what, "install it if you need --source git")]
    return {"path": program, "version": version}, []


def sandbox(settings: Settings) -> tuple[dict[str, Any], list[Problem]]:
    """bubblewrap, which only ``sandbox=`` needs, and whether it can make a sandbox here."""
    program, reason = bubblewrap()
    facts = {
        "path": None if program is None else str(program),
        "version": None if program is None else _answer(program, "--version"),
        "works": program is not None,
        "reason": reason or None,
        "asked_for": settings.sandbox,
    }
    if program is not None or settings.sandbox is None:
        return facts, []
    do = 'install bubblewrap and let users make namespaces; sandbox="auto" goes without'
    what = f"the settings ask for a sandbox ({settings.sandbox}), and {reason}"
    return facts, [Problem(what, do, fatal=settings.sandbox != "auto")]


def gpus() -> tuple[list[dict[str, Any]], list[Problem]]:
    """What ``nvidia-smi`` tells of."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], []
    query = "--query-gpu=index,uuid,name,memory.total,driver_version"
    answer = _answer(Path(program), query, "--format=csv,noheader,nounits")
    if answer is None:
        do = f"see what it says: {program}; until then models run on the CPU"
        return [], [Problem("nvidia-smi fails, so the driver of the GPUs does not work", do)]
    rows = [*_gpu_rows(answer)]
    if rows and importlib.util.find_spec("pynvml") is None:
        do = "pip install 'isohub[gpu]'"
        return rows, [Problem("nvidia-ml-py is not installed, so no Hub can choose among the GPUs", do)]
    return rows, []


def _is_python_2(path: Path) -> bool:
    return (_answer(path, "--version") or "").startswith("Python 2.")


def _gpu_rows(answer: str) -> Iterator[dict[str, Any]]:
    for line in answer.splitlines():
        match [field.strip() for field in line.split(",")]:
            case [index, uuid, name, memory, driver]:
                yield {
                    "index": int(index) if index.isdigit() else None,
                    "uuid": uuid,
                    "name": name,
                    "memory_mib": int(memory) if memory.isdigit() else None,
                    "driver": driver,
                }


def _answer(program: Path, *arguments: str, environ: Any = None, folder: Path | None = None) -> str | None:
    """What the program prints; None if it fails or does not end."""
    from isohub.envs.process import TimedOut, run_program

    with tempfile.TemporaryFile() as output:
        try:
            returncode = run_program(
                [program, *arguments],
                environ=os.environ if environ is None else environ,
                folder=folder or Path(program.anchor),
                output=output,
                limit=_LIMIT,
            )
        except (OSError, TimedOut):
            return None
        output.seek(0)
        text = output.read(64 * 1024).decode("utf-8", "replace").strip()
    return text if returncode == 0 else None
