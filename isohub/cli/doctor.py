"""``isohub doctor``: what was found on this machine, and what is wrong with it.

It looks below the Hub, since it has to answer where no Hub can be made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import isohub
from isohub.cli import programs, surroundings
from isohub.cli.output import show, show_json
from isohub.cli.problem import Problem
from isohub.sizes import size_text

__all__ = ["show_findings"]


def show_findings(args: argparse.Namespace) -> int:
    """``isohub doctor``: fails if something prevents work."""
    facts, problems = _examine(args.home)
    healthy = not any(problem.fatal for problem in problems)
    if args.json:
        show_json({**facts, "problems": [asdict(problem) for problem in problems], "healthy": healthy})
    else:
        for line in (*_facts_as_lines(facts), *_problems_as_lines(problems)):
            show(line)
    return 0 if healthy else 1


def _examine(home: str | None) -> tuple[dict[str, Any], list[Problem]]:
    settings, problems = surroundings.settings(home)
    with tempfile.TemporaryDirectory(prefix="isohub-") as elsewhere:
        # What is found out on the way is remembered in the home, if that is no part of the trouble.
        writable = surroundings.can_be_written(settings.home)
        looking = settings if writable else replace(settings, home=Path(elsewhere))
        pythons, python_problems = programs.pythons(looking)
        uv, uv_problems = programs.uv(looking)
    git, git_problems = programs.git()
    sandbox, sandbox_problems = programs.sandbox(settings)
    gpus, gpu_problems = programs.gpus()
    caches, cache_problems = surroundings.caches(settings.home, uv["cache"])
    network, network_problems = surroundings.network(settings)
    facts = {
        "isohub": {"version": isohub.__version__, "path": str(Path(isohub.__file__).parent)},
        "python": {"version": sys.version.split()[0], "path": sys.executable, "platform": sys.platform},
        "pythons": pythons,
        "uv": uv,
        "git": git,
        "sandbox": sandbox,
        "gpus": gpus,
        "caches": caches,
        "network": network,
        "terminal": surroundings.terminal(),
    }
    found = [python_problems, uv_problems, git_problems, sandbox_problems, gpu_problems, cache_problems]
    found.append(network_problems)
    return facts, [*problems, *(problem for part in found for problem in part)]


def _facts_as_lines(facts: dict[str, Any]) -> Iterator[str]:
    own, python, uv, git, network = (facts[name] for name in ("isohub", "python", "uv", "git", "network"))
    yield from _section(
        "isohub", [f"{own['version']}  {own['path']}", f"Python {python['version']}  {python['path']}"]
    )
    yield from _section(
        "Pythons", [f"{item['version']}  {item['path']}" for item in facts["pythons"]["found"]]
    )
    yield from _section("uv", [f"{uv['version']}  {uv['path']}"] if uv["version"] else [])
    told = [f"{name}={value}" for name, value in uv["settings"].items()]
    yield from _section(
        "uv is told",
        [
            *told,
            *([" ".join(uv["options"])] if uv["options"] else []),
            *(f"pip's settings in {path}" for path in uv["pip_files"]),
        ],
    )
    yield from _section("git", [f"{git['version']}  {git['path']}"] if git["version"] else [])
    sandbox = facts["sandbox"]
    yield from _section(
        "sandbox",
        [f"{sandbox['version']}  {sandbox['path']}" if sandbox["works"] else f"none: {sandbox['reason']}"],
    )
    yield from _section(
        "GPUs", [f"{item['index']}: {item['name']}, {item['memory_mib']} MiB" for item in facts["gpus"]]
    )
    yield from _section("folders", _caches_as_lines(facts["caches"]))
    lines = [f"offline: {_yes(network['offline'])}", f"GitHub: {network['github']}"]
    lines += [f"GITHUB_TOKEN: {'set' if network['github_token'] else 'not set'}"]
    lines += [
        f"{name}={value}" for part in ("proxies", "certificates") for name, value in network[part].items()
    ]
    yield from _section("network", lines)
    terminal = facts["terminal"]
    streams = [f"{name}: {_yes(terminal[name])}" for name in ("stdin", "stdout", "stderr")]
    shown = [*streams, f"TERM={terminal['term'] or ''}", f"colours: {_yes(not terminal['no_color'])}"]
    yield from _section("terminal", [", ".join([*shown, f"{terminal['columns']} columns"])])


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield title
    yield from (f"  {line}" for line in lines or ["none"])


def _caches_as_lines(caches: dict[str, Any]) -> list[str]:
    lines = [
        f"{title}: {caches[name]['path']}  {size_text(caches[name]['size_bytes'])}"
        for name, title in (("home", "isohub"), ("uv", "uv's cache"), ("weights", "weights"))
        if caches[name] is not None
    ]
    lines.append(f"free for isohub: {size_text(caches['free_bytes'])}")
    if caches["one_file_system"] is not None:
        lines.append(f"isohub and uv's cache on one file system: {_yes(caches['one_file_system'])}")
    return lines


def _problems_as_lines(problems: list[Problem]) -> Iterator[str]:
    if not problems:
        yield "nothing is wrong"
        return
    yield "what is wrong"
    for problem in sorted(problems, key=lambda item: not item.fatal):
        yield f"  {'error' if problem.fatal else 'warning'}: {problem.what}"
        yield f"    try: {problem.do}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
