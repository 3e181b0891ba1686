"""The folder for what lives only as long as processes of this user on this machine do.

It is one for all homes, since the GPUs and the processes are, and it is never on a file system that machines share.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["require_private", "run_folder"]


def run_folder(name: str) -> Path:
    """The folder `name` for things of one kind, made if need be; nobody else can enter it.

    Raises:
        OSError: it cannot be made, or it is not this user's alone.
    """
    user = os.getuid()
    # A login session has one of these. It may be another user's, if this process was started by sudo.
    for text in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        if text and (base := Path(text)).is_dir() and base.stat().st_uid == user:
            folder = base / "isohub"
            break
    else:
        folder = Path("/tmp") / f"isohub-{user}"
    for path in (folder, folder / name):
        path.mkdir(mode=0o700, exist_ok=True)
        require_private(path)
    return folder / name


def require_private(path: Path) -> None:
    """Make sure that `path` is a folder that only this user can enter.

    Raises:
        OSError: it is not.
    """
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{path} is not a folder that only this user can enter")
