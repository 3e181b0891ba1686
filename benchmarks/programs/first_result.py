"""Load a model with isohub and compute once: ``first_result HUB_OPTIONS REPOSITORY``."""

from __future__ import annotations

import json
import sys

import numpy as np

import isohub

hub = isohub.Hub(**json.loads(sys.argv[1]))
model = hub.load(sys.argv[2], "plus_one", source="local", trust_repo=True)
print(model(np.ones(3, np.float32))[0], flush=True)
