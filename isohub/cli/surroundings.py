"""For ``isohub doctor``: the settings, folders, network and terminal that isohub finds itself in."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from isohub.cli.problem import Problem
from isohub.config import Settings, load_settings, torch_home
from isohub.disk import disk_use
from isohub.errors import ConfigError
from isohub.sizes import size_text

__all__ = ["caches", "can_be_written", "network", "settings", "terminal"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_LITTLE = 5 * 1024**3
"""Bytes. An environment with a torch for GPUs takes about this."""


def settings(home: str | None) -> tuple[Settings, list[Problem]]:
    """The settings that a Hub would have; those that hold without any file or variable if they cannot be read."""
    try:
        return load_settings(home=home), []
    except ConfigError as error:
        problem = Problem(error.message, error.hint or "correct it, then look again", fatal=True)
        return Settings(home=_home_alone(home)), [problem]


def caches(home: Path, uv_cache: str | None) -> tuple[dict[str, Any], list[Problem]]:
    """The folders that grow, what they take, and whether files can be linked from uv's cache into environments."""
    problems = []
    if not can_be_written(home):
        do = "ISOHUB_HOME or --home names another folder"
        problems.append(Problem(f"isohub cannot write to {home}", do, fatal=True))
    free = shutil.disk_usage(_nearest(home)).free
    if free < _LITTLE:
        what = f"only {size_text(free)} are free where {home} is, and an environment with torch takes {size_text(_LITTLE)}"
        problems.append(
            Problem(what, "make room (isohub env list shows sizes), or name another disk by ISOHUB_HOME")
        )
    folders = {"home": home, "uv": None if uv_cache is None else Path(uv_cache), "weights": torch_home()}
    facts: dict[str, Any] = {
        name: None if path is None else {"path": str(path), "size_bytes": disk_use(path).size}
        for name, path in folders.items()
    }
    facts["free_bytes"] = free
    facts["one_file_system"] = None
    if uv_cache is not None:
        facts["one_file_system"] = _device(home) == _device(Path(uv_cache))
        if not facts["one_file_system"]:
            what = f"{home} and uv's cache {uv_cache} are on different file systems, so environments are copies, not links"
            problems.append(Problem(what, "put both on one: UV_CACHE_DIR or ISOHUB_HOME"))
    return facts, problems


def network(settings: Settings) -> tuple[dict[str, Any], list[Problem]]:
    """What decides how servers are reached. Nobody is asked here."""
    proxies = {
        name: os.environ[name]
        for upper in _PROXIES
        for name in (upper, upper.lower())
        if os.environ.get(name)
    }
    certificates = {name: os.environ[name] for name in _CERTIFICATES if os.environ.get(name)}
    problems = [
        Problem(
            f"the environment variable {name} names {path!r}, which is not there",
            f"correct or unset {name}",
            fatal=True,
        )
        for name, path in certificates.items()
        if not Path(path).exists()
    ]
    facts = {
        "offline": settings.offline,
        "github": settings.github_url,
        "github_token": settings.github_token is not None,
        "proxies": proxies,
        "certificates": certificates,
    }
    return facts, problems


def terminal() -> dict[str, Any]:
    """Where output goes, and how it may look."""
    return {
        **{name: stream is not None and stream.isatty() for name, stream in _streams().items()},
        "term": os.environ.get("TERM"),
        "no_color": bool(os.environ.get("NO_COLOR")),
        "columns": shutil.get_terminal_size().columns,
    }


def _streams() -> dict[str, Any]:
    return {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}


def can_be_written(folder: Path) -> bool:
    """Whether files can be made in the folder, or the folder itself where it would be."""
    try:
        with tempfile.TemporaryFile(dir=_nearest(folder)):
            return True
    except OSError:
        return False


def _home_alone(home: str | None) -> Path:
    import platformdirs

    named = home or os.environ.get("ISOHUB_HOME")
    return (
        Path(named).expanduser().absolute()
        if named
        else platformdirs.user_cache_path("isohub", appauthor=False)
    )


def _nearest(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _device(path: Path) -> int:
    return _nearest(path).stat().st_dev
