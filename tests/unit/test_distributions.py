from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from isohub.errors import HubconfError
from isohub.hubconf import distributions
from isohub.hubconf.distributions import (
    distributions_for,
    plugins_of,
    requirement_for,
    undeclared_requirement,
)
from isohub.hubconf.pythons import pythons_with
from isohub.hubconf.tables import load_table


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


@pytest.mark.parametrize(
    ("module", "named", "expected"),
    [
        ("os.path", (), None),
        ("numpy.linalg", (), "numpy"),
        ("sklearn", (), "scikit-learn"),
        ("pkg_resources", (), "setuptools<81"),
        ("onnxruntime", ("onnxruntime-gpu",), "onnxruntime-gpu"),
        ("no_such_module_at_all", (), None),
        ("no_such_module_at_all", ("no-such-module-at-all",), "no-such-module-at-all"),
        ("github", ("pygithub",), "pygithub"),
        ("apex", ("apex",), None),
    ],
)
def test_undeclared(module: str, named: tuple[str, ...], expected: str | None) -> None:
    found = undeclared_requirement(module, "net.py:1", named)
    assert (found.text if found else None) == expected
    assert found is None or found.origin == "net.py:1"


def test_plugins_are_normalised_names() -> None:
    table = load_table("plugins.toml")
    assert table
    for name, plugins in table.items():
        assert plugins_of(name) == tuple(plugins)
        for one in (name, *plugins):
            assert canonicalize_name(one) == one


def test_modules_that_have_gone() -> None:
    assert pythons_with("imp") == "<3.12"
    assert pythons_with("lib2to3.pygram") == "<3.13"
    assert pythons_with("importlib") is None


def test_every_line_of_the_table_is_a_requirement() -> None:
    table = distributions._table()
    assert len(table) > 100
    for module, providers in table.items():
        assert all(part.isidentifier() for part in module.split("."))
        for text in providers:
            assert Requirement(text).url is None
        assert distributions_for(module) == providers
