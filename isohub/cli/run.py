"""``isohub run``: an entry point is called, then what it answered, and the result is shown.

The first call is the entry point's. Each ``--call`` names a method of the result so far; one that answers None leaves that as
it was, so that ``--call train --call forward`` works whatever ``train`` returns.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isohub.cli.arguments import read_named_value, read_value
from isohub.cli.hub import environment_of, open_hub, source_of, trust_of
from isohub.cli.output import note, show, show_json
from isohub.cli.save import check_target, save
from isohub.cli.summary import as_json, as_text
from isohub.errors import ConfigError, IsohubError

if TYPE_CHECKING:
    from isohub.hub import Hub

__all__ = ["run"]

# Parameters of load itself, as in torch.hub: no entry point can be given these by name.
_TAKEN = frozenset("self repo_or_dir model source trust_repo force_reload verbose skip_validation".split())


@dataclass
class _Call:
    """One call: the path to what is called (empty for the entry point) and its arguments."""

    path: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)


def run(args: argparse.Namespace) -> int:
    """``isohub run REPO ENTRY``: call it, and show what comes back."""
    entry, *calls = _read_calls(args.entry, args.given)
    target = None if args.save is None else Path(args.save).expanduser().absolute()
    if target is not None:
        check_target(target)
    for name in args.pass_env:
        if name not in os.environ:
            note(f"note: --pass-env {name}: there is no such variable", quiet=args.quiet)
    worker = {
        name: getattr(args, name)
        for name in ("timeout", "pass_env", "gpus", "max_memory", "cpu_threads", "nice")
    }
    with open_hub(args, env=dict(args.env), **worker) as hub:
        environment = environment_of(hub, args)
        started = time.monotonic()
        result = _result(hub, args, entry, calls)
        seconds = time.monotonic() - started
        try:
            if target is not None:
                save(result, target)
                note(f"saved {target}", quiet=args.quiet)
        finally:
            # It may have taken hours: it is shown even if it cannot be saved.
            if args.json:
                manifest = environment.manifest
                show_json(
                    {
                        "repo": manifest.repo,
                        "commit": manifest.commit,
                        "environment": manifest.key,
                        "entry": args.entry,
                        "result": as_json(result),
                        "saved": None if target is None else str(target),
                        "seconds": round(seconds, 3),
                    }
                )
            else:
                show(as_text(result))
    return 0


def _result(hub: Hub, args: argparse.Namespace, entry: _Call, calls: Iterable[_Call]) -> Any:
    """What the last call answers."""
    target = result = hub.load(
        args.repo,
        args.entry,
        *entry.args,
        source=source_of(args),
        trust_repo=trust_of(args),
        verbose=False,  # what takes time was done when the environment was asked for
        **entry.kwargs,
    )
    for call in calls:
        result = _do(call, target)
        target = target if result is None else result
    return result


def _read_calls(entry: str, given: Iterable[tuple[str, str]]) -> list[_Call]:
    """The calls that the options describe, in their order; the entry point's comes first."""
    calls = [_Call("")]
    for option, text in given:
        match option:
            case "--call":
                if not all(text.split(".")):
                    raise ConfigError(
                        f"--call {text!r} names no method", hint="--call forward, --call 0.forward"
                    )
                calls.append(_Call(text))
            case "--arg":
                calls[-1].args.append(read_value(text, option))
            case "--kw":
                _add(calls[0], *read_named_value(text, option), option)
            case _:
                if len(calls) == 1:
                    raise ConfigError(
                        f"{option} {text!r} comes before any --call", hint=f"--kw is for {entry}"
                    )
                _add(calls[-1], *read_named_value(text, option), option)
    taken = sorted(_TAKEN & calls[0].kwargs.keys())
    if taken:
        raise ConfigError(
            f"--kw {taken[0]}=: an entry point cannot be given {taken[0]!r} by name, as in torch.hub"
        )
    return calls


def _add(call: _Call, name: str, value: Any, option: str) -> None:
    if name in call.kwargs:
        raise ConfigError(f"{option} {name}= was given twice for one call")
    call.kwargs[name] = value


def _do(call: _Call, target: Any) -> Any:
    """Follow the call's path from `target` and call what is there."""
    try:
        for part in call.path.split("."):
            target = target[int(part)] if re.fullmatch(r"-?\d+", part) else getattr(target, part)
        return target(*call.args, **call.kwargs)
    except IsohubError:
        raise
    except Exception as error:
        # What the worker raises is an IsohubError. So this is a value of this process, or what cannot be called or indexed.
        raise ConfigError(
            f"--call {call.path} on a {type(target).__name__}: {error}",
            hint="an item of a tuple is named by its number: --call 0.forward",
        ) from error
