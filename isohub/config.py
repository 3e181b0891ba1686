"""Settings: arguments > environment > project file > user file > defaults, read once per Hub.

The user file is ``config.toml`` in the user's configuration folder, the project file is ``isohub.toml`` in the working
directory. The project file may come with a stranger's checkout, so it can only set what cannot hurt: it can neither send the
user's tokens to another server, nor grant trust, nor move the caches, nor name a program to run, nor lift a limit.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from isohub.errors import ConfigError
from isohub.sizes import read_size

__all__ = ["Settings", "load_settings", "torch_home"]

_PROJECT_KEYS = frozenset({"offline", "python", "timeout"})
_VERSIONS = re.compile(r"[\d.,<>=!~*\s]+")


@dataclass(frozen=True)
class Settings:
    """What a Hub was told, merged from all the places that may tell it.

    Attributes:
        home: the folder under which isohub keeps everything of its own.
        recipes: the folder of the user's own recipes; by default beside the user file.
        offline: never ask anybody over the network.
        python: which interpreter environments get: a version, a range or a path; None leaves it to isohub.
        install_python: let uv install an interpreter that is needed and not on this machine.
        timeout: seconds that a call may take; None for no limit.
        sandbox: "bwrap" runs strangers' code in a sandbox, "auto" does so where there is one; None does not.
        network: whether what runs in the sandbox reaches the network.
        readable: what it can read besides.
        writable: what it can write besides.
        idle_timeout: seconds after which a worker that is not called ends; None to keep it.
        max_memory: bytes that a worker may take; None for no limit.
        cpu_threads: threads for the arithmetic of one call; None for what the libraries choose.
        nice: how much workers give way to other programs.
        trust: "repo" remembers trust by repository, "content" by repository and tree.
        github_url: where repositories are; an Enterprise server or a mirror, perhaps.
        github_api_url: where the REST API of it is.
        github_token: sent to these two and to nobody else.
    """

    home: Path
    recipes: Path | None = None
    offline: bool = False
    python: str | None = None
    install_python: bool = False
    timeout: float | None = None
    sandbox: str | None = None
    network: bool = False
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    idle_timeout: float | None = None
    max_memory: int | None = None
    cpu_threads: int | None = None
    nice: int = 0
    trust: str = "repo"
    github_url: str = "https://github.com"
    github_api_url: str = "https://api.github.com"
    github_token: str | None = field(default=None, repr=False)


def load_settings(**arguments: Any) -> Settings:
    """Merge the settings; an argument that is None counts as not given.

    Raises:
        ConfigError: a value has the wrong type or a file cannot be read; it names the key and where it stands.
    """
    merged: dict[str, Any] = {}
    user_file = _user_config_dir() / "config.toml"
    for path, allowed in ((user_file, None), (Path("isohub.toml"), _PROJECT_KEYS)):
        merged.update(_read_file(path, allowed))
    merged.update(_read_environment(os.environ))
    given = {key: value for key, value in arguments.items() if value is not None}
    merged.update({key: _CONVERT[key](value, key) for key, value in given.items()})
    merged.setdefault("home", _default_home())
    merged.setdefault("recipes", user_file.with_name("recipes"))
    for key in ("home", "recipes"):
        merged[key] = Path(merged[key]).expanduser().absolute()
    for key in ("github_url", "github_api_url"):
        if key in merged:
            merged[key] = merged[key].rstrip("/")
    return Settings(**merged)


def torch_home() -> Path:
    """The folder of ``$TORCH_HOME``, which every worker shares, or what torch takes for it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()


def _default_home() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("isohub", appauthor=False)


def _user_config_dir() -> Path:
    import platformdirs

    return platformdirs.user_config_path("isohub", appauthor=False)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, convert in _CONVERT.items():
        name = f"ISOHUB_{key.upper()}"
        text = environ.get(name, "")
        if key == "github_token":
            text = environ.get("GITHUB_TOKEN", "").strip()
        if text:
            found[key] = convert(text, f"the environment variable {name}")
    return found


def _read_file(path: Path, allowed: frozenset[str] | None) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the settings in {path}: {error.strerror}") from error
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    known = frozenset(_CONVERT) - {"github_token"}
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{path}: unknown setting {key!r}", hint=f"known settings: {', '.join(sorted(known))}"
            )
        if allowed is not None and key not in allowed:
            raise ConfigError(
                f"{path}: {key!r} cannot be set by a project, which may be a stranger's",
                hint=f"set it in {_user_config_dir() / 'config.toml'} or pass it to isohub.Hub",
            )
    if allowed is not None and not _VERSIONS.fullmatch(str(table.get("python", "3"))):
        raise ConfigError(
            f"{path}: python is {table['python']!r}; a project, which may be a stranger's, can only name versions",
            hint='write it as in ">=3.8,<3.11"',
        )
    return {key: _CONVERT[key](value, f"{path}: {key}") for key, value in table.items()}


def _as_bool(value: object, where: str) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ConfigError(f"{where} is {value!r}, not a yes or no", hint="use 1 or 0")


def _as_seconds(value: object, where: str) -> float:
    try:
        seconds = float(cast("str | float", value))
    except (TypeError, ValueError):
        raise ConfigError(f"{where} is {value!r}, not a number of seconds") from None
    if not seconds > 0:
        raise ConfigError(f"{where} is {value!r}; it must be more than 0 seconds")
    return seconds


def _as_size(value: object, where: str) -> int:
    size = value
    if isinstance(value, str):
        try:
            size = read_size(value)
        except ValueError as error:
            raise ConfigError(f"{where} is {error}") from None
    if isinstance(size, bool) or not isinstance(size, int):
        raise ConfigError(f"{where} is {value!r}, not a number of bytes", hint='use "8GB", or bytes')
    if size < 1:
        raise ConfigError(f"{where} is {value!r}; it must be more than 0 bytes")
    return size


def _as_count(value: object, where: str) -> int:
    return _as_whole(value, where, range(1, 2**31), "at least 1")


def _as_niceness(value: object, where: str) -> int:
    return _as_whole(value, where, range(20), "from 0 to 19")


def _as_whole(value: object, where: str, allowed: range, words: str) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or number not in allowed:
        raise ConfigError(f"{where} is {value!r}; it must be a whole number, {words}")
    return number


def _as_text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} is {value!r}, not a text")
    return value.strip()


def _as_sandbox(value: object, where: str) -> str | None:
    if value not in ("bwrap", "auto", "none"):
        raise ConfigError(f"{where} is {value!r}", hint='use "bwrap", "auto" or "none"')
    return None if value == "none" else str(value)


def _as_paths(value: object, where: str) -> tuple[Path, ...]:
    """Several paths: a list or, in a variable, a text with separators between them."""
    items = [item for item in value.split(os.pathsep) if item] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(
        isinstance(item, (str, os.PathLike)) for item in items
    ):
        raise ConfigError(f"{where} is {value!r}, not a list of paths")
    return tuple(Path(item).expanduser().absolute() for item in items)


def _as_trust(value: object, where: str) -> str:
    if value not in ("repo", "content"):
        raise ConfigError(f"{where} is {value!r}", hint='use "repo" or "content"')
    return str(value)


_CONVERT: dict[str, Any] = {
    "home": _as_text,
    "recipes": _as_text,
    "offline": _as_bool,
    "python": _as_text,
    "install_python": _as_bool,
    "timeout": _as_seconds,
    "sandbox": _as_sandbox,
    "network": _as_bool,
    "readable": _as_paths,
    "writable": _as_paths,
    "idle_timeout": _as_seconds,
    "max_memory": _as_size,
    "cpu_threads": _as_count,
    "nice": _as_niceness,
    "trust": _as_trust,
    "github_url": _as_text,
    "github_api_url": _as_text,
    "github_token": _as_text,
}
assert frozenset(_CONVERT) == {item.name for item in fields(Settings)}
