from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from isohub.errors import HubconfError
from isohub.hubconf import distributions
from isohub.hubconf.distributions import distributions_for, requirement_for


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("torch", "torch"),
        ("hydra", "hydra-core"),
        ("PIL", "pillow"),
        ("cv2", "opencv-python-headless"),
        ("yaml", "pyyaml"),
        ("sklearn", "scikit-learn"),
        ("skimage", "scikit-image"),
        ("google.protobuf", "protobuf"),
        ("torch.nn", "torch"),
        ("ruamel.yaml", "ruamel-yaml"),
        ("huggingface_hub", "huggingface-hub"),
        ("pytorch_lightning", "pytorch-lightning"),
        ("fastBPE", "fastbpe"),
        ("pkg_resources", "setuptools<81"),
        ("distutils", 'setuptools; python_version >= "3.12"'),
        ("scikit-image", "scikit-image"),
        ("opencv-python", "opencv-python"),
        ("timm==0.4.5", "timm==0.4.5"),
        ("torch>=1.7", "torch>=1.7"),
        ("yaml>=5", "pyyaml>=5"),
        ("hydra>=1.0,<1.1", "hydra-core<1.1,>=1.0"),
        ("transformers[torch]>=4", "transformers[torch]>=4"),
        ("six; python_version < '4'", 'six; python_version < "4"'),
        (
            "distutils; sys_platform == 'linux'",
            'setuptools; python_version >= "3.12" and sys_platform == "linux"',
        ),
    ],
)
def test_names(entry: str, expected: str) -> None:
    found = requirement_for(entry, "hubconf.py:3")
    assert found is not None
    assert (found.text, found.origin) == (expected, "hubconf.py:3")


@pytest.mark.parametrize(
    "entry",
    ["os", "sys", "dataclasses", "typing", "dataclasses; python_version < '3.7'", "importlib.util", "apex"],
)
def test_what_needs_nothing(entry: str) -> None:
    assert requirement_for(entry, "hubconf.py:1") is None


def test_the_repository_chooses_among_equals() -> None:
    found = requirement_for("cv2", "hubconf.py:1", {"opencv-contrib-python"})
    assert found is not None
    assert found.name == "opencv-contrib-python"


@pytest.mark.parametrize(
    "entry", ["num py", "torch>", "", "git+https://example.com/x", "x @ https://example.com/x.whl"]
)
def test_what_cannot_be_asked_for(entry: str) -> None:
    with pytest.raises(HubconfError, match=r"hubconf\.py:7"):
        requirement_for(entry, "hubconf.py:7")


def test_every_line_of_the_table_is_a_requirement() -> None:
    table = distributions._table()
    assert len(table) > 100
    for module, providers in table.items():
        assert all(part.isidentifier() for part in module.split("."))
        for text in providers:
            assert Requirement(text).url is None
        assert distributions_for(module) == providers
