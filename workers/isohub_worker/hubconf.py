"""The repository's hubconf: imported once, its entry points found, named and called."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from types import ModuleType
from typing import Any, Callable

from . import pins

__all__ = ["EntryPointMissing", "entry_point", "import_hubconf", "names", "set_hub_dir", "versions"]


class EntryPointMissing(Exception):
    """The hubconf has no callable of that name."""


def import_hubconf(repo_dir: str, prelude: str | None = None) -> ModuleType:
    """Import ``hubconf.py`` from `repo_dir`, which stays first on ``sys.path``: models import lazily.

    Args:
        prelude: a Python file that runs before it.
    """
    if repo_dir not in sys.path:
        sys.path.insert(0, repo_dir)
    if prelude is not None:
        runpy.run_path(prelude, run_name="isohub_prelude")
    spec = importlib.util.spec_from_file_location("hubconf", os.path.join(repo_dir, "hubconf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Known by its name while it runs, as torch.hub does not do: a module of the repository may import it back.
    sys.modules["hubconf"] = module
    spec.loader.exec_module(module)
    pins.hold()
    return module


def names(module: ModuleType) -> list[str]:
    """What ``torch.hub.list`` answers: callables that do not start with an underscore, in the hubconf's order."""
    return [name for name, item in vars(module).items() if callable(item) and not name.startswith("_")]


def entry_point(module: ModuleType, name: str) -> Callable[..., Any]:
    """The callable called `name`.

    Raises:
        EntryPointMissing: there is none.
    """
    entry = getattr(module, name, None)
    if not callable(entry):
        raise EntryPointMissing("Cannot find callable %s in hubconf" % name)
    return entry  # type: ignore[no-any-return]


def set_hub_dir(hub_dir: str) -> None:
    """Make torch keep weights in `hub_dir`, if there is a torch."""
    if importlib.util.find_spec("torch") is not None:
        import torch.hub

        torch.hub.set_dir(hub_dir)


def versions() -> dict[str, str | None]:
    """Versions of what people compare environments by."""
    found: dict[str, str | None] = {"python": "%d.%d.%d" % sys.version_info[:3]}
    for name in ("torch", "numpy"):
        module = sys.modules.get(name)
        version = getattr(module, "__version__", None)
        found[name] = None if version is None else str(version)
    return found
