"""The closed set of dtypes, and how they are spelt on the wire.

A dtype is a name that torch has, a type string of NumPy's, or for a structured one a list,
``[itemsize, [name, dtype, offset, shape], ...]``.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from .messages import Unavailable, WireError

__all__ = [
    "TORCH_DTYPES",
    "has_no_width",
    "installed",
    "is_ml_dtype",
    "numpy_dtype",
    "numpy_spec",
    "torch_dtype",
    "torch_name",
    "torch_spec",
]

TORCH_DTYPES = frozenset(
    """
    bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 float32 float64 bfloat16 complex32 complex64 complex128
    float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu
    """.split()
)
# What NumPy spells with a dtype of the package ml_dtypes.
_ML_DTYPES = frozenset(name for name in TORCH_DTYPES if name.startswith(("bfloat", "float8")))
# NumPy's spelling of what torch has too.
_TORCH_NAMES = {
    "|b1": "bool",
    "|u1": "uint8",
    "|i1": "int8",
    **{"<i%d" % size: "int%d" % (8 * size) for size in (2, 4, 8)},
    **{"<u%d" % size: "uint%d" % (8 * size) for size in (2, 4, 8)},
    **{"<f%d" % size: "float%d" % (8 * size) for size in (2, 4, 8)},
    **{"<c%d" % size: "complex%d" % (8 * size) for size in (8, 16)},
}
# Those that have been met.
_torch_specs: dict[Any, str] = {}
_torch_dtypes: dict[str, tuple[Any, int]] = {}
_numpy_dtypes: dict[str, Any] = {}
_MOST_DTYPES = 1000
# No longer than NumPy's own, since those of the peer are remembered.
_NUMPY_DTYPE = re.compile(r"[<>|=][biufcSUVmM][0-9]{1,19}(\[[0-9]{0,10}[A-Za-z]{1,7}\])?\Z")


def has_no_width(dtype: Any) -> bool:
    """Whether it is for texts without a single character, of which NumPy makes new arrays with room for one."""
    return dtype.itemsize == 0 and dtype.names is None


def torch_spec(dtype: Any) -> str | None:
    """How a dtype of torch is spelt on the wire; None if it is not in the closed set."""
    spec = _torch_specs.get(dtype)
    if spec is None:
        name = str(dtype)[len("torch.") :]
        if name in TORCH_DTYPES:
            spec = _torch_specs[dtype] = name
    return spec


def torch_dtype(torch: Any, spec: Any) -> tuple[Any, int]:
    """The dtype of torch that the peer spelt so, and how many bytes an item has.

    Raises:
        WireError: it is not in the closed set.
        Unavailable: this torch has no such dtype.
    """
    known = _torch_dtypes.get(spec)
    if known is None:
        if spec not in TORCH_DTYPES:
            raise WireError("unknown dtype %.40r" % (spec,))
        dtype = getattr(torch, spec, None)
        if dtype is None:
            raise Unavailable("torch %s has no dtype %.40r" % (torch.__version__, spec))
        known = _torch_dtypes[spec] = (dtype, torch.empty((), dtype=dtype).element_size())
    return known


def numpy_spec(dtype: Any) -> Any:
    """How `dtype` is spelt on the wire; None if it is not in the closed set."""
    if dtype.names is None:
        if dtype.name in _ML_DTYPES:
            return dtype.name
        # Types that other packages add have type strings too, but of something else.
        return dtype.str if dtype.type.__module__ == "numpy" and _NUMPY_DTYPE.match(dtype.str) else None
    spec = [dtype.itemsize]
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        base = numpy_spec(field.base)
        if base is None:
            return None
        spec.append([name, base, offset, list(field.shape)])
    return spec


def torch_name(spec: Any) -> str | None:
    """What torch calls a NumPy dtype; None if it has no such thing."""
    if not isinstance(spec, str):
        return None
    return spec if spec in _ML_DTYPES else _TORCH_NAMES.get(spec)


def is_ml_dtype(spec: Any) -> bool:
    """Whether NumPy needs the package ml_dtypes for it."""
    return isinstance(spec, str) and spec in _ML_DTYPES


def numpy_dtype(numpy: Any, spec: Any) -> Any:
    """The dtype that the peer spelt so.

    Raises:
        WireError: it is not in the closed set.
        Unavailable: it is of the package ml_dtypes, which is not installed here.
    """
    if type(spec) is list:
        return _structured_dtype(numpy, *spec)
    dtype = _numpy_dtypes.get(spec)
    if dtype is None:
        dtype = _numpy_dtypes[spec] = _met_dtype(numpy, spec)
        if len(_numpy_dtypes) > _MOST_DTYPES:
            _numpy_dtypes.clear()  # texts have as many dtypes as there are lengths
    return dtype


def _met_dtype(numpy: Any, spec: Any) -> Any:
    if is_ml_dtype(spec):
        ml_dtypes = installed("ml_dtypes")
        if ml_dtypes is None or not hasattr(ml_dtypes, spec):
            raise Unavailable("there is no torch and no ml_dtypes to hold %s" % spec)
        return numpy.dtype(getattr(ml_dtypes, spec))
    if not (type(spec) is str and (spec in TORCH_DTYPES or _NUMPY_DTYPE.match(spec))):
        raise WireError("unknown dtype %.40r" % (spec,))
    return numpy.dtype(spec)


def _structured_dtype(numpy: Any, itemsize: object, *fields: Any) -> Any:
    names, formats, offsets = [], [], []
    for field in fields:
        name, base, offset, shape = field
        for number in (itemsize, offset, *shape):
            if type(number) is not int or number < 0:
                raise WireError("a field of a dtype is %.80r" % (field,))
        names.append(name)
        dtype = numpy_dtype(numpy, base)
        formats.append((dtype, tuple(shape)) if shape else dtype)
        offsets.append(offset)
    return numpy.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def installed(name: str) -> Any:
    """The package `name`, imported at the first value that needs it; None where it is not installed."""
    if name not in _installed:
        try:
            _installed[name] = importlib.import_module(name)
        except ImportError:
            _installed[name] = None
    return _installed[name]


_installed: dict[str, Any] = {}
