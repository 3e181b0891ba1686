"""pyisolate: an extension that shares the host's torch, so that tensors travel in shared memory; without its sandbox."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyisolate
import torch

from benchmarks.peers.adapters.pyisolate_extension import Work

# It looks for uv there, which lies beside this interpreter.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

_loop = asyncio.new_event_loop()
_folder = str(Path(sys.prefix, "var", "pyisolate"))  # its environments are there from the second run on
_manager = pyisolate.ExtensionManager(Work, pyisolate.ExtensionManagerConfig(venv_root_path=_folder))


class Worker:
    def __init__(self) -> None:
        config = pyisolate.ExtensionConfig(
            name=f"work{len(_manager.extensions)}",
            module_path=str(Path(__file__).parent / "pyisolate_extension"),
            isolated=True,
            dependencies=[],
            apis=[],
            share_torch=True,
            share_cuda_ipc=False,
            sandbox_mode=pyisolate.SandboxMode.DISABLED,
        )
        self._extension: Any = _manager.load_extension(config)
        self._extension.ensure_process_started()

    def next_number(self, number: int) -> Any:
        return _loop.run_until_complete(self._extension.next_number(number))

    def plus_one(self, array: np.ndarray) -> Any:
        return _loop.run_until_complete(self._extension.plus_one(torch.from_numpy(array))).numpy()

    def close(self) -> None:
        self._extension._extension.stop()
