"""Conda's notation for versions, and its own names for what the index has under others."""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from isohub.hubconf.requirements import (
    Declarations,
    Strength,
    Unsupported,
    declare,
    declare_python,
    misnomers,
)

__all__ = ["declare_conda"]

_SPEC = re.compile(r"(?:[\w./-]+::)?(?P<name>[A-Za-z0-9_.-]*[A-Za-z0-9])\s*(?P<version>[^\[]*)(?:\[.*\])?")


def declare_conda(text: str, origin: str, strength: Strength) -> Declarations:
    """What a line of conda's states: ``pytorch=1.7.1=py3.7_cuda0``, ``numpy>=1.16``, ``pytorch::torchvision 0.8``.

    A single ``=`` means any release that begins so, in conda and here: what conda calls opencv 4.5.1 is 4.5.1.48 elsewhere.
    """
    match = _SPEC.fullmatch(text.strip())
    specifier = None if match is None else _specifier(match["version"].strip())
    if match is None or specifier is None:
        return Declarations(unsupported=(Unsupported(text, origin, "a version in conda's own notation"),))
    name = match["name"].lower()
    if name == "python":
        return declare_python(specifier, origin, strong=False)
    meant = misnomers("conda").get(re.sub(r"[-_.]+", "-", name), name)
    # Libraries may have names that begin with an underscore.
    if not meant or not meant[0].isalnum():
        return Declarations(unsupported=(Unsupported(text, origin, "not a distribution"),))
    return declare(f"{meant}{specifier}", origin, strength)


def _specifier(version: str) -> str | None:
    if not version:
        return ""
    if re.match(r"=?[0-9*]", version):
        # A build string may follow, after another "=" or a blank.
        release = re.split(r"[= ]", version.removeprefix("="), maxsplit=1)[0].rstrip(".*")
        specifier = f"=={release}.*" if release else ""
    else:
        release = re.sub(r"(?<=\d)=\w+$", "", version)
        specifier = re.sub(r"\s", "", release)
    try:
        return str(SpecifierSet(specifier))
    except InvalidSpecifier:
        return None
