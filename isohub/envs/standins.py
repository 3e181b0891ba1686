"""What an environment has in place of pip and uv: see ``pip_standin`` for what it does and why."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from isohub.envs import pip_standin
from isohub.envs.folder import EnvironmentFolder
from isohub.envs.record import site_packages

if TYPE_CHECKING:
    from isohub.envs.lock import Lock

__all__ = ["asked_of_pip", "put_standins"]

_SHELL = '#!/bin/sh\nexec "$(dirname -- "$0")/python" -m pip "$@"\n'
_BATCH = '@"%~dp0python.exe" -m pip %*\r\n'
_REQUESTS_LIMIT = 64 * 1024


def put_standins(folder: EnvironmentFolder, lock: Lock) -> None:
    """Put them there, where nothing that is installed has their names.

    Raises:
        OSError: something cannot be written.
    """
    scripts = folder.python.parent
    if lock.version("pip") is None:
        source = Path(pip_standin.__file__).read_text(encoding="utf-8")
        package = site_packages(folder) / "pip"
        package.mkdir()
        (package / "__init__.py").write_text(source, encoding="utf-8")
        (package / "__main__.py").write_text("import sys\nfrom pip import main\nsys.exit(main())\n")
        for name in ("pip", "pip3"):
            _put_script(scripts / name)
        if lock.version("uv") is None:
            _put_script(scripts / "uv")


def asked_of_pip(folder: EnvironmentFolder) -> tuple[str, ...]:
    """What the repository asked pip for and did not get, each requirement once."""
    try:
        with folder.pip_requests.open("rb") as file:
            lines = file.read(_REQUESTS_LIMIT).decode("utf-8", "replace").splitlines()
        asked = [str(item) for line in lines for item in json.loads(line)]
    except (OSError, ValueError, TypeError):
        return ()  # nothing was asked for, or the repository wrote there what it liked
    return tuple(dict.fromkeys(asked))


def _put_script(path: Path) -> None:
    if os.name == "nt":
        path.with_suffix(".bat").write_text(_BATCH, encoding="utf-8", newline="")
    elif not path.exists():
        path.write_text(_SHELL, encoding="utf-8")
        path.chmod(0o755)
