"""Distributions that only work with the release of another one that they were compiled for, where their metadata do not say so.

A resolver is free to combine any release of these with any other; what it chose is checked here, and bounded.
"""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from isohub.envs.lock import Lock
from isohub.hubconf.requirements import Requirement, parse_requirement

__all__ = ["companion_bounds"]

# The first release of torch that can hand its tensors to NumPy 2.
_TORCH_FOR_NUMPY_2 = (2, 3)


def companion_bounds(lock: Lock) -> tuple[Requirement, ...]:
    """Bounds that would mend the first mismatch, the best one first; none if all that is locked belongs together."""
    torch = _release(lock, "torch")
    if torch is None:
        return ()
    for name in ("torchaudio", "torchtext", "torchvision"):
        release = _release(lock, name)
        built_for = None if release is None else _torch_of(name, release)
        if release is not None and built_for is not None and built_for != torch:
            return (
                _bound("torch", built_for, f"{name} {lock.version(name)} was compiled for it"),
                _bound(
                    name,
                    _of_torch(name, torch),
                    f"torch {lock.version('torch')}, which it is compiled for",
                ),
            )
    numpy = _release(lock, "numpy")
    if numpy is not None and numpy[0] >= 2 and torch < _TORCH_FOR_NUMPY_2:
        return (parse_requirement("numpy<2", f"torch {lock.version('torch')} was compiled for NumPy 1"),)
    return ()


def _torch_of(name: str, release: tuple[int, int]) -> tuple[int, int] | None:
    """The torch that a release was compiled for; None where it does not matter."""
    major, minor = release
    match name:
        case "torchaudio":
            # 0.7 to 0.13 are for torch 1.7 to 1.13; from then on it has torch's own numbers.
            return (major, minor) if major >= 2 else (1, minor) if minor >= 7 else None
        case "torchtext":
            # Up to 0.6 it had no compiled parts, and 0.18 was the last.
            return (2, minor - 15) if minor >= 15 else (1, minor - 1) if minor >= 7 else None
        case _:
            return (2, minor - 15) if minor >= 15 else (1, minor - 1) if minor >= 7 else None


def _of_torch(name: str, torch: tuple[int, int]) -> tuple[int, int]:
    """The inverse."""
    if name == "torchaudio":
        return torch if torch[0] >= 2 else (0, torch[1])
    return (0, torch[1] + (15 if torch[0] >= 2 else 1))


def _bound(name: str, release: tuple[int, int], origin: str) -> Requirement:
    return parse_requirement(f"{name}=={release[0]}.{release[1]}.*", origin)


def _release(lock: Lock, name: str) -> tuple[int, int] | None:
    try:
        version = Version(lock.version(name) or "")
    except InvalidVersion:
        return None
    return version.major, version.minor
