"""Small records on disk: a reader sees the whole of one or none, whoever writes at that moment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from isohub.errors import FetchError

__all__ = ["read_json", "write_json"]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None if there is no such file or no object in it, since records can always be made anew."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Put the object there in one piece, in a folder that is made if need be.

    Raises:
        FetchError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FetchError(
            f"cannot write {path}: {error.strerror}",
            hint="ISOHUB_HOME names another folder for isohub's files",
        ) from error
