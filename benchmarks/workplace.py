"""Where the environments and the results of the benchmarks are, and the Hub for them."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import isohub

__all__ = ["HUBCONFS", "Workplace"]

HUBCONFS = Path(__file__).parent / "hubconfs"


@dataclass(frozen=True)
class Workplace:
    """What all rows share.

    Attributes:
        scratch: a folder for environments, which are kept for the next run, and for results that are not published.
        constraints: bounds on what goes into the environments, such as ``torch==2.13.0``.
        torch_backend: which build of torch to take, in uv's words; None leaves it to the index.
        quick: measure less, while developing.
    """

    scratch: Path
    constraints: tuple[str, ...]
    torch_backend: str | None = None
    quick: bool = False

    def some(self, count: int, *, quick: int | None = None) -> int:
        """How often something is done: `count` times, or fewer in a quick run."""
        if not self.quick:
            return count
        return max(1, count // 10) if quick is None else quick

    @property
    def hub_options(self) -> dict[str, Any]:
        """What a Hub is told here, and in other programs that shall find the same environments."""
        return {
            "home": str(self.scratch / "home"),
            "constraints": [*self.constraints],
            "torch_backend": self.torch_backend,
        }

    def hub(self) -> isohub.Hub:
        """A Hub for the environments of the benchmarks."""
        gc.collect()  # What the row before has left is not this one's.
        return isohub.Hub(**self.hub_options)

    def load(
        self, hub: isohub.Hub, entry_point: str, *args: Any, repository: Path = HUBCONFS / "torch"
    ) -> Any:
        """Load an entry point of one of the repositories of the benchmarks."""
        return hub.load(repository, entry_point, *args, source="local", trust_repo=True)

    def python(self, repository: Path = HUBCONFS / "torch") -> Path:
        """The interpreter of the environment of a repository, built if need be."""
        with self.hub() as hub:
            return hub.environment(repository, source="local", trust_repo=True).python

    def versions(self, repository: Path = HUBCONFS / "torch") -> dict[str, str]:
        """What that environment holds."""
        with self.hub() as hub:
            return dict(hub.environment(repository, source="local", trust_repo=True).manifest.packages)
