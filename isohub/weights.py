"""Weights: one folder for torch.hub and for all workers, so that nothing is downloaded twice.

``torch.load`` can run code, so a checkpoint is never read in the host: `load_state_dict_from_url` reads it in a worker.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isohub.config import torch_home
from isohub.errors import ConfigError

__all__ = ["chosen_dir", "get_dir", "load_state_dict_from_url", "set_dir"]

# As torch.hub has it: a file name that ends with the beginning of its hash, such as resnet18-bfd8deac.pth.
_HASH = re.compile(r"-([a-f0-9]*)\.")

_chosen: Path | None = None


def get_dir() -> str:
    """The folder where torch.hub and every worker keep weights: what `set_dir` said, else ``$TORCH_HOME/hub``."""
    return str(_chosen or torch_home() / "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep weights in the folder `d`, in this process and in the workers that it starts from now on."""
    global _chosen
    _chosen = Path(d).expanduser().absolute()


def chosen_dir() -> Path | None:
    """What `set_dir` said; None if it was not called."""
    return _chosen


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """Download a checkpoint, unless it is there already, and read it.

    It is read by torch in a worker of the default Hub, so a hostile checkpoint can do no more than a hostile repository.

    Args:
        url: where it is.
        model_dir: the folder to keep it in; ``<get_dir()>/checkpoints`` by default.
        map_location: where to put its tensors, as in ``torch.load``: a device, its name, or a table of names.
        progress: show the download on a terminal.
        check_hash: the file name ends with the first digits of the file's SHA256 hash, which must be right.
        file_name: the name to keep it under; that of the URL by default.
        weights_only: refuse anything but tensors and plain values.

    Returns:
        What the checkpoint holds, tensors as values.

    Raises:
        FetchError: it cannot be downloaded, or its hash is wrong.
        RemoteError: it cannot be read.
    """
    from isohub.default import default_hub
    from isohub.download import download_url_to_file

    name = file_name if file_name is not None else Path(urlsplit(url).path).name
    if not name or Path(name).name != name:
        raise ConfigError(f"{url} does not end with a file name", hint="pass file_name=")
    path = Path(model_dir if model_dir is not None else Path(get_dir(), "checkpoints")).absolute() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _HASH.search(name) if check_hash else None
        download_url_to_file(url, str(path), found.group(1) if found else None, progress=progress)
    return default_hub().load(
        "torch",
        "load_state_dict",
        str(path),
        source="builtin",
        verbose=progress,
        map_location=map_location,
        weights_only=weights_only,
    )
