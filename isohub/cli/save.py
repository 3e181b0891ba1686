"""``--save``: a result becomes a file, chosen by its ending. What can be known before the run is checked before the run.

The file appears whole or not at all.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from isohub.cli.arrays import as_numpy, is_image
from isohub.errors import ConfigError, UnsupportedValue

if TYPE_CHECKING:
    import numpy

__all__ = ["check_target", "save"]

_NEEDS = {".npy": "numpy", ".png": "PIL", ".pt": "torch"}
_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})
_INSTALL = {
    "torch": "pip install torch, or save a .npy",
    "PIL": "pip install 'isohub[images]', or save a .npy",
}


def check_target(path: Path) -> None:
    """Refuse what cannot be saved whatever the result is.

    Raises:
        ConfigError: it has another ending, its folder cannot be written, or its format needs what is not installed here.
    """
    package = _NEEDS.get(path.suffix.lower())
    if package is None:
        raise ConfigError(f"--save {path}: the ending says the format", hint="use .npy, .pt or .png")
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"--save {path}: {path.suffix} needs {package} in this Python", hint=_INSTALL[package]
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(
            f"--save {path}: no file can be written there", hint="name a file in an existing folder"
        )


def save(value: Any, path: Path) -> None:
    """Write the value.

    Raises:
        UnsupportedValue: the format has no form for it.
        OSError: the file cannot be written.
    """
    write = _WRITERS[path.suffix.lower()](value)
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}.partial")
    try:
        with partial.open("xb") as file:
            write(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _npy(value: Any) -> Callable[[IO[bytes]], None]:
    import numpy

    array = _array(value)
    return lambda file: numpy.save(file, array, allow_pickle=False)


def _pt(value: Any) -> Callable[[IO[bytes]], None]:
    import torch

    plain = _plain(value)
    return lambda file: torch.save(plain, file)


def _png(value: Any) -> Callable[[IO[bytes]], None]:
    from PIL import Image

    image = value if is_image(value) else Image.fromarray(_pixels(_array(value)))
    if image.mode not in _PNG_MODES:
        raise UnsupportedValue(f"a PNG holds no image of mode {image.mode}", hint="save a .npy instead")
    return lambda file: image.save(file, "PNG")


_WRITERS = {".npy": _npy, ".pt": _pt, ".png": _png}


def _array(value: Any) -> numpy.ndarray[Any, Any]:
    import numpy

    found = as_numpy(value)
    if found is not None:
        return found[0]
    if is_image(value):
        return numpy.asarray(value)
    array = None
    if type(value) in (bool, int, float, complex, list, tuple):
        try:
            array = numpy.asarray(value)
        except (ValueError, TypeError, OverflowError):
            pass  # lists of unequal lengths, or of what is no number: no array, as below
    if array is None or array.dtype.kind not in "biufc":
        raise UnsupportedValue(f"a {type(value).__name__} is no array, and one array is what the file holds")
    return array


def _plain(value: Any) -> Any:
    """The value without types of isohub's own, which others could not load."""
    from isohub import Record, RemoteObject

    if isinstance(value, RemoteObject):
        raise UnsupportedValue(
            f"the result has a remote {type(value).__name__} in it, which lives in its worker",
            hint="call what returns values, such as --call state_dict",
        )
    if isinstance(value, Record):
        return {name: _plain(item) for name, item in Record.items(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_plain(item) for item in value)
    return value


def _pixels(array: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """An array of pixels as Pillow takes it: height x width (x bands), of bytes.

    Batches of one are unpacked, bands may come first as torch has them, and floats from 0 to 1 become 0 to 255.
    """
    import numpy

    shape = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4):
        array = numpy.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))) or not array.size:
        raise UnsupportedValue(
            f"an array of shape {shape} is no picture",
            hint="a picture is (height, width), (height, width, 3) or (3, height, width)",
        )
    if array.dtype.kind == "b":
        array = array * numpy.uint8(255)
    elif array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        array = (array * 255).round().astype(numpy.uint8)
    elif array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255:
        array = array.astype(numpy.uint8)
    else:
        raise UnsupportedValue(
            f"pixels of {array.dtype.name} are floats from 0 to 1 or whole numbers from 0 to 255",
            hint="save a .npy instead",
        )
    return numpy.ascontiguousarray(array)
