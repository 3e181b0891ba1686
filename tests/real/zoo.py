"""Runs real repositories and prints a Markdown table of them: what each needed, and what it computed.

    python tests/real/zoo.py ROOT [NAME...] [--json FILE]

ROOT has bare copies of the repositories, as ``owner/name.git``. They are served by a stand-in for GitHub on loopback, so that
each call of ``isohub.load`` is word for word what its users write. No weights are downloaded: where a repository insists on
some, random ones are put where it looks for them, in a folder that is this program's own.

Environments are built in $ISOHUB_HOME if that is set, else in a folder that is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from isohub.default import default_hub
from isohub.envs.fit import Resolved
from isohub.hubconf.scan import read_hubconf
from tests.real.translation import create_translator, folder_beside_cache
from tests.real.zoo_calls import CALLS, Call
from tests.servers import GitHubServer

_HEADINGS = (
    "repository",
    "ref",
    "Python",
    "torch",
    "added, and who asked for it",
    "seconds to build",
    "what was computed",
)


@dataclass(frozen=True)
class Row:
    """What came of a call.

    Attributes:
        name: of the call.
        repository, ref: what was loaded; the ref is empty where that was the default branch.
        python, torch: versions in the environment.
        added: what the hubconf does not declare and was installed all the same, each with who asked for it.
        build: seconds that the environment took.
        run: seconds that loading and computing took after that.
        computed: what was computed; None where something failed.
        error: what failed.
    """

    name: str
    repository: str
    ref: str
    python: str = ""
    torch: str = ""
    added: tuple[str, ...] = ()
    build: float = 0.0
    run: float = 0.0
    computed: str | None = None
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the calls that are named, or all of whose repositories there are copies; 1 if one failed, or there was none."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of bare copies: owner/name.git")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(call.name for call in CALLS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file as well")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - {call.name for call in CALLS}:
        parser.error(f"no such call: {', '.join(sorted(unknown))}")
    named = [call for call in CALLS if not options.names or call.name in options.names]
    calls = [call for call in named if _copy(options.root, call).is_dir()]
    if absent := sorted({str(_copy(options.root, call)) for call in named if call not in calls}):
        print(f"left out, since these are not there: {', '.join(absent)}", file=sys.stderr)
    with ExitStack() as stack:
        folder = stack.enter_context(folder_beside_cache())
        github = stack.enter_context(GitHubServer(folder / "github"))
        os.environ.setdefault("ISOHUB_HOME", str(folder / "home"))
        os.environ.update(
            github.environment() | {"TORCH_HOME": str(folder / "torch"), "ISOHUB_TIMEOUT": "900"}
        )
        for copy in {_copy(options.root, call) for call in calls}:
            _adopt(github, copy.relative_to(options.root).as_posix().removesuffix(".git"), copy)
        create_translator(github)
        rows = [_run(call, folder) for call in calls]
    print(_table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return not rows or any(row.computed is None for row in rows)


def _copy(root: Path, call: Call) -> Path:
    return root / f"{call.repository.partition(':')[0]}.git"


def _adopt(github: GitHubServer, name: str, copy: Path) -> None:
    """Serve what the copy has, without writing into it."""
    repository = github.create(name)
    (repository.path / "objects" / "info" / "alternates").write_text(f"{(copy / 'objects').resolve()}\n")
    repository.git("fetch", "--quiet", str(copy.resolve()), "+refs/*:refs/*")
    branches = repository.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    head = (copy / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")
    repository.default(next(branch for branch in (head, "main", "master", *branches) if branch in branches))


def _run(call: Call, folder: Path) -> Row:
    repository, _, ref = call.repository.partition(":")
    row = Row(call.name, repository, ref)
    print(f"{call.name} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        # That of the module's own load: what is built here, the call finds.
        hub = default_hub()
        environment = hub.environment(call.repository, trust_repo=True)
        resolved = hub.explain(call.repository, trust_repo=True)
        row = replace(
            row,
            python=environment.manifest.python,
            torch=environment.manifest.versions.get("torch") or "",
            added=_added(resolved, environment.repo_dir),
            build=environment.manifest.seconds,
        )
        started = time.monotonic()
        row = replace(row, computed=call.compute(call.repository, folder))
    except Exception as error:  # whatever it is, the other calls still count
        traceback.print_exc()
        row = replace(row, error=f"{type(error).__name__}: {error}")
    finally:
        # One after the other, so that memory for one is enough.
        default_hub().close()
    return replace(row, run=round(time.monotonic() - started, 1))


def _added(resolved: Resolved, repository: Path) -> tuple[str, ...]:
    """What was done beyond installing the latest releases of what the hubconf declares, and who asked for it."""
    plan = resolved.plan
    declared_at = {f"hubconf.py:{item.line}" for item in read_hubconf(repository).dependencies}
    declared = {item.name for item in plan.requirements if item.origin in declared_at}
    asked: dict[str, list[str]] = {}
    for item in plan.requirements:
        if item.name not in declared and not item.origin.startswith("isohub's"):
            asked.setdefault(item.name, []).append(item.origin)
    for item in plan.constraints:
        asked.setdefault(item.name, []).append(f"{item.text} in {item.origin}")
    lines = [
        f"{package.name} {package.version}: {', '.join(asked[package.name])}"
        for package in resolved.lock.packages
        if package.name in asked
    ]
    if resolved.attempt.as_of is not None:
        lines.append(f"no releases after {resolved.attempt.as_of}: later ones do not work with this commit")
    return tuple(lines)


def _table(rows: Sequence[Row]) -> str:
    lines = [_HEADINGS, ["---"] * len(_HEADINGS)]
    for row in rows:
        computed = row.computed or f"**failed**: {row.error.splitlines()[0] if row.error else ''}"
        lines.append(
            (
                row.repository,
                row.ref,
                row.python,
                row.torch,
                "<br>".join(row.added),
                f"{row.build:.0f}",
                computed,
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
