from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name

from isohub.hubconf import popular
from isohub.hubconf.popular import is_popular, misspelt


@pytest.mark.parametrize(
    "name", ["numpy", "NumPy", "scikit_learn", "Scikit.Learn", "six", "pytorch-lightning", "timm"]
)
def test_well_known(name: str) -> None:
    assert is_popular(name)


@pytest.mark.parametrize("name", ["", "reqeusts", "isohub-has-no-such-distribution", "no such", "../numpy"])
def test_not_well_known(name: str) -> None:
    assert not is_popular(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("reqeusts", "requests"),
        ("request", "requests"),
        ("requessts", "requests"),
        ("rrquests", "requests"),
        ("torchvison", "torchvision"),
        ("scikit_lern", "scikit-learn"),
        ("requests", None),
        ("tinydep", None),
        ("nmpy", None),
        ("isohub-has-no-such-distribution", None),
    ],
)
def test_slips(name: str, meant: str | None) -> None:
    assert misspelt(name) == meant


def test_the_list_is_of_normalised_names() -> None:
    names = popular._names()
    assert len(names) > 10_000
    assert all(canonicalize_name(name) == name for name in names)
