"""What a worker may take of the machine: the words for it, and where they are held. See ``isohub_worker.limits``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohub.errors import ConfigError

__all__ = ["Limits"]

# Numerical libraries read one of these when they are loaded, so it has to stand there before Python starts.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Limits:
    """The limits of a worker.

    Attributes:
        memory: bytes that it and what it has started may hold; None for no limit.
        cpu_threads: threads for the arithmetic of one call; None for what the libraries choose.
        nice: how much it gives way to other programs.

    Raises:
        ConfigError: the system cannot hold a worker to one of them.
    """

    memory: int | None = None
    cpu_threads: int | None = None
    nice: int = 0

    def __post_init__(self) -> None:
        if self.memory is not None and not Path("/proc/self/status").exists():
            raise ConfigError(
                "max_memory is given, and this system has no such limit",
                hint="leave it out; it works on Linux",
            )

    def variables(self) -> dict[str, str]:
        """What the process environment of the worker says of them."""
        return {} if self.cpu_threads is None else dict.fromkeys(_VARIABLES, str(self.cpu_threads))

    def record(self) -> dict[str, Any]:
        """What the worker is told of them."""
        return {"memory": self.memory, "cpu_threads": self.cpu_threads, "nice": self.nice}
