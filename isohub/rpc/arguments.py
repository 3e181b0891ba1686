"""Arguments that say more than their value."""

from __future__ import annotations

from typing import Any

from isohub_worker.tensors import TensorArgument

__all__ = ["as_tensor"]


def as_tensor(data: Any, device: str | None = None) -> TensorArgument:
    """An argument that arrives as a ``torch.Tensor``, on `device`, whether or not this process has torch.

    A host with torch needs it only to name a device that it does not have itself.

    Args:
        data: a NumPy array of any shape, what ``numpy.asarray`` takes, or a tensor.
        device: where the worker puts it, such as ``"cuda:0"`` (the worker's own first GPU); None for the CPU.
    """
    return TensorArgument(data, device)
