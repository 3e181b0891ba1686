"""The folder of an environment: what lies in it, and the locks beside it. It is built where it stays and never moved."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from isohub.envs.pip_standin import REQUESTS
from isohub.errors import BuildError

__all__ = ["EnvironmentFolder", "folder_name"]


@dataclass(frozen=True)
class EnvironmentFolder:
    """Paths only; that one of them exists is not said.

    Attributes:
        path: the folder itself.
    """

    path: Path

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return self.path / "env"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        if os.name == "nt":
            return self.environment / "Scripts" / "python.exe"
        return self.environment / "bin" / "python"

    @property
    def repo(self) -> Path:
        """The working copy of the repository."""
        return self.path / "repo"

    @property
    def prelude(self) -> Path:
        """The Python file that its recipe runs before the hubconf, if it has one."""
        return self.path / "prelude.py"

    @property
    def lock(self) -> Path:
        """What is installed in it."""
        return self.path / "pylock.toml"

    @property
    def log(self) -> Path:
        """How it was built."""
        return self.path / "build.log"

    @property
    def record(self) -> Path:
        """What its own files were when it was built."""
        return self.path / "files.json"

    @property
    def pip_requests(self) -> Path:
        """What the repository asked pip for."""
        return self.path / REQUESTS

    @property
    def activation(self) -> dict[str, str]:
        """Variables of programs that run in it: its own commands come first, such as the ninja that torch compiles with."""
        commands = str(self.python.parent)
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": f"{commands}{os.pathsep}{path}", "VIRTUAL_ENV": str(self.environment)}

    @property
    def work_lock(self) -> Path:
        """Held by the one that builds or removes it."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def use_lock(self) -> Path:
        """Shared by those that use it."""
        return self.path.with_name(f"{self.path.name}.users")

    def remove(self) -> None:
        """Remove the folder and all in it, read-only folders too; the locks stay, since others may wait for them.

        Raises:
            BuildError: something cannot be removed.
        """
        if not self.path.exists():
            return
        try:
            # The manifest first, so that a removal that is cut short leaves no environment.
            (self.path / "manifest.json").unlink(missing_ok=True)
            try:
                shutil.rmtree(self.path)
            except PermissionError:
                self._make_writable()
                shutil.rmtree(self.path)
        except OSError as error:
            raise BuildError(f"cannot remove {self.path}: {error}", step="remove") from error

    def _make_writable(self) -> None:
        for parent, folders, _ in os.walk(self.path):
            for name in folders:
                if not (folder := Path(parent, name)).is_symlink():
                    folder.chmod(0o700)


def folder_name(repo: str, digest: str) -> str:
    """A readable part, short since interpreters limit the paths in scripts, and a part that is nobody else's."""
    last = re.split(r"[/:\\]", repo.rstrip("/"))[-1].removesuffix(".git").lower()
    readable = re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:24] or "repo"
    return f"{readable}-{digest[:24]}"
