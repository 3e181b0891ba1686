"""Results as text for people and as JSON for programs.

Every value has a JSON form. What JSON has itself stays what it is; a tuple is a list. Everything else is an object with the key
``type``. A dict that has a key of that name, or keys that are no texts, is spelt out as one of these too, so that the two
cannot be confused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from isohub.cli.arrays import as_number, as_numpy, is_image, statistics
from isohub.errors import RemoteError

__all__ = ["as_json", "as_text"]

_SHOWN_WHOLE = 16
"""Up to so many items, an array is shown with all of its values."""


def as_json(value: Any) -> Any:
    """The value in JSON's terms."""
    from isohub import Record, RemoteObject

    if isinstance(value, RemoteObject):
        return {"type": "remote", "class": type(value).__name__, "repr": _remote_repr(value)}
    value = as_number(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Record):
        fields = {name: as_json(item) for name, item in Record.items(value)}
        return {"type": "record", "class": Record.type_name(value), "fields": fields}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        if "type" not in value and all(isinstance(key, str) for key in value):
            return {key: as_json(item) for key, item in value.items()}
        return {"type": "dict", "items": [[as_json(key), as_json(item)] for key, item in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"type": "set", "items": [as_json(item) for item in value]}
    if isinstance(value, bytes):
        return {"type": "bytes", "length": len(value)}
    if is_image(value):
        return {"type": "image", "mode": value.mode, "width": value.width, "height": value.height}
    return _array_as_json(value) or {"type": "other", "class": _class_name(value), "text": str(value)}


def as_text(value: Any) -> str:
    """The value in lines for a person to read."""
    if isinstance(value, str):
        return value
    return "\n".join(_lines(value, ""))


def _lines(value: Any, label: str) -> Iterator[str]:
    """The lines of one value; what it holds is indented under its first line."""
    from isohub import Record

    items: list[tuple[str, Any]]
    if isinstance(value, Record):
        head, items = Record.type_name(value).rpartition(".")[2], [*Record.items(value)]
    elif isinstance(value, (list, tuple, set, frozenset)) and not _is_plain(value):
        head, items = (
            f"{type(value).__name__} of {len(value)}",
            [(f"[{i}]", item) for i, item in enumerate(value)],
        )
    elif isinstance(value, dict) and not _is_plain(value):
        head, items = f"dict of {len(value)}", [(_leaf(key), item) for key, item in value.items()]
    else:
        first, *more = _leaf(value).splitlines() or [""]
        yield f"{label}{first}"
        yield from more
        return
    yield f"{label}{head}"
    for name, item in items:
        for line in _lines(item, f"{name}: "):
            yield f"  {line}"


def _is_plain(value: Any) -> bool:
    """Whether it reads well on one line, as Python writes it."""
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


def _leaf(value: Any) -> str:
    from isohub import RemoteObject

    if isinstance(value, RemoteObject):
        return _remote_repr(value)
    found = as_numpy(value)
    if found is None:
        return repr(value)
    array, dtype = found
    if not array.ndim and array.dtype.kind != "V":
        return f"{array.item()!r} ({dtype})"
    parts = [f"{dtype} array of shape {array.shape}"]
    parts += [
        f"{name} {number:.6g}"
        for name, number in zip(("min", "mean", "max"), statistics(array), strict=True)
        if number is not None
    ]
    if array.size <= _SHOWN_WHOLE:
        parts.append(repr(array.tolist()))
    return ", ".join(parts)


def _array_as_json(value: Any) -> dict[str, Any] | None:
    found = as_numpy(value)
    if found is None:
        return None
    array, dtype = found
    least, mean, greatest = map(_number, statistics(array))
    small = array.size <= _SHOWN_WHOLE
    return {
        "type": "array",
        "shape": list(array.shape),
        "dtype": dtype,
        "min": least,
        "mean": mean,
        "max": greatest,
        "values": as_json(array.tolist()) if small else None,
    }


def _number(number: float | None) -> float | str | None:
    """JSON has no infinities; they are spelt as in the JSON form of protocol buffers."""
    if number is None or math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _remote_repr(value: Any) -> str:
    try:
        return repr(value)
    except RemoteError as error:
        # A summary does not fail on an object that cannot describe itself.
        return f"<remote {type(value).__name__}, whose repr raised {error.type_name}: {error.message}>"


def _class_name(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
