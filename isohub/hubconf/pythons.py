"""Which interpreters still have the modules that have gone out of the standard library and that nothing stands in for."""

from __future__ import annotations

__all__ = ["pythons_with"]

_GONE_IN = {
    "3.9": ("dummy_threading",),
    "3.10": ("formatter", "parser", "symbol"),
    "3.11": ("binhex",),
    "3.12": ("imp", "smtpd"),
    "3.13": (
        *("cgitb", "crypt", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes"),
        *("spwd", "telnetlib", "uu", "xdrlib"),
    ),
}
_GONE = {module: version for version, modules in _GONE_IN.items() for module in modules}


def pythons_with(module: str) -> str | None:
    """The versions that have `module`, in the standard's form: "<3.12" for ``imp``; None if it has not gone."""
    version = _GONE.get(module.split(".")[0])
    return f"<{version}" if version else None
