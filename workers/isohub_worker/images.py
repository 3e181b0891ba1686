"""PIL images as values: mode, size, pixels and palette."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .messages import Unavailable, WireError

__all__ = ["image_form", "read_image"]

# Mode -> the NumPy dtype and the bands that its raw pixels have; other modes have no value form.
_MODES = {
    "L": ("uint8", 1),
    "P": ("uint8", 1),
    "RGB": ("uint8", 3),
    "RGBA": ("uint8", 4),
    "RGBX": ("uint8", 4),
    "CMYK": ("uint8", 4),
    "YCbCr": ("uint8", 3),
    "LAB": ("uint8", 3),
    "HSV": ("uint8", 3),
    "LA": ("uint8", 2),
    "I": ("int32", 1),
    "F": ("float32", 1),
    "I;16": ("uint16", 1),
    "1": (None, 1),  # packed bits
}


def image_form(tag: Any, value: Any) -> list[Any] | None:
    """The composite of a PIL image; None for anything else."""
    pil = sys.modules.get("PIL.Image")
    if pil is None or not isinstance(value, pil.Image) or value.mode not in _MODES:
        return None
    palette = value.getpalette() if value.mode == "P" else None
    return [tag, value.mode, value.width, value.height, value.tobytes(), palette]


def read_image(mode: Any, width: Any, height: Any, pixels: Any, palette: Any) -> Any:
    """The image, as PIL's where Pillow is installed, else as an array of height x width (x bands)."""
    if (
        type(mode) is not str
        or type(pixels) is not bytes
        or type(width) is not int
        or type(height) is not int
    ):
        # Not what they are: to show a tensor may take more memory than there is.
        raise WireError("an image whose fields have the wrong types")
    if mode not in _MODES:
        raise WireError("an image of mode %.20r" % mode)
    dtype, bands = _MODES[mode]
    if min(width, height) < 0 or len(pixels) != height * _row_size(dtype, bands, width):
        # Before anything is made as large as the peer says.
        raise WireError("an image whose pixels are %d bytes" % len(pixels))
    if palette is not None and (
        type(palette) is not list or any(type(value) is not int for value in palette)
    ):
        raise WireError("a palette is a list of numbers")
    try:
        pil = importlib.import_module("PIL.Image")
    except ImportError:
        return _as_array(dtype, bands, width, height, pixels)
    image = pil.frombytes(mode, (width, height), pixels)
    if palette is not None:
        image.putpalette(bytes(palette))
    return image


def _row_size(dtype: str | None, bands: int, width: int) -> int:
    """How many bytes a row of pixels takes."""
    if dtype is None:
        return (width + 7) // 8
    return width * bands * {"uint8": 1, "uint16": 2}.get(dtype, 4)


def _as_array(dtype: str | None, bands: int, width: int, height: int, pixels: bytes) -> Any:
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        raise Unavailable("a value is an image, and there is no Pillow and no numpy to hold it") from None
    if dtype is None:
        rows = numpy.frombuffer(pixels, "uint8").reshape(height, -1)
        return numpy.unpackbits(rows, axis=1)[:, :width].astype(bool)
    shape = (height, width) if bands == 1 else (height, width, bands)
    return numpy.frombuffer(pixels, dtype).reshape(shape).copy()
