"""What uv says when it fails, read by its words: it gives no reasons in any other form."""

from __future__ import annotations

import re

from isohub.envs.interpreters import OLDEST

__all__ = [
    "NO_BUILD_HINT",
    "NO_ROOM_HINT",
    "abi_minors",
    "explanation",
    "hint",
    "is_final",
    "names",
    "needs_build",
    "needs_python",
    "needs_wheel",
    "no_network",
    "no_room",
]

NO_BUILD_HINT = (
    "in a sandbox without network nothing is built from source, since what that takes has to be fetched: network=True builds it "
    "in the sandbox; and an environment that a Hub without one has built, from code that you trust, is used by both: "
    "isohub.Hub().environment(...)"
)
NO_ROOM_HINT = "make room, or name another disk by ISOHUB_HOME and UV_CACHE_DIR"

_NEEDS_PYTHON = re.compile(
    r"Python (ABI|implementation) tag|Python version|Requires-Python|does not satisfy Python|usable wheels"
)
_NEEDS_BUILD = re.compile(r"[Ff]ailed to (download and )?build|build backend")
_NEEDS_WHEEL = re.compile(r"no (usable )?wheels|[Bb]uilding (from )?source( distributions)? .*is disabled")
_NO_ANSWER = re.compile(r"[Ff]ailed to fetch|error sending request|timed out|[Rr]equest failed")
_NO_ROOM = re.compile(r"No space left|Disk quota exceeded|File too large|SIGXFSZ")
_NO_SUCH = re.compile(r"was not found in the (package registry|provided)")


def explanation(output: str) -> str:
    """uv's words without its ornaments and without what every failure says."""
    lines = [
        re.sub(r"^[\s\u00d7\u2500-\u25ff]*(error: |cause: |hint: )?", "", line)
        for line in output.splitlines()
    ]
    kept = [line for line in lines if line and not line.startswith(("No solution found when", "Resolved "))]
    return "\n".join(kept[-40:]) or "uv gave no reason"


def names(text: str, name: str) -> bool:
    """Whether a distribution is named."""
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def no_network(text: str) -> bool:
    """Whether it failed because it was told to ask nobody."""
    return "network was disabled" in text or "network connectivity is disabled" in text.lower()


def no_room(text: str) -> str | None:
    """What could not be written because the disk is full, or a quota is used up; None if that is not why it failed."""
    if _NO_ROOM.search(text) is None:
        return None
    named = re.search(rf"`([^`]+)`[^`]*(?:{_NO_ROOM.pattern})", text)
    return named[1] if named else "a file"


def needs_python(text: str) -> bool:
    """Whether another Python may do."""
    return _NEEDS_PYTHON.search(text) is not None


def needs_build(text: str) -> bool:
    """Whether a source did not build."""
    return _NEEDS_BUILD.search(text) is not None


def needs_wheel(text: str) -> bool:
    """Whether there are only sources of something, which were not to be built."""
    return _NEEDS_WHEEL.search(text) is not None


def is_final(text: str) -> bool:
    """Whether no other versions of anything would mend it."""
    patterns = (_NO_ANSWER, _NO_ROOM, _NO_SUCH)
    return no_network(text) or "Hash mismatch" in text or any(pattern.search(text) for pattern in patterns)


def abi_minors(text: str) -> frozenset[int]:
    """The minor versions of Python 3 that workers run on and for which there are wheels, as far as it says."""
    lists = re.findall(r"Python (?:ABI|implementation) tags?: (.*)", text)
    minors = (int(minor) for line in lists for minor in re.findall(r"`cp3(\d+)", line))
    return frozenset(minor for minor in minors if (3, minor) >= OLDEST)


def hint(text: str) -> str:
    """What to do about requirements that cannot be met."""
    if _NO_ANSWER.search(text):
        return "check the network and the index; what is cached works with isohub.Hub(offline=True)"
    if _NO_SUCH.search(text):
        return "is the name a distribution's? If it is a module's, add what provides it: isohub.Hub(requirements=[...])"
    if minors := abi_minors(text):
        newest = f"3.{max(minors)}"
        return f'another Python has wheels of it: isohub.Hub(python="{newest}"), after: uv python install {newest}'
    if needs_python(text) or "wheels" in text:
        return 'another Python may fit: isohub.Hub(python="3.8")'
    return "loosen a bound, or take another Python: isohub.Hub(requirements=, constraints=, python=)"
