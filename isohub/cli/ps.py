"""``isohub ps``: the workers of this user on this machine, whichever program started them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from isohub.cli.output import age, note, show_json, show_table
from isohub.sizes import size_text

if TYPE_CHECKING:
    from isohub import WorkerInfo

__all__ = ["show_workers"]


def show_workers(args: argparse.Namespace) -> int:
    """``isohub ps``: a table, the oldest first."""
    import isohub

    found = isohub.workers(all=True)
    if args.json:
        show_json({"workers": [_describe(worker) for worker in found]})
    elif not found:
        note("there are no workers", quiet=args.quiet)
    else:
        headers = ("pid", "repository", "state", "gpu", "gpu memory", "memory", "uptime", "calls", "host")
        show_table(headers, [_row(worker) for worker in found])
    return 0


def _describe(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "name": worker.name,
        "pid": worker.pid,
        "host": worker.host,
        "state": worker.state,
        "gpus": None if worker.gpus is None else [*worker.gpus],
        "gpu_memory_bytes": worker.gpu_memory,
        "rss_bytes": worker.rss,
        "uptime_seconds": round(worker.uptime, 3),
        "calls": worker.calls,
        "log": str(worker.log),
    }


def _row(worker: WorkerInfo) -> tuple[str, ...]:
    return (
        str(worker.pid),
        worker.name,
        worker.state,
        _gpus(worker.gpus),
        "-" if worker.gpu_memory is None else size_text(worker.gpu_memory),
        "-" if worker.rss is None else size_text(worker.rss),
        age(worker.uptime),
        str(worker.calls),
        str(worker.host),
    )


def _gpus(gpus: tuple[str, ...] | None) -> str:
    """The beginnings of the ids, as they are told apart by; all of them are in the JSON."""
    if gpus is None:
        return "-"
    return ", ".join(gpu[:12] for gpu in gpus) or "none"
