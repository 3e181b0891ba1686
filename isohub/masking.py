"""Secrets, kept out of every text that isohub shows: errors, logs that it writes, progress, and what the command line prints.

Four kinds are found: values of variables that are called like a secret, in this process's environment or among those that a
Hub was told to pass to workers; what somebody said is one; user, password and query of URLs; and tokens that can be told by
their form. Too much is masked rather than too little.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["is_secret_name", "keep_secret", "keep_secrets", "masked", "masked_values"]

_MASK = "***"
# What is shorter is found in many words that are no secret.
_SHORTEST = 6
_NAME = re.compile(
    r"""
      TOKEN(?!I[SZ]) | SECRET | PASSW(?:OR)?D | PASSPHRASE | CREDENTIAL | (?:API|ACCESS|PRIVATE|SIGNING)_?KEY
    | (?:^|_) (?: KEY | PASS | PAT | PSW | PWD(?<!^PWD)(?<!^OLDPWD) ) (?:_|S?$)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Values of such variables that say yes or no.
_HARMLESS = frozenset({"disabled", "enabled", "optional", "required"})
_TOKEN = re.compile(r"\b(?:gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,})")
_HEADER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
# Words are taken apart by plain string methods: the text may be a stranger's, and made to keep a pattern busy.
_BETWEEN_WORDS = re.compile(r"([\s'\"<>]+)")
_kept: set[str] = set()


def masked(text: str) -> str:
    """The text with the secrets in it blotted out."""
    secrets = {value for name, value in os.environ.items() if _is_secret(name, value)} | _kept
    # The longest first: one may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    text = _HEADER.sub(rf"\1 {_MASK}", _TOKEN.sub(_MASK, text))
    if "@" not in text and "://" not in text:
        return text
    return "".join(map(_masked_word, _BETWEEN_WORDS.split(text)))


def masked_values(value: Any) -> Any:
    """The value, of those that JSON has, with all texts in it masked; keys as well."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {masked(key): masked_values(item) for key, item in value.items()}
    return [masked_values(item) for item in value] if isinstance(value, list) else value


def keep_secret(value: str) -> None:
    """Mask this from now on, wherever it comes from."""
    if len(value) >= _SHORTEST:
        _kept.add(value)


def keep_secrets(environ: Mapping[str, str]) -> None:
    """Mask the values of those of these variables that are called like a secret."""
    for name, value in environ.items():
        if _is_secret(name, value):
            keep_secret(value)


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret, by the looks of it."""
    return _NAME.search(name) is not None


def _masked_word(word: str) -> str:
    first, *urls = word.split("://")
    if urls:
        return "://".join([first, *map(_masked_address, urls)])
    before, _, host = word.rpartition("@")
    user, colon, _ = before.partition(":")
    # Such as a proxy without a scheme. What git calls "user@host:path@ref" is none.
    return f"{_MASK}@{host}" if colon and "@" not in user and "/" not in before else word


def _masked_address(text: str) -> str:
    """What follows the scheme of a URL."""
    host, _, _ = text.partition("/")
    _, colon, port = host.rpartition(":")
    if "@" in host:
        text = f"{_MASK}@{host.rpartition('@')[2]}{text[len(host) :]}"
    elif colon and not port.isdigit() and "@" in text:
        # The password has a slash in it that should not be there.
        text = f"{_MASK}@{text.rpartition('@')[2]}"
    address, question, _ = text.partition("?")
    return f"{address}?{_MASK}" if question else text


def _is_secret(name: str, value: str) -> bool:
    return len(value) >= _SHORTEST and value.lower() not in _HARMLESS and is_secret_name(name)
