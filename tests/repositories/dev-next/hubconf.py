dependencies = ["numpy"]

import os

import models
import numpy


def net(scale=1.0):
    """A net of the next branch."""
    return models.Net(scale)


def place():
    return {"pid": os.getpid(), "numpy": numpy.__version__, "models": models.__file__}
