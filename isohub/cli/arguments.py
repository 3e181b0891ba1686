"""Arguments as they are written on the command line: JSON, the content of a file, or either of them as a tensor.

    0.5  true  null  "text"  [1, 2]  {"a": 1}     JSON
    @x.npy                                        a NumPy array
    @photo.png                                    a PIL image; any format that Pillow reads
    @text.txt  @value.json                        a text, JSON
    tensor:@x.npy  tensor:@photo.png  tensor:[1.5, 2]    a tensor, also where this Python has no torch

A text needs JSON's quotes: without them ``False`` would be a text, and so true.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isohub.errors import ConfigError

__all__ = ["read_named_value", "read_value"]

_TENSOR = "tensor:"
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def read_named_value(text: str, option: str) -> tuple[str, Any]:
    """The name and the value of ``NAME=VALUE``.

    Args:
        text: as it was written.
        option: which option it belongs to, for messages.

    Raises:
        ConfigError: it has no such form, or its value cannot be read.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(
            f"{option} {text!r} is not NAME=VALUE", hint=f"{option} size=3, {option} path='\"a/b\"'"
        )
    return name, read_value(value, f"{option} {name}=")


def read_value(text: str, option: str) -> Any:
    """The value that `text` stands for.

    Args:
        text: as it was written.
        option: which option it belongs to, for messages.

    Raises:
        ConfigError: it is not JSON, or the file cannot be read.
    """
    if text.startswith(_TENSOR):
        return _as_tensor(read_value(text.removeprefix(_TENSOR), option), option)
    if text.startswith("@"):
        return _read_file(Path(text[1:]).expanduser(), option)
    return _read_json(text, option)


def _read_json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        plain = text.strip()
        if plain in _PYTHON_WORDS:
            hint = f"JSON writes {_PYTHON_WORDS[plain]}"
        else:
            hint = f"a text is written with JSON's quotes inside the shell's: '{json.dumps(plain[:40])}'"
        raise ConfigError(f"{option} {text[:80]!r} is not JSON: {error}", hint=hint) from error


def _read_file(path: Path, option: str) -> Any:
    try:
        match path.suffix.lower():
            case ".npy":
                return _read_array(path)
            case ".json":
                return _read_json(path.read_text(encoding="utf-8"), f"{option} @{path}:")
            case ".txt":
                return path.read_text(encoding="utf-8")
            case _:
                return _read_image(path, option)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{option} cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise ConfigError(f"{option} cannot read {path}: {error}") from error


def _read_array(path: Path) -> Any:
    from numpy.lib import format

    with path.open("rb") as file:
        # Pickled objects could run code.
        return format.read_array(file, allow_pickle=False)


def _read_image(path: Path, option: str) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ConfigError(
            f"{option} @{path}: reading images needs Pillow",
            hint="pip install 'isohub[images]', or pass a .npy file",
        ) from error
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ConfigError(
            f"{option} cannot read {path}: {error}",
            hint="it takes .npy, .json, .txt and the images that Pillow reads",
        ) from error


def _as_tensor(value: Any, option: str) -> Any:
    import numpy

    from isohub import as_tensor

    try:
        array = numpy.asarray(value)
    except ValueError as error:
        raise ConfigError(f"{option} makes no tensor: {error}") from error
    if array.dtype.kind not in "biufc":
        raise ConfigError(f"{option} makes no tensor: it has other things than numbers in it")
    if isinstance(value, (list, float)) and array.dtype == numpy.float64:
        # As torch.tensor does, since models are of that type.
        array = array.astype(numpy.float32)
    return as_tensor(array)
