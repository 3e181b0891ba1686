"""Running uv, with its settings but with nothing of the working directory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from isohub.config import Settings
from isohub.envs.boxed import Box, made_box
from isohub.envs.buildlog import BuildLog
from isohub.envs.process import TimedOut, exit_text, run_program
from isohub.envs.uv_settings import UvSettings, read_uv_settings
from isohub.errors import BuildError
from isohub.masking import masked
from isohub.sandbox import bubblewrap, end_inside, sandbox_of

__all__ = ["ONLY_WHEELS", "Uv", "UvAnswer", "in_a_box", "load_uv", "out_of_the_box"]

#: Options by which nothing is built from source.
ONLY_WHEELS = ("--only-binary", ":all:")
_OUTPUT_LIMIT = 4 * 1024 * 1024
# How uv fetches and keeps, which decides nothing about what it finds.
_FETCHING = frozenset(
    """
    UV_CACHE_DIR UV_LINK_MODE UV_HTTP_TIMEOUT UV_HTTP_CONNECT_TIMEOUT UV_HTTP_RETRIES UV_REQUEST_TIMEOUT UV_NO_PROGRESS
    UV_CONCURRENT_DOWNLOADS UV_CONCURRENT_BUILDS UV_CONCURRENT_INSTALLS UV_COMPILE_BYTECODE UV_OFFLINE UV_NO_CACHE
    """.split()
)


@dataclass(frozen=True)
class UvAnswer:
    """How uv ended, and what it printed, without secrets."""

    returncode: int
    output: str


@dataclass(frozen=True)
class Uv:
    """uv as it is set up here.

    Attributes:
        program: its full path.
        folder: the working directory it gets; a file in it ends uv's search for settings in the folders above.
        settings: how it is run.
        offline: it asks nobody.
        box: where it looks for distributions and builds them; None for no place in particular.
    """

    program: Path
    folder: Path
    settings: UvSettings
    offline: bool
    box: Box | None = None

    @property
    def digest(self) -> str:
        """Of the settings that decide what a resolution finds."""
        environ = self.settings.environ
        deciding = [name for name in sorted(environ) if name.startswith("UV_") and name not in _FETCHING]
        bounds = [path.read_bytes() for path in self.settings.constraints if path.is_file()]
        parts = ([f"{name}={environ[name]}" for name in deciding], self.settings.options, bounds)
        # Strangers' code could have written what comes out of a box.
        if self.box is not None:
            return hashlib.sha256(repr((*parts, "in a box")).encode()).hexdigest()
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def only_wheels(self) -> bool:
        """Whether it builds nothing from source."""
        return self.settings.options[-len(ONLY_WHEELS) :] == ONLY_WHEELS

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        log: BuildLog,
        limit: float,
        inherit: Sequence[int] = (),
        looking: bool = True,
        python: Path | None = None,
    ) -> UvAnswer:
        """Run a command of uv's to its end.

        Args:
            arguments: the command and its own options.
            log: gets the command and what it printed.
            limit: seconds that it may take.
            inherit: file descriptors that it keeps.
            looking: it is a command that looks for distributions, and is told where.
            python: the interpreter that it is about; a box needs to know.

        Raises:
            BuildError: it did not end in time, or could not be started.
        """
        options = self.settings.options if looking else ()
        command = [self.program, *arguments, *options, *(["--offline"] if self.offline else [])]
        environ, before = self.settings.environ, []
        if self.box is not None and looking:
            assert python is not None
            environ, inherit = self.box.environ(environ), ()
            before = self.box.words(command, environ, folder=self.folder, python=python)
            log.write(f"isohub: {self.box.sandbox}")
        log.command(command)
        with tempfile.TemporaryFile() as output:
            try:
                returncode = run_program(
                    [*before, *command],
                    environ=environ,
                    folder=self.folder,
                    output=output,
                    limit=limit,
                    inherit=inherit,
                )
            except (TimedOut, OSError) as error:
                what = (
                    f"took longer than {limit:.0f} s"
                    if isinstance(error, TimedOut)
                    else f"cannot run: {error}"
                )
                raise BuildError(f"{self.program.name} {what}", step="uv", log=log.path) from error
            finally:
                output.seek(0)
                text = masked(output.read(_OUTPUT_LIMIT).decode("utf-8", "replace"))
                log.write(text)
        if before:
            returncode = end_inside(returncode)
        if returncode < 0:
            text = f"{text}\n{self.program.name} was ended: {exit_text(returncode)}"
        return UvAnswer(returncode, text)


def load_uv(settings: Settings) -> Uv:
    """Find uv and gather its settings and pip's, as they are now.

    Raises:
        BuildError: there is no uv.
        ConfigError: a settings file cannot be read.
    """
    import uv

    try:
        program = Path(uv.find_uv_bin())
    except FileNotFoundError as error:
        hint = "install it beside isohub: python -m pip install uv"
        raise BuildError("uv is not there", step="uv", tail=str(error), hint=hint) from error
    folder = settings.home / "tools-v1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv.toml").touch()
    told = read_uv_settings()
    if settings.sandbox is not None and bubblewrap(network=settings.network)[0] is not None:
        # What is built from source runs a stranger's code, and writes into a cache from which other environments are filled:
        # see `in_a_box`.
        told = replace(told, options=(*told.options, *ONLY_WHEELS))
    return Uv(program, folder, told, settings.offline)


@contextmanager
def in_a_box(uv: Uv, settings: Settings) -> Iterator[Uv]:
    """uv as it may build from source where there is a sandbox, for one environment."""
    sandbox = sandbox_of(settings)
    assert sandbox is not None
    options = uv.settings.options
    if uv.only_wheels:
        options = options[: -len(ONLY_WHEELS)]
    # What the repository's code may write is not for builds.
    with made_box(replace(sandbox, writable=()), uv.folder / "boxes") as box:
        yield replace(uv, settings=replace(uv.settings, options=options), box=box)


def out_of_the_box(uv: Uv) -> Uv:
    """The same uv where it builds nothing from source."""
    options = (*uv.settings.options, *ONLY_WHEELS)
    return replace(uv, settings=replace(uv.settings, options=options), box=None)
