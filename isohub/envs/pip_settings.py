"""pip's configuration, read as pip reads it: files, then variables, each overriding what came before.

Only what says where distributions come from is read. Folders that differ by system stand in one function.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from isohub.errors import ConfigError

__all__ = ["PipSettings", "read_pip_settings"]


@dataclass(frozen=True)
class PipSettings:
    """What pip was told. URLs may hold credentials: they are for environment variables of uv's, and not to be shown.

    Attributes:
        index_url: the main index; None for the usual one.
        extra_index_urls: further indexes.
        find_links: folders and pages with distributions; relative folders are made absolute.
        no_index: ask no index at all.
        trusted_hosts: hosts whose certificates are not checked.
        cert: a bundle of certificates.
        constraints: files of constraints.
        files: the files that this was read from.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    constraints: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def read_pip_settings() -> PipSettings:
    """Read pip's files and variables, as they are now.

    Raises:
        ConfigError: a file is not in pip's format; it names the file.
    """
    files = [path for path in _files(os.environ) if path.is_file()]
    merged: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in files:
        for section, key, value in _read(path):
            if section in merged:
                merged[section][key] = value
    variables = {
        name[4:].lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    }
    options: dict[str, str] = {}
    for layer in (merged["global"], merged["install"], variables):
        # pip takes an empty value for none, so it does not undo what came before.
        options.update({key: value for key, value in layer.items() if value.strip()})
    return PipSettings(
        index_url=options.get("index-url"),
        extra_index_urls=tuple(options.get("extra-index-url", "").split()),
        find_links=tuple(_absolute(link) for link in options.get("find-links", "").split()),
        no_index=options.get("no-index", "").lower() in {"y", "yes", "t", "true", "on", "1"},
        trusted_hosts=tuple(options.get("trusted-host", "").split()),
        cert=_absolute(options["cert"]) if "cert" in options else None,
        constraints=tuple(_absolute(path) for path in options.get("constraint", "").split()),
        files=tuple(files),
    )


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files in pip's order: machine, user, virtual environment, and the one that a variable names."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    machine, user, name = _folders(environ)
    yield from (folder / name for folder in machine)
    if not (named and Path(named).exists()):
        yield from (folder / name for folder in user)
    yield Path(sys.prefix) / name
    if named:
        yield Path(named)


def _folders(environ: Mapping[str, str]) -> tuple[list[Path], list[Path], str]:
    """Folders of the machine's and of the user's files, and the name of the files, on this system."""
    home = Path.home()
    if os.name == "nt":
        machine = [Path(environ.get("PROGRAMDATA") or "C:\\ProgramData") / "pip"]
        user = [home / "pip", Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "pip"]
        return machine, user, "pip.ini"
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    if sys.platform == "darwin":
        support = home / "Library" / "Application Support" / "pip"
        user = [home / ".pip", support if support.is_dir() else home / ".config" / "pip"]
        return [Path("/Library/Application Support/pip")], user, "pip.conf"
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    machine = [Path(folder) / "pip" for folder in shared if folder]
    return [*machine, Path("/etc")], [home / ".pip", config], "pip.conf"


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"pip's configuration cannot be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    for section in parser.sections():
        for key, value in parser.items(section):
            yield section, key.lower().replace("_", "-").removeprefix("--"), value


def _absolute(path: str) -> str:
    """A path that means the same from any working directory; URLs stay."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - text stays text
