"""Which GPUs workers see: from what a Hub was told to the variables that say so, set before a worker's interpreter starts.

NVIDIA's are pinned by UUID. So ``cuda:0`` in the worker is the first that was named, whatever order CUDA counts devices in.
AMD's and Intel's are pinned by the numbers that their drivers give them.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from isohub.errors import ConfigError, GpuNotFound
from isohub.supervise.leases import Lease, take, take_one
from isohub.supervise.nvml import Device, NvmlMissing, devices
from isohub_worker import PINNED

__all__ = ["MASKS", "Pin", "choose", "masks", "parse", "usable", "visible"]

# The number that the kernel knows a maker by, and how an id of one of its devices looks after the prefix.
_MAKERS = {
    "amd": ("0x1002", re.compile(r"\d+|GPU-[0-9A-Fa-f-]+")),
    "intel": ("0x8086", re.compile(r"\d+(\.\d+)?")),
}
_CUDA, _HIP, _ROCR, _ZE = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
MASKS = frozenset({_CUDA, _HIP, _ROCR, _ZE})
"""The variables by which devices are hidden."""
_FORMS = 'gpus=[0], gpus=["GPU-..."], gpus=["amd:0"], gpus=["intel:0"], gpus="auto", or gpus=[] for none'
_NONE = "gpus=[] uses none"


class Pin:
    """The GPUs of a Hub's workers.

    They are looked up at once, so that what is not there is said before anything is built, and taken when the first worker needs
    them: until then others may come and go.

    Args:
        gpus: what the Hub was told; see `parse`.

    Raises:
        ConfigError: it means nothing.
        GpuNotFound: a GPU is not there.
    """

    def __init__(self, gpus: object) -> None:
        wanted = parse(gpus)
        self._lock = threading.Lock()
        self._leases: list[Lease] = []
        self._maker = "nvidia"
        self._ids: tuple[str, ...] | None = None  # not picked yet
        if wanted == "auto":
            _least_used()
        elif wanted and (maker := _maker(wanted[0])) != "nvidia":
            self._maker = maker
            self._ids = tuple(str(item).partition(":")[2] for item in wanted)
            _require(maker, self._ids)
        else:
            self._ids = tuple(device.uuid for device in choose(wanted, _devices() if wanted else ()))

    def ids(self) -> tuple[str, ...]:
        """The GPUs, in the order that workers see them in; with the prefix of their maker where that is not NVIDIA."""
        with self._lock:
            ids = self._taken()
        return ids if self._maker == "nvidia" else tuple(f"{self._maker}:{item}" for item in ids)

    def variables(self) -> dict[str, str]:
        """What the process environment of a worker says of them. They are taken from now on."""
        with self._lock:
            ids = self._taken()
        values = masks(self._maker, ids)
        return {**values, PINNED: " ".join(values)}

    def release(self) -> None:
        """Give them back."""
        with self._lock:
            leases, self._leases = self._leases, []
        for lease in leases:
            lease.release()

    def _taken(self) -> tuple[str, ...]:
        if self._ids is None:
            uuid, lease = take_one([device.uuid for device in _least_used()])
            self._ids, self._leases = (uuid,), [lease]
        elif not self._leases and self._maker == "nvidia":
            try:
                self._leases = [take(uuid) for uuid in self._ids]
            except ConfigError:
                pass  # what was named needs no lease; others that pick do not know of it, then
        return self._ids


def parse(gpus: object) -> tuple[int | str, ...] | str:
    """What a Hub was told, in one form: "auto", or numbers and ids, all of one maker.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(gpus, str) and gpus == "auto":
        return gpus
    if isinstance(gpus, (str, bytes, Mapping)) or not isinstance(gpus, Iterable):
        raise ConfigError(f"gpus is {gpus!r}, not GPUs", hint=_FORMS)
    wanted = tuple(_number(item) if isinstance(item, str) else item for item in gpus)
    for item in wanted:
        if isinstance(item, bool) or not isinstance(item, (int, str)) or not _is_id(item):
            raise ConfigError(f"gpus has {item!r}, which names no GPU", hint=_FORMS)
    if len(set(wanted)) < len(wanted):
        raise ConfigError(f"gpus names one twice: {[*wanted]}", hint="name each once")
    if len({_maker(item) for item in wanted}) > 1:
        raise ConfigError(f"gpus has more than one maker's: {[*wanted]}", hint="use a Hub for each maker")
    return wanted


def masks(maker: str, ids: Sequence[str]) -> dict[str, str]:
    """The variables by which a process sees these devices of the maker alone."""
    listed = ",".join(ids)
    if not ids:
        return {_CUDA: "", _HIP: "-1"}
    if maker == "intel":
        return {_ZE: listed}
    if maker == "amd":
        # The lower layer hides the others, and the upper ones count what is left, in this order.
        numbers = ",".join(str(number) for number in range(len(ids)))
        return {_ROCR: listed, _HIP: numbers, _CUDA: numbers}
    return {_CUDA: listed}


def choose(wanted: Iterable[int | str], found: Sequence[Device]) -> list[Device]:
    """Those of NVIDIA's devices that are wanted, in that order.

    Raises:
        GpuNotFound: one is not there.
        ConfigError: one is divided by MIG or named twice.
    """
    chosen = []
    for item in wanted:
        device = _find(item, found)
        if device is None:
            raise GpuNotFound(f"there is no GPU {item!r} here", tail=_listed(found), hint="name one of these")
        if device.parts is not None:
            raise ConfigError(
                f"GPU {item!r} is divided by MIG and cannot be used as a whole",
                tail=_listed([device]),
                hint="name one of its parts",
            )
        chosen.append(device)
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"gpus names one twice: {[*wanted]}", hint="name each once")
    return chosen


def usable(found: Iterable[Device]) -> list[Device]:
    """What a process can be given, the least used first: GPUs, and the parts of those that are divided."""
    whole = [part for device in found for part in ((device,) if device.parts is None else device.parts)]
    return sorted(whole, key=lambda device: (device.used is None, device.used or 0))


def visible(found: Sequence[Device], mask: str | None) -> list[Device]:
    """Those that ``CUDA_VISIBLE_DEVICES`` leaves; like CUDA, up to the first name of nothing."""
    if mask is None:
        return [*found]
    left = []
    for name in mask.split(","):
        device = _find(_number(name.strip()), found)
        if device is None:
            break
        left.append(device)
    return left


def _least_used() -> list[Device]:
    """The GPUs that this process was left, the least used first.

    Raises:
        GpuNotFound: there is none.
    """
    found, mask = _devices(), os.environ.get(_CUDA)
    left = usable(visible(found, mask))
    if not left:
        raise GpuNotFound(
            f"{_CUDA} is {mask!r}, which leaves no GPU",
            tail=_listed(found),
            hint=f"unset {_CUDA}, or name a GPU",
        )
    return left


def _devices() -> list[Device]:
    try:
        found = devices()
    except NvmlMissing as error:
        raise GpuNotFound(
            f"no NVIDIA GPU can be found: {error}", tail=_others(), hint=f"{error.hint}; {_NONE}"
        ) from None
    if not found:
        raise GpuNotFound("the NVIDIA driver has no GPU", tail=_others(), hint=_NONE)
    return found


def _find(item: int | str, found: Sequence[Device]) -> Device | None:
    if isinstance(item, int):
        return next((device for device in found if device.index == item), None)
    everything = [each for device in found for each in (device, *(device.parts or ()))]
    # As in CUDA, the beginning of an id is enough if no other begins like it.
    matching = [device for device in everything if item and device.uuid.startswith(item)]
    exact = [device for device in matching if device.uuid == item]
    return (exact or matching)[0] if len(exact or matching) == 1 else None


def _number(text: str) -> int | str:
    """What the text says, if it is a number that a GPU can have."""
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else text


def _is_id(item: int | str) -> bool:
    if isinstance(item, int):
        return item >= 0
    maker, colon, id = item.partition(":")
    if colon:
        return maker in _MAKERS and _MAKERS[maker][1].fullmatch(id) is not None
    # What CUDA would read as several, or as none, is no id.
    return re.fullmatch(r"(GPU|MIG)-[0-9A-Za-z/-]+", item) is not None


def _maker(item: int | str) -> str:
    return item.partition(":")[0] if isinstance(item, str) and ":" in item else "nvidia"


def _require(maker: str, ids: Iterable[str]) -> None:
    """Raise GpuNotFound if the maker has no such device here, as far as the kernel tells."""
    count = _count(maker)
    for id in ids:
        number = id.partition(".")[0]
        if not count or (number.isdecimal() and int(number) >= count):
            raise GpuNotFound(f"there is no GPU '{maker}:{id}' here", tail=_everything(), hint=_NONE)


def _count(maker: str) -> int:
    """How many devices of the maker have a driver that can compute."""
    vendors = []
    for path in Path("/sys/class/drm").glob("renderD*/device/vendor"):
        try:
            vendors.append(path.read_text().strip())
        except OSError:
            continue  # it went away meanwhile
    return vendors.count(_MAKERS[maker][0])


def _listed(found: Iterable[Device]) -> str:
    lines = []
    for device in found:
        lines.append(f"{device.index}  {device.uuid}  {device.name}{_memory(device)}")
        lines += [f"   {part.uuid}  {part.name}{_memory(part)}" for part in device.parts or ()]
    return "\n".join(lines)


def _memory(device: Device) -> str:
    if device.used is None or device.total is None:
        return ""
    return f", {device.used / 2**30:.1f} of {device.total / 2**30:.1f} GiB used"


def _everything() -> str:
    try:
        return f"{_listed(devices())}\n{_others()}"
    except NvmlMissing as error:
        return f"{error}\n{_others()}"


def _others() -> str:
    found = [f"{maker}:{number}" for maker in _MAKERS for number in range(_count(maker))]
    return f"of other makers there is {', '.join(found) or 'none'}"
