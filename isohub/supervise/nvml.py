"""NVIDIA's devices, as the driver's management library (NVML) tells of them: the only place that asks it.

nvidia-ml-py, the optional extra ``isohub[gpu]``, is what speaks to the library. Nothing here starts CUDA, which would take memory
on every device and could not be forked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Device", "NvmlMissing", "devices", "memory_of_processes"]

_LOOK = "see what nvidia-smi says"


class NvmlMissing(Exception):
    """NVML cannot be asked.

    Args:
        why: what is missing.
        hint: what to do.
    """

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True)
class Device:
    """What a process can be given: a GPU, or a part that MIG has made of one.

    Attributes:
        index: the GPU's number in the order of NVML, which is that of the PCI bus and of nvidia-smi.
        uuid: ``GPU-...`` or ``MIG-...``.
        name: what its maker calls it.
        used: bytes of its memory in use, by anybody; None if that is not told.
        total: bytes of its memory; None if that is not told.
        parts: what MIG has divided the GPU into, which then cannot be used as a whole; None if it is not divided.
    """

    index: int
    uuid: str
    name: str
    used: int | None
    total: int | None
    parts: tuple[Device, ...] | None = None


def devices() -> list[Device]:
    """The GPUs of this machine, in their order.

    Raises:
        NvmlMissing: nobody can be asked.
    """
    with _nvml() as nvml:
        return [_device(nvml, index, handle) for index, handle in _handles(nvml)]


def memory_of_processes() -> dict[int, int | None]:
    """The bytes of device memory that each process holds, on all devices together, by its pid; None if that is not told.

    Raises:
        NvmlMissing: nobody can be asked.
    """
    found: dict[int, int | None] = {}
    with _nvml() as nvml:
        for _, handle in _handles(nvml):
            for process in _ask(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ():
                before, used = found.get(process.pid, 0), process.usedGpuMemory
                found[process.pid] = None if before is None or used is None else before + used
    return found


@contextmanager
def _nvml() -> Iterator[Any]:
    try:
        import pynvml
    except ImportError:
        raise NvmlMissing("nvidia-ml-py is not installed", "pip install 'isohub[gpu]'") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        raise NvmlMissing(
            "there is no NVIDIA driver (libnvidia-ml.so.1 is not found)", "install the driver"
        ) from None
    except pynvml.NVMLError as error:
        raise NvmlMissing(f"the NVIDIA driver does not answer: {error}", _LOOK) from None
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise NvmlMissing(f"the NVIDIA driver does not answer: {error}", _LOOK) from None
    finally:
        pynvml.nvmlShutdown()


def _handles(nvml: Any) -> Iterator[tuple[int, Any]]:
    for index in range(nvml.nvmlDeviceGetCount()):
        # One that has fallen off the bus, or that a scheduler keeps from this process, keeps its number.
        handle = _ask(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
        if handle is not None:
            yield index, handle


def _device(nvml: Any, index: int, handle: Any) -> Device:
    mode = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if mode is None or not mode[0]:
        return _described(nvml, index, handle)
    count = _ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    parts = [_ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number) for number in range(count)]
    return _described(
        nvml, index, handle, tuple(_described(nvml, index, part) for part in parts if part is not None)
    )


def _described(nvml: Any, index: int, handle: Any, parts: tuple[Device, ...] | None = None) -> Device:
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    used, total = (None, None) if memory is None else (memory.used, memory.total)
    name = _ask(nvml, nvml.nvmlDeviceGetName, handle) or ""
    return Device(index, nvml.nvmlDeviceGetUUID(handle), name, used, total, parts)


def _ask(nvml: Any, function: Any, *arguments: Any) -> Any:
    """What `function` answers; None where this device, or this driver, does not know."""
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None
