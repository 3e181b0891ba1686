"""Reads checkpoints in a worker, so that the host unpickles nothing and needs no torch.

Runs under every Python and torch that a worker may have.
"""

import inspect
import pathlib

import torch
import torch.hub

dependencies = ["torch"]


def load_state_dict(path: str, map_location: object = None, weights_only: bool = False) -> object:
    """Load a checkpoint from a file, as ``torch.hub.load_state_dict_from_url`` does once the file is there.

    Args:
        path: the file. It may be a zip file around a checkpoint, as torch.hub's old weights are.
        map_location: as in ``torch.load``.
        weights_only: load nothing but tensors and plain values. Use it for files of strangers.
    """
    file = pathlib.Path(path).absolute()
    if not file.is_file():
        raise FileNotFoundError(f"there is no checkpoint {file}")
    # It downloads nothing when the file is there, and knows every format.
    load = torch.hub.load_state_dict_from_url
    options = {}
    if "weights_only" in inspect.signature(load).parameters:
        options["weights_only"] = weights_only
    elif weights_only:
        raise ValueError(f"torch {torch.__version__} cannot load weights only: use a newer one")
    place = {"model_dir": str(file.parent), "file_name": file.name}
    return load(file.as_uri(), map_location=map_location, progress=False, **place, **options)
