"""The options and arguments of the verbs, each defined once, in groups that verbs share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any

from isohub.sizes import read_size

__all__ = [
    "age_limit",
    "asking_options",
    "call_options",
    "common_options",
    "entry_argument",
    "fetch_options",
    "key_arguments",
    "repo_argument",
    "repo_options",
    "sandbox_options",
    "size_limit",
    "worker_options",
]


def common_options() -> argparse.ArgumentParser:
    """What every verb takes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("general options")
    group.add_argument("--json", action="store_true", help="print data as JSON")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no progress, notes or warnings; errors remain"
    )
    group.add_argument("-v", "--verbose", action="store_true", help="print the whole traceback of an error")
    group.add_argument("--home", metavar="FOLDER", help="where isohub keeps everything (ISOHUB_HOME)")
    return parser


def repo_argument() -> argparse.ArgumentParser:
    """The repository."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "repo", metavar="REPO", help="owner/name[:ref], a folder such as ./repo, or a git URL[@ref]"
    )
    return parser


def repo_options() -> argparse.ArgumentParser:
    """Where the repository is, whether it is trusted, and what its environment holds."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("repository")
    group.add_argument(
        "--source",
        choices=("github", "local", "git", "builtin"),
        help="what REPO is; by default a path is local, a URL is git, and everything else is on GitHub",
    )
    group.add_argument("--trust", action="store_true", help="trust the code of REPO, now and later")
    group.add_argument("--offline", action="store_true", default=None, help="ask nobody over the network")
    group = parser.add_argument_group("environment")
    group.add_argument("--python", metavar="PYTHON", help="a version (3.10), a range (>=3.8,<3.11) or a path")
    group.add_argument(
        "--with", action="append", default=[], dest="requirements", metavar="REQ", help="install this as well"
    )
    group.add_argument(
        "--constraint",
        action="append",
        default=[],
        dest="constraints",
        metavar="REQ",
        help="a bound on whatever is installed, such as 'numpy<2'",
    )
    group.add_argument(
        "--install-python",
        action="store_true",
        default=None,
        help="let uv install an interpreter that is needed and not here",
    )
    group.add_argument("--torch-backend", metavar="NAME", help="which build of torch: auto, cpu, cu126 ...")
    group.add_argument("--recipe", metavar="FILE", help="a recipe of your own for REPO")
    return parser


def fetch_options() -> argparse.ArgumentParser:
    """What verbs take that fetch a repository and build its environment."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("fetching")
    group.add_argument("--force-reload", action="store_true", help="ask for the ref and fetch it anew")
    group.add_argument(
        "--skip-validation",
        action="store_true",
        help="take a commit id without proof that it is the repository's",
    )
    return parser


def entry_argument() -> argparse.ArgumentParser:
    """The entry point, which comes after REPO."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("entry", metavar="ENTRY", help="the entry point's name")
    return parser


def call_options() -> argparse.ArgumentParser:
    """What is called, with which arguments, and where the result goes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group(
        "calls",
        "VALUE is JSON or a file: @x.npy, @photo.png, @text.txt, @value.json. With tensor: before it, a tensor.",
    )
    ordered: dict[str, Any] = {"action": _InOrder, "dest": "given", "default": []}
    group.add_argument("--kw", metavar="NAME=VALUE", help="an argument of ENTRY", **ordered)
    group.add_argument("--call", metavar="METHOD", help="then call this method of the result", **ordered)
    group.add_argument(
        "--arg", metavar="VALUE", help="the next argument of the last --call; of ENTRY before any", **ordered
    )
    group.add_argument("--call-kw", metavar="NAME=VALUE", help="an argument of the last --call", **ordered)
    group.add_argument("--save", metavar="FILE", help="keep the result as .npy, .pt or .png")
    return parser


def sandbox_options() -> argparse.ArgumentParser:
    """What verbs take that run a repository's code."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("sandbox")
    group.add_argument(
        "--sandbox",
        choices=("bwrap", "auto", "none"),
        help="run the code of REPO in a sandbox: bwrap or not at all, auto where there is one",
    )
    group.add_argument(
        "--network", action="store_true", default=None, help="let what is in it reach the network"
    )
    group.add_argument(
        "--readable", action="append", default=[], metavar="PATH", help="let it read this as well"
    )
    group.add_argument(
        "--writable", action="append", default=[], metavar="PATH", help="let it write this as well"
    )
    return parser


def worker_options() -> argparse.ArgumentParser:
    """What verbs take that start a worker."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("worker")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="limit for each call")
    group.add_argument(
        "--max-memory", type=_size, metavar="SIZE", help="memory that the worker may take: 8GB, 500MiB"
    )
    group.add_argument(
        "--cpu-threads",
        type=_count,
        metavar="N",
        help="threads for the arithmetic of one call, as OMP_NUM_THREADS",
    )
    group.add_argument("--nice", type=_niceness, metavar="N", help="give way to other programs, by 0 to 19")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="set a variable in the worker",
    )
    group.add_argument(
        "--pass-env", action="append", default=[], metavar="NAME", help="pass a variable on, such as HF_TOKEN"
    )
    group.add_argument(
        "--gpus",
        type=_gpus,
        metavar="GPUS",
        help="which GPUs the worker sees: 0,1 (as in nvidia-smi), a UUID, auto for the least used, none",
    )
    return parser


def key_arguments(*, required: bool) -> argparse.ArgumentParser:
    """Environments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "keys",
        nargs="+" if required else "*",
        metavar="KEY",
        help="a key as in env list, or the beginning of one",
    )
    return parser


def asking_options() -> argparse.ArgumentParser:
    """Whether anything is done, and whether anybody is asked."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
    return parser


def age_limit() -> argparse.ArgumentParser:
    """How long what is not used stays."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--older-than", type=_duration, metavar="AGE", help="what was last used longer ago: 30d, 12h, 2w"
    )
    return parser


def size_limit() -> argparse.ArgumentParser:
    """How much stays."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--max-size",
        type=_size,
        metavar="SIZE",
        help="the least recently used, until the rest takes no more: 20GB, 500MiB",
    )
    return parser


class _InOrder(argparse.Action):
    """Keeps options of several names in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (option_string, values)])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _niceness(text: str) -> int:
    if not text.isdecimal() or int(text) > 19:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 19")
    return int(text)


def _gpus(text: str) -> str | list[str]:
    if text == "auto":
        return text
    return [] if text == "none" else text.split(",")


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no age such as 30d, 12h or 2w")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[found[2]]


def _size(text: str) -> int:
    try:
        return read_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
