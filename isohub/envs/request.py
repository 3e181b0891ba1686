"""What the user says about an environment. Small and with few imports, since it is made on every call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from isohub.errors import ConfigError

__all__ = ["EnvironmentRequest"]

_BACKEND = re.compile(r"auto|cpu|xpu|cu[0-9]{2,3}|rocm[0-9]+(\.[0-9]+){1,2}")


@dataclass(frozen=True)
class EnvironmentRequest:
    """What the user says about an environment.

    Attributes:
        python: a version, a range or a path; None leaves it to isohub.
        requirements: installed as well, in the standard's form (PEP 508).
        constraints: bounds on whatever is installed.
        torch_backend: which build of torch, as uv has it: "auto", "cpu", "cu126" ...; None leaves it to the index.
        recipe: a recipe of the user's own for this repository.

    Raises:
        ConfigError: there can be no such build of torch.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    torch_backend: str | None = None
    recipe: Path | None = None

    def __post_init__(self) -> None:
        if self.torch_backend is not None and not _BACKEND.fullmatch(self.torch_backend):
            raise ConfigError(
                f"torch_backend is {self.torch_backend!r}",
                hint='write it as "auto", "cpu", "cu126" or "rocm6.4"',
            )
