"""Failures that many repositories share, each with what mends it: data, so that one more is one more line.

All are changes that broke their users after the fact, which no metadata of that time could foresee. What the commit's own
date mends as well is marked as dated, and is only used where that date is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from isohub.hubconf.requirements import Requirement, parse_requirement

__all__ = ["Remedy", "remedies_for"]


@dataclass(frozen=True)
class Remedy:
    """What mends a failure.

    Attributes:
        pattern: a regular expression for what the failure prints.
        reason: why it fails; it becomes the origin of the bound.
        bound: on what is installed.
        python: the versions that it works on.
        dated: the releases of the commit's own time would do as well, or better.
    """

    pattern: str
    reason: str
    bound: str | None = None
    python: str | None = None
    dated: bool = False

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """The bound, with its reason."""
        return (parse_requirement(self.bound, self.reason),) if self.bound else ()

    @property
    def fits(self) -> Callable[[str], bool] | None:
        """Whether it works on a version of Python; None if that does not matter."""
        return None if self.python is None else SpecifierSet(self.python).contains


_ABCS = "Mapping|MutableMapping|Sequence|MutableSequence|Iterable|Iterator|Callable|Hashable|Sized|Container|Set|MutableSet"

_REMEDIES = (
    Remedy(
        r"compiled using NumPy 1\.x|_ARRAY_API not found|numpy\.core\.multiarray failed to import"
        r"|numpy\.dtype size changed",
        "compiled for NumPy 1, whose binary interface NumPy 2 does not have",
        bound="numpy<2",
    ),
    Remedy(
        r"module 'numpy' has no attribute '(bool|int|float|complex|object|str|long|unicode|typeDict)'",
        "NumPy 1.24 dropped its names for Python's own types",
        bound="numpy<1.24",
    ),
    Remedy(
        r"`np\.\w+` was removed in the NumPy 2\.0|module 'numpy' has no attribute"
        r" '(bool8|int0|uint0|object0|str0|void0|in1d|row_stack|trapz|product|cumproduct|sometrue|alltrue|\w+_)'",
        "NumPy 2 dropped this name",
        bound="numpy<2",
    ),
    Remedy(
        r"No module named 'pkg_resources'",
        "setuptools 81 dropped pkg_resources",
        bound="setuptools<81",
    ),
    Remedy(
        r"No module named 'torchvision\.transforms\.functional_tensor'",
        "torchvision 0.17 dropped this module",
        bound="torchvision<0.17",
    ),
    Remedy(
        r"No module named 'torchtext\.legacy'",
        "torchtext 0.12 dropped this module",
        bound="torchtext<0.12",
    ),
    Remedy(
        r"module 'torchaudio' has no attribute '(set_audio_backend|list_audio_backends|get_audio_backend|info)'"
        r"|No module named 'torchaudio\.(backend|sox_effects|io)'",
        "torchaudio 2.9 dropped its own reading and writing of files",
        bound="torchaudio<2.9",
    ),
    Remedy(
        r"module 'PIL\.Image' has no attribute '(ANTIALIAS|LINEAR|CUBIC)'",
        "Pillow 10 dropped these names",
        bound="pillow<10",
    ),
    Remedy(
        r"cannot import name 'cached_download' from 'huggingface_hub'",
        "huggingface_hub 0.26 dropped this function",
        bound="huggingface-hub<0.26",
    ),
    Remedy(
        r"Descriptors cannot (not )?be created directly",
        "generated for protobuf 3, which later releases refuse",
        bound="protobuf<3.21",
    ),
    Remedy(
        r"mutable default .* is not allowed: use default_factory",
        "Python 3.11 refuses more defaults of dataclasses",
        python="<3.11",
    ),
    Remedy(
        rf"(cannot import name|module 'collections' has no attribute) '({_ABCS})'",
        "Python 3.10 dropped the abstract classes from collections",
        python="<3.10",
    ),
    Remedy(
        r"module 'inspect' has no attribute 'getargspec'|cannot import name 'getargspec' from 'inspect'",
        "Python 3.11 dropped this function",
        python="<3.11",
    ),
    Remedy(
        r"No module named 'imp'|module 'pkgutil' has no attribute 'ImpImporter'",
        "Python 3.12 dropped imp",
        python="<3.12",
    ),
    Remedy(
        r"torch\._six",
        "torch 2.0 dropped this module",
        bound="torch<2",
        dated=True,
    ),
    Remedy(
        r"No module named 'torchvision\.models\.utils'",
        "torchvision 0.10 dropped this module",
        bound="torchvision<0.10",
        dated=True,
    ),
    Remedy(
        r"No module named 'sklearn\.externals",
        "scikit-learn 0.23 dropped this module",
        bound="scikit-learn<0.23",
        dated=True,
    ),
)


def remedies_for(text: str) -> Iterator[Remedy]:
    """The remedies for what a failure printed, in their order."""
    return (remedy for remedy in _REMEDIES if re.search(remedy.pattern, text))
