"""What a person sees while isohub works: one line a step on stderr, and nothing where nobody looks.

Steps are shown on a terminal only. ``NO_COLOR`` and ``TERM=dumb`` give plain lines. The rest of isohub sees two small
classes and never imports rich itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isohub.masking import masked

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress", "Step"]


class Step:
    """One piece of work in progress. This one shows nothing; the others show it."""

    def note(self, text: str) -> None:
        """Say what the step is at now."""

    def total(self, amount: int | None) -> None:
        """Say how many bytes there are in all, once that is known."""

    def advance(self, amount: int) -> None:
        """Say that so many more bytes are done."""


class Progress:
    """Shows steps on stderr.

    Args:
        enabled: False is silence; None shows steps if stderr is a terminal.
    """

    def __init__(self, enabled: bool | None = None) -> None:
        self.enabled = sys.stderr.isatty() if enabled is None else enabled

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Show `text` until the block ends."""
        if not self.enabled:
            yield Step()
        elif os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
            yield _PlainStep(masked(text))
        else:
            with _rich_step(masked(text)) as step:
                yield step

    def say(self, text: str) -> None:
        """One line that stays, such as torch.hub's "Using cache found in ..."."""
        if self.enabled:
            print(masked(text), file=sys.stderr, flush=True)


class _PlainStep(Step):
    def __init__(self, text: str) -> None:
        self._text = text
        print(f"{text} ...", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"{self._text}: {masked(text)}", file=sys.stderr, flush=True)


class _RichStep(Step):
    def __init__(self, bar: RichProgress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def note(self, text: str) -> None:
        self._bar.update(self._task, note=masked(text))

    def total(self, amount: int | None) -> None:
        self._bar.update(self._task, total=amount)

    def advance(self, amount: int) -> None:
        self._bar.update(self._task, advance=amount)


@contextmanager
def _rich_step(text: str) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn(
            "{task.fields[note]}", style="dim", markup=False, table_column=Column(no_wrap=True, ratio=1)
        ),
        TimeElapsedColumn(),
    ]

    class _Bar(Progress):
        # The bar and the byte count are shown once a step has said how many bytes there are.
        def get_renderables(self) -> Iterator[object]:  # type: ignore[override]
            for task in self.tasks:
                extra = [BarColumn(bar_width=24), DownloadColumn()] if task.total else []
                self.columns = (*columns[:2], *extra, *columns[2:])
                yield self.make_tasks_table([task])

    with _Bar(*columns, console=console, transient=True) as bar:
        yield _RichStep(bar, bar.add_task(text, total=None, note=""))
