"""What ``help`` and ``inspect`` show of a remote object."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isohub.rpc.proxy import RemoteObject

__all__ = ["read_doc", "read_signature"]


def read_doc(self: RemoteObject) -> str | None:
    """Its docstring over there; None if it has none."""
    doc = self._isohub_channel.call("doc", self)
    return doc if isinstance(doc, str) else None


class _Shown:
    """What a signature shows of a default or an annotation that stays over there."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def read_signature(self: RemoteObject) -> inspect.Signature | None:
    """Its signature over there; None if that cannot be known."""
    answer = self._isohub_channel.call("signature", self)
    if answer is None:
        return None
    rows, returned = answer
    empty = inspect.Signature.empty
    parameters = []
    for name, kind, default, annotation in rows:
        shown = empty if not default else default[0] if len(default) == 1 else _Shown(str(default[1]))
        parameters.append(
            inspect.Parameter(
                name,
                inspect._ParameterKind(kind),
                default=shown,
                annotation=empty if annotation is None else _Shown(str(annotation)),
            )
        )
    return inspect.Signature(
        parameters, return_annotation=empty if returned is None else _Shown(str(returned))
    )
