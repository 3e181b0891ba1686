"""The index in a lock. uv leaves it out, and then takes each file for one of an unknown address: it asks about it again at every
installation, and downloads it again where the server cannot say that it has not changed. With the index named, what is in
uv's cache is simply used.
"""

from __future__ import annotations

import re
from pathlib import Path

from isohub.envs.buildlog import BuildLog
from isohub.envs.uv import Uv

__all__ = ["default_index", "with_index"]

_LIMIT = 60.0
_CREDENTIALS = re.compile(r"//[^/@]*@")
_FROM_WEB = re.compile(r'^(wheels|sdist) = .*\burl = "https?://', re.MULTILINE)
_VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)


def default_index(uv: Uv, empty: Path, python: Path, log: BuildLog) -> str | None:
    """The address of the index that uv asks first, without credentials; None if it asks none.

    Args:
        empty: a file to ask about nothing with.
        python: an interpreter to ask for.
    """
    empty.write_text("", encoding="utf-8")
    arguments: list[str | Path] = ["pip", "compile", empty, "--emit-index-url", "--no-header", "--quiet"]
    answer = uv.run(arguments, log=log, limit=_LIMIT, python=python)
    found = re.search(r"^--index-url (\S+)$", answer.output, re.MULTILINE)
    return _CREDENTIALS.sub("//", found[1]) if found else None


def with_index(text: str, index: str) -> str:
    """A lock as uv wrote it, with `index` for each distribution from the web that has none."""
    head, *packages = re.split(r"(?m)^(?=\[\[packages\]\])", text)
    return head + "".join(_named(package, index) for package in packages)


def _named(package: str, index: str) -> str:
    if re.search(r"^index = ", package, re.MULTILINE) or not _FROM_WEB.search(package):
        return package
    return _VERSION.sub(lambda found: f'{found[0]}\nindex = "{index}"', package, count=1)
