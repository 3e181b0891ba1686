"""``smoke REPO_DIR CHECK [PRELUDE]``: import the hubconf, then run the Python file CHECK, which fails by raising.

In it ``hubconf`` is the hubconf, and ``load(name, *args, **kwargs)`` calls an entry point.
"""

from __future__ import annotations

import runpy
from typing import Any

from .hubconf import entry_point, import_hubconf
from .parent import die_with_parent

__all__ = ["main"]


def main(repo_dir: str, check: str, prelude: str | None = None) -> None:
    die_with_parent()
    module = import_hubconf(repo_dir, prelude)

    def load(name: str, *args: Any, **kwargs: Any) -> Any:
        return entry_point(module, name)(*args, **kwargs)

    runpy.run_path(check, init_globals={"hubconf": module, "load": load}, run_name="isohub_smoke")
