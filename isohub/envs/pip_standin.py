"""What stands where a repository expects pip: a program that installs nothing, and says what was asked of it.

Repositories call pip while they are imported or loaded, as ``python -m pip``, as a command or by ``pip.main``. An environment
of isohub's is planned and locked, so it has no pip; and the host's, which would be found instead, installs into the host's
Python. This file is copied to where each of these calls ends up. It runs on every Python that workers run on, and imports
nothing of isohub's. What is already there counts as installed, whatever its version: the plan decides on versions.

A request that was refused is written down, one JSON list of requirements a line, in a file beside the environment.
"""

import json
import os
import re
import sys
from typing import List, Optional, Sequence

__all__ = ["REQUESTS", "main"]

REQUESTS = "asked-of-pip.jsonl"
# Options that take a value of their own, of those that people write into a repository.
_WITH_VALUE = frozenset(
    """
    -c --constraint -e --editable -t --target -f --find-links -i --index-url --extra-index-url --index-strategy
    --platform --python-version --prefix --root --src --timeout --retries --proxy --trusted-host --cert --progress-bar
    --torch-backend --python -p
    """.split()
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do as pip does where everything is installed already; otherwise say what to do instead.

    Args:
        arguments: as for pip; the program's own by default.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    while words and (words[0] == "pip" or words[0].startswith("-")):
        del words[0]  # also "uv pip install"
    if not words or words[0] not in ("install", "add"):
        sys.stderr.write("isohub: this environment was built from a plan, and has no pip\n")
        return 1
    wanted = _wanted(words[1:])
    missing = [item for item in wanted if not _is_here(item)]
    if not missing:
        return 0
    _write_down(missing)
    plan = ", ".join('"%s"' % item for item in missing)
    sys.stderr.write(
        "isohub: this repository asked pip to install %s while it was running, and that was not done.\n"
        "isohub: plan it instead: isohub.Hub(requirements=[%s])\n" % (", ".join(missing), plan)
    )
    sys.stderr.flush()
    return 1


def _wanted(words: List[str]) -> List[str]:
    found = []
    while words:
        word = words.pop(0)
        if word in ("-r", "--requirement", "--requirements") and words:
            found += _lines(words.pop(0))
        elif word in _WITH_VALUE and words:
            value = words.pop(0)
            if word in ("-e", "--editable"):
                found.append(value)
        elif word.startswith("--requirement="):
            found += _lines(word.partition("=")[2])
        elif not word.startswith("-"):
            found.append(word)
    return found


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in file]
    except OSError:
        return [path]
    return [line for line in lines if line and not line.startswith("-")]


def _is_here(requirement: str) -> bool:
    named = re.search(r"#egg=([\w.-]+)", requirement) or re.match(
        r"([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\]\s*)?($|[=<>~!;@\s])", requirement
    )
    if named is None:
        return False
    name = _normal(named.group(1))
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")) and _normal(entry.split("-")[0]) == name:
                return True
    return False


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _write_down(missing: List[str]) -> None:
    path = os.path.join(os.path.dirname(sys.prefix), REQUESTS)
    line = json.dumps(missing) + "\n"
    try:
        with open(path, "a+", encoding="utf-8") as file:
            file.seek(0)
            if line not in file.readlines():
                file.write(line)
    except OSError:
        pass  # the environment is shared and read-only; what was printed has to do


if __name__ == "__main__":
    sys.exit(main())
