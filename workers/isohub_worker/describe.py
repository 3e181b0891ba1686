"""``describe REPO_DIR OUT_JSON [PRELUDE]``: import the hubconf once and write down what it offers.

The answer is a JSON object: ``entry_points`` (a list of ``name``, ``signature``, ``doc``) and ``versions``; or ``error``, with
``type``, ``message``, ``traceback`` and ``missing``, the module that was not found, if that is what it was.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from typing import Any

from . import hubconf
from .faults import fault_of
from .parent import die_with_parent

__all__ = ["main"]


def main(repo_dir: str, out: str, prelude: str | None = None) -> None:
    die_with_parent()
    pid = os.getpid()
    answer: dict[str, Any]
    try:
        module = hubconf.import_hubconf(repo_dir, prelude)
        entries = [_entry(name, getattr(module, name)) for name in hubconf.names(module)]
        answer = {"entry_points": entries, "versions": _versions()}
    except BaseException as error:
        traceback.print_exc()
        answer = {"error": _error(error)}
    if os.getpid() != pid:
        # The hubconf forked, and this is the other one.
        os._exit(0)
    partial = out + ".partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(partial, out)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # Whatever the hubconf made of these files. Threads that it left behind do not keep this process.
        os._exit(0)


def _entry(name: str, entry: Any) -> dict[str, str | None]:
    try:
        signature = str(inspect.signature(entry))
    except Exception:
        # It has none, or one of its defaults cannot be shown.
        signature = None
    # torch.hub.help shows __doc__ as it is.
    doc = getattr(entry, "__doc__", None)
    return {"name": name, "signature": signature, "doc": doc if isinstance(doc, str) else None}


def _error(error: BaseException) -> dict[str, str | None]:
    missing = error.name if isinstance(error, ImportError) and not os.path.isabs(error.name or "") else None
    fault = fault_of(error)
    return {
        "type": type(error).__name__,
        "message": fault.message,
        "traceback": fault.traceback,
        "missing": missing if isinstance(error, ModuleNotFoundError) else None,
    }


def _versions() -> dict[str, str | None]:
    for name in ("torch", "numpy"):
        if name not in sys.modules:
            try:
                __import__(name)
            except Exception:
                continue  # what does not import has no version here
    return hubconf.versions()
