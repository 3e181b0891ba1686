"""Which distribution provides an import name: one table as data, ``distributions.toml``, and the name itself.

The table is only about names. Whether a name that nobody declared may be installed is decided elsewhere.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection
from importlib import resources

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from isohub.errors import HubconfError
from isohub.hubconf.requirements import Requirement, parse_requirement

__all__ = ["distributions_for", "requirement_for"]

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*", re.ASCII)


def distributions_for(module: str) -> tuple[str, ...]:
    """The requirements of which any one provides `module`, the usual one first; none if nothing has to be installed."""
    table = _table()
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in table:
            return table[name]
    return () if parts[0] in sys.stdlib_module_names else (parts[0],)


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
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    text = resources.files("isohub.hubconf").joinpath("distributions.toml").read_text(encoding="utf-8")
    return {
        module: (providers,) if isinstance(providers, str) else tuple(providers)
        for module, providers in tomllib.loads(text).items()
    }
