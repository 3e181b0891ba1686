"""The tables of names that ship as data beside the code."""

from __future__ import annotations

import functools
import sys
from importlib import resources
from typing import Any

__all__ = ["load_table"]


@functools.cache
def load_table(name: str) -> dict[str, Any]:
    """The content of a table, such as ``distributions.toml``. It is shared, and not to be changed."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    content: dict[str, Any] = tomllib.loads(
        resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    )
    return content
