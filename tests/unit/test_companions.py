"""Which releases belong together."""

from __future__ import annotations

import pytest

from isohub.envs.companions import companion_bounds
from isohub.envs.lock import Lock, LockedPackage


@pytest.mark.parametrize(
    ("versions", "bounds"),
    [
        ({"torch": "2.14.1", "torchaudio": "2.11.0"}, ["torch==2.11.*", "torchaudio==2.14.*"]),
        ({"torch": "2.11.0+cu130", "torchaudio": "2.11.0"}, []),
        ({"torch": "1.13.1", "torchaudio": "0.12.1"}, ["torch==1.12.*", "torchaudio==0.13.*"]),
        ({"torch": "2.1.0", "torchaudio": "0.13.1"}, ["torch==1.13.*", "torchaudio==2.1.*"]),
        ({"torch": "2.9.0", "torchtext": "0.18.0"}, ["torch==2.3.*", "torchtext==0.24.*"]),
        ({"torch": "2.3.1", "torchtext": "0.18.0"}, []),
        ({"torch": "1.12.1", "torchtext": "0.13.1"}, []),
        ({"torch": "2.9.0", "torchtext": "0.6.0"}, []),
        ({"torch": "2.9.0", "torchvision": "0.24.0"}, []),
        ({"torch": "2.9.0", "torchvision": "0.15.2"}, ["torch==2.0.*", "torchvision==0.24.*"]),
        ({"torch": "2.2.2", "numpy": "2.1.0"}, ["numpy<2"]),
        ({"torch": "2.3.0", "numpy": "2.1.0"}, []),
        ({"torch": "1.12.1", "numpy": "1.23.5"}, []),
        ({"torchaudio": "2.11.0"}, []),
        ({"torch": "", "torchaudio": "2.11.0"}, []),
    ],
)
def test_bounds(versions: dict[str, str], bounds: list[str]) -> None:
    lock = Lock("", tuple(LockedPackage(name, version) for name, version in versions.items()))
    assert [item.text for item in companion_bounds(lock)] == bounds
