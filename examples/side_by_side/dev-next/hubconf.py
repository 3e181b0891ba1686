dependencies = ["torch", "numpy"]

import os
import platform

import numpy
import torch
from models import Painter


def painter(seed=6):
    """A small network that paints: it gives every point of the plane a colour.

    Args:
        seed: of its weights.
    """
    return Painter(seed).eval()


def about():
    """What this process runs on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pid": os.getpid(),
    }
