"""The smoke check of a recipe, run in the environment that was built by it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from isohub.environ import scrubbed_environ
from isohub.envs.buildlog import BuildLog
from isohub.envs.process import TimedOut, exit_text, run_program
from isohub.envs.recipes import Recipe
from isohub.envs.store import Environment
from isohub.errors import BuildError
from isohub.sandbox import Sandbox, end_inside

__all__ = ["run_smoke_check"]

_LIMIT = 900.0


def run_smoke_check(
    environment: Environment,
    recipe: Recipe,
    log: BuildLog,
    *,
    sandbox: Sandbox | None = None,
    limit: float = _LIMIT,
) -> None:
    """Run the check to its end, in a sandbox if there is to be one; what it prints is in the log.

    Raises:
        BuildError: it raised, its process died, or it did not end in time.
    """
    import isohub_worker

    worker = Path(str(isohub_worker.__file__)).with_name("__main__.py")
    with tempfile.TemporaryDirectory(prefix="isohub-") as folder, environment.hold():
        check = Path(folder, f"{recipe.name}.smoke.py")
        check.write_text(recipe.smoke, encoding="utf-8")
        command: list[str | Path] = [environment.python, "-I", worker, "smoke", environment.repo_dir, check]
        command += [environment.prelude] if environment.prelude else []
        log.command(command)
        environ = scrubbed_environ(environment.env)
        before: list[str] = []
        if sandbox is not None:
            log.write(f"isohub: {sandbox}")
            shown = (worker.parent, environment.repo_dir, check, environment.prelude)
            before = sandbox.words(environment.python, environ, readable=shown)
        try:
            with log.output() as output:
                returncode = run_program(
                    [*before, *command],
                    environ=environ,
                    folder=environment.repo_dir,
                    output=output,
                    limit=limit,
                )
        except TimedOut as error:
            raise _failed(recipe, f"did not end within {limit:.0f} s", log) from error
    if before:
        returncode = end_inside(returncode)
    if returncode != 0:
        raise _failed(recipe, f"failed: {exit_text(returncode)}", log)


def _failed(recipe: Recipe, how: str, log: BuildLog) -> BuildError:
    return BuildError(
        f"the smoke check of {recipe.path} {how}", step="smoke check", tail=log.tail(), log=log.path
    )
