"""Text files of strangers: of bounded size, in whatever encoding their byte order mark says."""

from __future__ import annotations

import codecs
from pathlib import Path

from isohub.errors import HubconfError

__all__ = ["read_text"]

_SIZE_LIMIT = 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, shown: str) -> str:
    """The text of a file.

    Args:
        path: where it lies.
        shown: what messages call it.

    Raises:
        HubconfError: it cannot be read, is absurdly large, or is not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise HubconfError(f"cannot read {shown}: {error.strerror}") from error
    if len(data) > _SIZE_LIMIT:
        raise HubconfError(f"{shown} is larger than {_SIZE_LIMIT // 1024**2} MiB")
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise HubconfError(f"{shown}, line {line}: not valid {encoding}") from error
