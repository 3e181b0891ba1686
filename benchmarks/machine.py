"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zmq

__all__ = ["describe_machine"]


def describe_machine(environment: dict[str, str]) -> dict[str, Any]:
    """Facts about this machine and what runs on it.

    Args:
        environment: the distributions in the environment that is measured, with their versions.
    """
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "isohub": f"{version('isohub')} at {_commit()}",
        "host": {name: version(name) for name in ("pyzmq", "msgpack", "numpy")},
        "libzmq": zmq.zmq_version(),
        "environment": {name: environment[name] for name in ("torch", "numpy", "pyzmq", "msgpack")},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")


def _commit() -> str:
    root = str(Path(__file__).parents[1])
    commit = _git(root, "describe", "--always")
    changed = _git(root, "status", "--porcelain", "--", "isohub", "workers")
    return (commit or "no known commit") + (" with changes" if changed else "")


def _git(root: str, *arguments: str) -> str:
    try:
        command = ["git", "-C", root, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
