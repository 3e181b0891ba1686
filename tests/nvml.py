"""A machine with GPUs, for programs that ask NVML: ``nvml.c``, built here and loaded where the driver's library would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Machine"]

_LIMIT = 120.0
_BEGIN = """
    import json, os, sys, time
    import isohub
    from isohub.errors import ConfigError, GpuNotFound

    def load(hub, name, *args):
        return hub.load(os.environ["REPOSITORY"], name, *args, source="local", trust_repo=True)

    def say(value):
        print(json.dumps(value), flush=True)
"""


class Machine:
    """Runs programs on a machine with the GPUs that one says.

    Args:
        folder: for the library and for what programs leave.
        home: their ``ISOHUB_HOME``.
        repository: what ``load(hub, name, *args)`` in the programs loads.
    """

    def __init__(self, folder: Path, home: Path, repository: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler (cc) to build a library with that answers like NVML")
        self._folder, self._home, self._repository = folder, home, repository
        self.run_folder = folder / "run"
        self.run_folder.mkdir(mode=0o700)
        library = folder / "lib" / "libnvidia-ml.so.1"
        library.parent.mkdir()
        source = Path(__file__).with_name("nvml.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, timeout=_LIMIT)

    def has(self, *lines: str) -> None:
        """From now on it has what these lines say; ``nvml.c`` says how."""
        path = self._folder / "machine.new"
        path.write_text("".join(f"{line}\n" for line in lines))
        path.replace(self._folder / "machine")

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of programs on it."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "ISOHUB_"))
        }
        return {
            **kept,
            "NVML_MACHINE": str(self._folder / "machine"),
            "LD_LIBRARY_PATH": str(self._folder / "lib"),
            "XDG_RUNTIME_DIR": str(self.run_folder),
            "ISOHUB_HOME": str(self._home),
            "REPOSITORY": str(self._repository),
            **more,
        }

    def start(self, program: str, **environ: str) -> subprocess.Popen[str]:
        """Start a program of Python, which can ``load`` and ``say``, and whose input and output are pipes."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_BEGIN) + textwrap.dedent(program)],
            env=self.environ(**environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, **environ: str) -> str:
        """What such a program prints."""
        out, err = self.start(program, **environ).communicate(timeout=_LIMIT)
        assert err == "", err
        return out

    def said(self, program: str, **environ: str) -> Any:
        """What such a program says, at once and last."""
        import json

        return json.loads(self.run(program, **environ))
