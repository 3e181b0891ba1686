"""What the user says about an environment. Small and without imports, since it is made on every call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EnvironmentRequest"]


@dataclass(frozen=True)
class EnvironmentRequest:
    """What the user says about an environment.

    Attributes:
        python: a version, a range or a path; None leaves it to isohub.
        requirements: installed as well, in the standard's form (PEP 508).
        constraints: bounds on whatever is installed.
        torch_backend: which build of torch, as uv has it: "auto", "cpu", "cu126" ...; None leaves it to the index.
        recipe: a recipe of the user's own for this repository.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    torch_backend: str | None = None
    recipe: Path | None = None
