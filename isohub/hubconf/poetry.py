"""The notation of poetry and pipenv for versions, in that of the standard (PEP 508)."""

from __future__ import annotations

import re
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

__all__ = ["requirement_text", "standard_specifier"]

_RELEASE = re.compile(r"\d+(?:\.\d+)*")
_ELSEWHERE = frozenset({"git", "path", "url", "file", "hg", "svn"})


def requirement_text(name: str, value: Any) -> str | None:
    """The requirement that an entry of a table of dependencies means; None if it is not on an index.

    What is said about platforms and interpreters is kept if it is a marker; a range that has no form in the standard is left out.
    """
    if isinstance(value, str):
        value = {"version": value}
    if not isinstance(value, dict) or not _ELSEWHERE.isdisjoint(value):
        return None
    version = value.get("version", "*")
    extras = value.get("extras", [])
    listed = ",".join(item for item in extras if isinstance(item, str)) if isinstance(extras, list) else ""
    specifier = standard_specifier(version) if isinstance(version, str) else ""
    marker = value.get("markers")
    return f"{name}{f'[{listed}]' if listed else ''}{specifier}" + (
        f"; {marker}" if isinstance(marker, str) else ""
    )


def standard_specifier(constraint: str) -> str:
    """``^1.2`` is ``>=1.2,<2``, ``~1.2`` is ``>=1.2,<1.3``, ``1.2`` is ``==1.2``. Any version is "", and so is an alternative,
    for which the standard has no form.
    """
    if "|" in constraint:
        return ""
    specifier = ",".join(
        filter(None, (_one(part.strip()) for part in re.split(r",|\s+(?=[<>=!~^])", constraint)))
    )
    try:
        return str(SpecifierSet(specifier))
    except InvalidSpecifier:
        return ""


def _one(part: str) -> str:
    if part in {"", "*"}:
        return ""
    release = _RELEASE.match(part.lstrip("^~ "))
    if part.startswith("^") and release:
        return f">={part[1:].strip()},<{_after(release[0], caret=True)}"
    if part.startswith("~") and not part.startswith("~=") and release:
        return f">={part[1:].strip()},<{_after(release[0], caret=False)}"
    if part[0].isdigit():
        return f"=={part}"
    return f"={part}" if re.match(r"=\s*\d", part) else part


def _after(release: str, *, caret: bool) -> str:
    """The first release that may break: after the leftmost part that is not zero, or after the second part."""
    numbers = [int(part) for part in release.split(".")]
    at = (
        next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
        if caret
        else min(1, len(numbers) - 1)
    )
    return ".".join(str(number) for number in [*numbers[:at], numbers[at] + 1])
