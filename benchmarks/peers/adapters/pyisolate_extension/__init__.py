"""The extension that pyisolate loads."""

from __future__ import annotations

import torch
from pyisolate import ExtensionBase


class Work(ExtensionBase):  # type: ignore[misc]
    async def next_number(self, number: int) -> int:
        return number + 1

    async def plus_one(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + 1
