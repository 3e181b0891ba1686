"""Results that are arrays: what this process got as an array or a tensor, seen as a NumPy array."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

__all__ = ["as_number", "as_numpy", "is_image", "statistics"]

_BEYOND_NUMPY = ("bfloat", "float8")


def as_numpy(value: object) -> tuple[numpy.ndarray[Any, Any], str] | None:
    """The array and the name of its type; None if `value` is none.

    NumPy's own types have no bfloat16 and no float8. Arrays of these become float32, which loses nothing.
    """
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        name = str(value.dtype).removeprefix("torch.")
        tensor = value.detach().cpu()
        if name.startswith(_BEYOND_NUMPY):
            tensor = tensor.float()
        elif name == "complex32":
            tensor = tensor.to(torch.complex64)
        return tensor.numpy(), name
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    array = numpy.asarray(value)
    name = array.dtype.name if array.dtype.names is None else str(array.dtype)
    return (array.astype("float32") if name.startswith(_BEYOND_NUMPY) else array), name


def as_number(value: object) -> object:
    """What a NumPy scalar is in Python's own types; anything else as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    convert = {"b": bool, "i": int, "u": int, "f": float}.get(value.dtype.kind)
    return value if convert is None else convert(value)


def is_image(value: object) -> bool:
    """Whether it is a PIL image."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def statistics(array: numpy.ndarray[Any, Any]) -> tuple[Any, float | None, Any]:
    """The least, the mean and the greatest; None for each where there is no such thing."""
    if not array.size or array.dtype.kind not in "biuf":
        return None, None, None
    # Half precision would overflow in the sum.
    return array.min().item(), float(array.mean(dtype="float64")), array.max().item()
