"""What a hubconf offers, as told by the one program that may import it: the environment's own interpreter.

Its answer is a stranger's: it is limited in size and every part of it is checked.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohub.environ import scrubbed_environ
from isohub.envs.buildlog import BuildLog
from isohub.envs.manifest import EntryPoint
from isohub.envs.process import TimedOut, exit_text, run_program
from isohub.errors import BuildError
from isohub.sandbox import Sandbox, end_inside

__all__ = ["Description", "ImportFailure", "describe"]

_LIMIT = 600.0
_SIZE_LIMIT = 16 * 1024 * 1024
_STEP = "import hubconf"
_ANSWER = "describe.json"


@dataclass(frozen=True)
class Description:
    """What the hubconf offers, and the versions of what it runs on."""

    entry_points: tuple[EntryPoint, ...]
    versions: dict[str, str | None]


@dataclass(frozen=True)
class ImportFailure:
    """Why the hubconf does not import.

    Attributes:
        type_name: the exception's class.
        message: its text.
        traceback: all of it, as text.
        missing: the module that was not found, if that is what happened.
    """

    type_name: str
    message: str
    traceback: str
    missing: str | None


def describe(
    python: Path,
    repo: Path,
    answer: Path,
    log: BuildLog,
    *,
    env: Mapping[str, str] | None = None,
    prelude: Path | None = None,
    sandbox: Sandbox | None = None,
    asked: Path | None = None,
    limit: float = _LIMIT,
    inherit: Sequence[int] = (),
) -> Description | ImportFailure:
    """Import the hubconf in its environment and read what it says of itself.

    Args:
        python: the environment's interpreter.
        repo: the environment's copy of the repository.
        answer: a folder for the answer, which is made and removed again.
        log: gets all that the hubconf prints.
        env: variables for its process.
        prelude: a Python file that runs before it.
        sandbox: what it runs in; there it can write its repository, the answer and `asked`, but not its environment.
        asked: the file in which it is written down what is asked of pip.
        limit: seconds that it may take.
        inherit: file descriptors that it keeps.

    Raises:
        BuildError: the process died, did not end in time, or its answer is nonsense.
    """
    import isohub_worker

    worker = Path(str(isohub_worker.__file__)).with_name("__main__.py")
    environ = scrubbed_environ(env)
    command: list[str | Path] = [python, "-I", worker, "describe", repo, answer / _ANSWER]
    command += [prelude] if prelude else []
    log.command(command)
    answer.mkdir()
    before: list[str] = []
    if sandbox is not None:
        log.write(f"isohub: {sandbox}")
        writable = [repo, answer, *([asked] if asked else [])]
        if asked:
            asked.touch()
        before = sandbox.words(python, environ, readable=[worker.parent, prelude], writable=writable)
    try:
        with log.output() as output:
            returncode = run_program(
                [*before, *command],
                environ=environ,
                folder=repo,
                output=output,
                limit=limit,
                # Nothing that is started in a sandbox outlives it.
                inherit=() if before else inherit,
            )
        if before:
            returncode = end_inside(returncode)
        if returncode != 0:
            raise ValueError(exit_text(returncode))
        return _read(json.loads(_content(answer / _ANSWER)))
    except TimedOut as error:
        raise BuildError(
            f"hubconf.py did not finish importing within {limit:.0f} s",
            step=_STEP,
            tail=log.tail(),
            log=log.path,
        ) from error
    except OSError as error:
        raise BuildError(f"cannot run {python}: {error.strerror}", step=_STEP, log=log.path) from error
    except (ValueError, RecursionError) as error:
        raise _no_answer(str(error), log) from error
    finally:
        shutil.rmtree(answer, ignore_errors=True)
        if asked and asked.is_file() and not asked.stat().st_size:
            asked.unlink()


def _content(answer: Path) -> bytes:
    """What is in the file, if it is one: whoever made it may have put there what has no end, or leads elsewhere."""
    try:
        fd = os.open(answer, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ValueError("the process ended without an answer") from None
    except OSError as error:
        raise ValueError(f"the answer cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("the answer is no file")
    with open(fd, "rb") as file:  # noqa: PTH123 - what is open has no path
        data = file.read(_SIZE_LIMIT + 1)
    if len(data) > _SIZE_LIMIT:
        raise ValueError(f"more than {_SIZE_LIMIT // 1024**2} MiB of it")
    return data


def _no_answer(reason: str, log: BuildLog) -> BuildError:
    return BuildError(
        f"importing hubconf.py ended without a usable answer: {reason}",
        step=_STEP,
        tail=log.tail(),
        log=log.path,
        hint="native code of another version may be at fault: pin what it uses with isohub.Hub(constraints=[...])",
    )


def _read(value: Any) -> Description | ImportFailure:
    match value:
        case {
            "error": {
                "type": str(kind),
                "message": str(message),
                "traceback": str(traceback),
                "missing": missing,
            }
        }:
            return ImportFailure(_clean(kind), _clean(message), _clean(traceback), _text_or_none(missing))
        case {"entry_points": list(entries), "versions": dict(versions)}:
            points = tuple(_entry_point(entry) for entry in entries)
            return Description(points, {_text(name): _text_or_none(item) for name, item in versions.items()})
    raise ValueError("it has none of the known forms")


def _entry_point(value: Any) -> EntryPoint:
    if not isinstance(value, dict):
        raise ValueError("an entry point is no object")
    return EntryPoint(
        _text(value.get("name")), _text_or_none(value.get("signature")), _text_or_none(value.get("doc"))
    )


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no text")
    return _clean(value)


def _clean(text: str) -> str:
    # JSON can spell halves of characters, which no file or terminal takes.
    return text.encode("utf-8", "replace").decode("utf-8")
