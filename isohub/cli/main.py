"""The command ``isohub``: its verbs, and how a failure ends.

Nothing heavy is imported before a verb needs it, so that ``isohub --help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from isohub import __version__
from isohub.cli import cache, doctor, env, lock, prune, ps, recipe, repo, run
from isohub.cli.options import (
    age_limit,
    asking_options,
    call_options,
    common_options,
    entry_argument,
    fetch_options,
    key_arguments,
    repo_argument,
    repo_options,
    sandbox_options,
    size_limit,
    worker_options,
)
from isohub.cli.output import note
from isohub.errors import (
    BuildError,
    ConfigError,
    IsohubError,
    OfflineError,
    PythonNotFound,
    RemoteError,
    ResolveError,
    UntrustedRepo,
)

__all__ = ["main"]

_FAILURE, _USAGE, _INTERRUPTED, _READER_GONE = 1, 2, 130, 141
_EXIT_CODES: tuple[tuple[type[IsohubError], int], ...] = (
    (ConfigError, _USAGE),
    (UntrustedRepo, 3),
    (OfflineError, 4),
    (ResolveError, 5),
    (PythonNotFound, 5),
    (BuildError, 5),
)
_EPILOG = """\
exit codes:
  0    it worked
  1    it failed
  2    an argument or a setting is wrong
  3    the repository is not trusted (see --trust)
  4    it is not in the cache, and --offline means that nobody is asked
  5    the environment cannot be resolved or built
  130  interrupted
  141  whoever read the output went away
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; those of the process by default.

    Returns:
        The exit code.
    """
    _prepare_streams()
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _abandon_stdout()
        return _READER_GONE
    except OSError as error:
        _abandon_stdout()
        note(f"error: cannot write the output: {error.strerror}")
        return _FAILURE


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    with warnings.catch_warnings():
        if args.quiet:
            warnings.simplefilter("ignore")
        warnings.showwarning = _show_warning
        try:
            verb: Callable[[argparse.Namespace], int] = args.verb
            return verb(args)
        except KeyboardInterrupt:
            note("interrupted")
            return _INTERRUPTED
        except IsohubError as error:
            _show_error(error, args.verbose)
            return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), _FAILURE)
        except BrokenPipeError:
            raise
        except OSError as error:
            _show_error(error, args.verbose)
            return _FAILURE


def _show_error(error: IsohubError | OSError, verbose: bool) -> None:
    if not isinstance(error, RemoteError):
        note("".join(traceback.format_exception(error)).rstrip() if verbose else f"error: {error}")
        return
    lines = [f"error: {error.type_name}: {error.message}"]
    if error.log is not None:
        lines.append(f"  log: {error.log}")
    if verbose:
        printed = [f"  | {line}" for line in (error.tail or "").splitlines()]
        lines = [error.traceback_text.rstrip(), *printed, *lines]
    note("\n".join(lines))


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    note(f"warning: {message}")


def _prepare_streams() -> None:
    """Make sure that both are there, and that nothing fails on a character that the terminal lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The shell closed it. Whatever is opened first takes its number, so let that be what nobody reads.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - it stays open as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _abandon_stdout() -> None:
    """Nobody reads it, so that Python has nothing to complain of when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


# ---- the verbs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="isohub",
        description="Use PyTorch Hub repositories, each at each commit in an environment and a process of its own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"isohub {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common, name, entry = common_options(), repo_argument(), entry_argument()
    repository, fetching, sandbox = repo_options(), fetch_options(), sandbox_options()
    _add(
        verbs,
        "list REPO",
        "list the entry points of a repository",
        repo.show_entry_points,
        *(name, repository, fetching, sandbox, common),
    )
    _add(
        verbs,
        "help REPO ENTRY",
        "show an entry point's documentation",
        repo.show_help,
        *(name, entry, repository, fetching, sandbox, common),
    )
    _add(
        verbs,
        "run REPO ENTRY",
        "call an entry point and show the result",
        run.run,
        *(name, entry, call_options(), repository, fetching, worker_options(), sandbox, common),
    )
    _add(
        verbs, "ps", "show the workers that run on this machine, and what they take", ps.show_workers, common
    )
    environments = verbs.add_parser(
        "env", help="list, explain, remove and prune environments", allow_abbrev=False
    )
    inner = environments.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(inner, "list", "list the environments", env.list_environments, common)
    _add(
        inner,
        "explain REPO",
        "show what an environment holds and who asked for it",
        env.explain,
        *(name, repository, common),
    )
    _add(
        inner,
        "remove KEY...",
        "remove environments",
        env.remove,
        *(key_arguments(required=True), asking_options(), common),
    )
    _add(
        inner,
        "prune",
        "remove environments that no worker uses",
        prune.prune_environments,
        *(age_limit(), size_limit(), asking_options(), common),
    )
    caches = verbs.add_parser("cache", help="list, prune and verify what is kept", allow_abbrev=False)
    inner = caches.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(inner, "list", "list the folders in which things are kept", cache.list_buckets, common)
    _add(
        inner,
        "prune",
        "remove fetched trees and resolutions that no environment needs, and what uv no longer needs",
        prune.prune_cache,
        *(age_limit(), asking_options(), common),
    )
    _add(
        inner,
        "verify [KEY...]",
        "find damaged environments and trees, and mend them",
        cache.verify,
        *(key_arguments(required=False), asking_options(), common),
    )
    _add(
        verbs,
        "lock REPO...",
        "write down all that it takes to build environments again",
        lock.lock,
        *(lock.lock_options(), repository, fetching, sandbox, common),
    )
    _add(
        verbs,
        "sync [FILE]",
        "build the environments of a lock file",
        lock.sync,
        *(lock.sync_options(), sandbox, common),
    )
    recipes = verbs.add_parser("recipe", help="write and check recipes", allow_abbrev=False)
    inner = recipes.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(
        inner,
        "new REPO",
        "write a recipe to start from",
        recipe.new,
        *(name, recipe.new_options(), repository, common),
    )
    _add(
        inner,
        "check FILE [REPO]",
        "read a recipe, build an environment by it, and run its smoke check",
        recipe.check,
        *(recipe.check_options(), repository, sandbox, common),
    )
    _add(
        verbs,
        "doctor",
        "show what isohub finds on this machine, and what is wrong",
        doctor.show_findings,
        common,
    )
    return parser


def _add(
    verbs: Any,
    form: str,
    what: str,
    do: Callable[[argparse.Namespace], int],
    *parents: argparse.ArgumentParser,
) -> None:
    """Add a verb: its name and arguments, what it does in words and in code, and the options that it shares."""
    name, *arguments = form.split()
    parser = verbs.add_parser(
        name,
        parents=parents,
        usage=" ".join(["%(prog)s", *arguments, "[options]"]),
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        allow_abbrev=False,
    )
    parser.set_defaults(verb=do)


if __name__ == "__main__":
    sys.exit(main())
