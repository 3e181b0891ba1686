"""uv's settings: the user's own hold, pip's where uv's are silent, in the form of variables and options.

Index URLs may hold credentials, so they go by variables, never by options. What a distribution runs while it is built
inherits these variables, so they are the scrubbed ones, with what uv itself is steered by.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isohub.environ import scrubbed_environ
from isohub.envs.pip_settings import PipSettings, read_pip_settings
from isohub.errors import ConfigError

__all__ = ["UvSettings", "read_uv_settings"]

_TOOLS = frozenset(
    """
    RUSTUP_HOME CARGO_HOME
    NETRC SSH_AUTH_SOCK GIT_SSH GIT_SSH_COMMAND SSL_CLIENT_CERT
    """.split()
)
# These would choose another interpreter, another project or less care than we ask for.
_OURS = frozenset(
    """
    UV_PROJECT UV_WORKING_DIR UV_PYTHON UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON
    UV_PYTHON_PREFERENCE UV_NO_VERIFY_HASHES UV_REQUIRE_HASHES UV_CONSTRAINT UV_CUSTOM_COMPILE_COMMAND UV_PROJECT_ENVIRONMENT
    """.split()
)
_PATHS = ("UV_CACHE_DIR", "UV_CONFIG_FILE")
_PATH_LISTS = {"UV_BUILD_CONSTRAINT": " ", "UV_OVERRIDE": " ", "UV_FIND_LINKS": ","}


@dataclass(frozen=True)
class UvSettings:
    """How uv is to be run.

    Attributes:
        environ: its whole environment.
        options: for its commands that look for distributions.
        constraints: files that bound every resolution. They are no variable: uv ignores that beside an option.
    """

    environ: Mapping[str, str] = field(repr=False)
    options: tuple[str, ...]
    constraints: tuple[Path, ...]


def read_uv_settings() -> UvSettings:
    """Gather uv's settings and pip's, as they are now.

    Raises:
        ConfigError: a settings file cannot be read.
    """
    pip, environ = read_pip_settings(), _environ(os.environ)
    from_pip, options = _from_pip(pip, os.environ, _own_settings(os.environ))
    constraints = _constraints(os.environ.get("UV_CONSTRAINT", "")) or tuple(map(Path, pip.constraints))
    return UvSettings({**environ, **from_pip}, tuple(options), constraints)


def _constraints(value: str) -> tuple[Path, ...]:
    """The files in uv's variable: between blanks, and a blank in a name is escaped."""
    parts = (part.replace("\\ ", " ") for part in re.split(r"(?<!\\)\s+", value.strip()))
    return tuple(Path(os.path.abspath(part)) for part in parts if part)  # noqa: PTH100 - links stay links


def _environ(host: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in host.items()
        if name in _TOOLS or (name.startswith("UV_") and name not in _OURS and value)
    }
    # uv runs in a folder of its own, so relative paths of the user's would mean something else.
    for name in _PATHS:
        if name in kept:
            kept[name] = os.path.abspath(kept[name])  # noqa: PTH100 - text stays text
    for name, separator in _PATH_LISTS.items():
        if name in kept:
            parts = kept[name].split(separator)
            kept[name] = separator.join(p if "://" in p or not p else os.path.abspath(p) for p in parts)  # noqa: PTH100
    kept |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    return scrubbed_environ(kept)


def _from_pip(
    pip: PipSettings, environ: Mapping[str, str], own: Mapping[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """pip's settings in uv's terms, for what uv itself was told nothing about: variables and options."""

    def silent(keys: str, *names: str) -> bool:
        return not any(environ.get(name) for name in names) and not any(key in own for key in keys.split())

    variables: dict[str, str] = {}
    options: list[str] = []
    if pip.index_url and silent("index-url default-index", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        variables["UV_DEFAULT_INDEX"] = pip.index_url
    if pip.extra_index_urls and silent("extra-index-url index", "UV_EXTRA_INDEX_URL", "UV_INDEX"):
        variables["UV_EXTRA_INDEX_URL"] = " ".join(pip.extra_index_urls)
        if silent("index-strategy", "UV_INDEX_STRATEGY"):
            # pip weighs the candidates of all indexes; uv would stop at the first index that has the name.
            options += ["--index-strategy", "unsafe-best-match"]
    # pip passes over a folder that is not there; uv fails.
    links = [link for link in pip.find_links if "://" in link or Path(link).exists()]
    if links and silent("find-links", "UV_FIND_LINKS"):
        variables["UV_FIND_LINKS"] = ",".join(links)
    if pip.no_index and silent("no-index"):
        options.append("--no-index")
    if pip.trusted_hosts and silent("allow-insecure-host", "UV_INSECURE_HOST"):
        variables["UV_INSECURE_HOST"] = " ".join(pip.trusted_hosts)
    certificates = ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
    if pip.cert and silent("system-certs native-tls", *certificates):
        variables["SSL_CERT_FILE"] = pip.cert
    return variables, options


def _own_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """The keys of uv's own files, those of its ``pip`` table among them."""
    if environ.get("UV_NO_CONFIG"):
        return {}
    if named := environ.get("UV_CONFIG_FILE"):
        files = [Path(named)]
    elif os.name == "nt":
        folders = [environ.get("PROGRAMDATA"), environ.get("APPDATA")]
        files = [Path(folder) / "uv" / "uv.toml" for folder in folders if folder]
    else:
        machine = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        user = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        files = [Path(folder) / "uv" / "uv.toml" for folder in ("/etc", *machine, user) if folder]
    own: dict[str, Any] = {}
    for path in files:
        table = _read_toml(path)
        own |= {**table, **table.get("pip", {})}
    for index in own.pop("index", []):
        own["default-index" if index.get("default") else "index"] = index
    return own


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"uv's settings in {path} cannot be read: {error}") from error
    return table
