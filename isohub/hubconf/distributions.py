"""Which distribution provides an import name: one table as data, then what the repository's files name, then the name itself.

A name that is declared is its author's word, and is taken as it stands. One that is only imported is installed under its own
name if that is a well-known distribution, and not at all if not: nobody gets a squatter's package by a slip in a stranger's file.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from isohub.errors import HubconfError
from isohub.hubconf.popular import is_popular
from isohub.hubconf.requirements import Requirement, parse_requirement
from isohub.hubconf.tables import load_table

__all__ = [
    "distributions_for",
    "is_accounted_for",
    "plugins_of",
    "requirement_for",
    "undeclared_requirement",
]

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*", re.ASCII)
# What distributions add to the name of the module that they provide.
_AFFIX = re.compile(
    r"^(?:python-|pytorch-|torch-|py)|(?:-python|-pytorch|-torch|-py|-cpu|-gpu|-binary|-wheel)$"
)


def distributions_for(module: str) -> tuple[str, ...]:
    """The requirements of which any one provides `module`, the usual one first; none if nothing has to be installed."""
    table = _table()
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in table:
            return table[name]
    return () if parts[0] in sys.stdlib_module_names else (parts[0],)


def plugins_of(name: str) -> tuple[str, ...]:
    """The distributions that the one of this normalised name looks for when it is used, without requiring them."""
    return tuple(load_table("plugins.toml").get(name, ()))


def is_accounted_for(module: str) -> bool:
    """Whether it is known what provides `module`: the table or the standard library has it."""
    parts = module.split(".")
    return parts[0] in sys.stdlib_module_names or any(
        ".".join(parts[:end]) in _table() for end in range(1, len(parts) + 1)
    )


def undeclared_requirement(module: str, origin: str, named: Collection[str] = ()) -> Requirement | None:
    """What to install for a module that is imported and that the hubconf does not declare.

    Args:
        module: its dotted name.
        origin: who imports it.
        named: normalised distributions that the repository itself names.

    Returns:
        The requirement; None if nothing has to be installed, or nothing may be.
    """
    top = module.split(".")[0]
    if is_accounted_for(module):
        providers = distributions_for(module)
        chosen = next((text for text in providers if _name(text) in named), next(iter(providers), None))
    else:
        own = canonicalize_name(top)
        similar = (name for name in sorted(named) if _AFFIX.sub("", name) == _AFFIX.sub("", own))
        chosen = own if own in named else next(similar, own if is_popular(own) else None)
    return parse_requirement(chosen, origin) if chosen else None


def requirement_for(entry: str, origin: str, named: Collection[str] = ()) -> Requirement | None:
    """What one entry of ``dependencies`` requires.

    Args:
        entry: an import name, or a requirement ("timm==0.4.5") whose name may be an import name.
        origin: who asks.
        named: normalised distributions that the repository itself names; one of them is taken where several would do.

    Returns:
        The requirement; None if the standard library has it.

    Raises:
        HubconfError: the entry is neither, or it is a URL, which a stranger's file cannot ask for.
    """
    if _MODULE.fullmatch(entry):
        asked = ParsedRequirement(entry.split(".")[0])
        providers = distributions_for(entry)
    else:
        try:
            asked = ParsedRequirement(parse_requirement(entry, origin).text)
        except InvalidRequirement as error:
            raise HubconfError(
                f"{origin}: {entry!r} is neither a module nor a requirement", tail=str(error)
            ) from error
        if asked.url:
            raise HubconfError(
                f"{origin}: {entry!r} asks for a URL, which a hubconf cannot",
                hint="if you trust it, pass it yourself: isohub.Hub(requirements=[...])",
            )
        written = re.match(r"[\w.-]+", entry.strip(), re.ASCII)
        name = written[0] if written else asked.name
        providers = (
            distributions_for(name) if name in _table() or name in sys.stdlib_module_names else (asked.name,)
        )
    if not providers:
        return None
    chosen = next((text for text in providers if _name(text) in named), providers[0])
    return _merge(asked, chosen, origin)


def _merge(asked: ParsedRequirement, provider: str, origin: str) -> Requirement:
    merged = ParsedRequirement(provider)
    merged.extras |= asked.extras
    merged.specifier &= asked.specifier
    if asked.marker and merged.marker:
        merged.marker = Marker(f"({merged.marker}) and ({asked.marker})")
    else:
        merged.marker = merged.marker or asked.marker
    return parse_requirement(str(merged), origin)


def _name(requirement: str) -> str:
    return canonicalize_name(ParsedRequirement(requirement).name)


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    return {
        module: (providers,) if isinstance(providers, str) else tuple(providers)
        for module, providers in load_table("distributions.toml").items()
    }
