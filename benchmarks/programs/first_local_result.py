"""Import a hubconf as any program would, and compute once: ``first_local_result REPOSITORY``."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import torch

sys.path.insert(1, sys.argv[1])
model = importlib.import_module("hubconf").plus_one()
print(model(torch.from_numpy(np.ones(3, np.float32)))[0].item(), flush=True)
