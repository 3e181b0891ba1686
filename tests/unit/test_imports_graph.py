from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from isohub.errors import HubconfError
from isohub.hubconf.imports import import_graph


def graph(folder: Path, **files: str) -> tuple[dict[str, str], dict[str, str]]:
    """The needed and the optional modules with their origins. A file's name has "__" for "/" and no suffix."""
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/').replace('/init', '/__init__')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
    found = import_graph(folder)
    return {i.module: i.origin for i in found if i.needed}, {
        i.module: i.origin for i in found if not i.needed
    }


@pytest.mark.parametrize(
    ("source", "needed", "optional"),
    [
        ("import torch, numpy as np", {"torch", "numpy"}, set()),
        ("import torch.nn.functional as F", {"torch.nn.functional"}, set()),
        ("from torch import nn", {"torch"}, set()),
        ("from torch.nn import *", {"torch.nn"}, set()),
        ("class A:\n import six", {"six"}, set()),
        ("with open('x'):\n import six", {"six"}, set()),
        ("for x in y:\n import six", {"six"}, set()),
        # guards
        ("try:\n import a\nexcept ImportError:\n a = None", set(), {"a"}),
        ("try:\n import a\nexcept ModuleNotFoundError:\n pass", set(), {"a"}),
        ("try:\n import a\nexcept (ValueError, ImportError):\n pass", set(), {"a"}),
        ("try:\n import a\nexcept Exception:\n pass", set(), {"a"}),
        ("try:\n import a\nexcept:\n pass", set(), {"a"}),
        ("try:\n import a\nexcept ImportError:\n import b", set(), {"a", "b"}),
        ("try:\n pass\nexcept ImportError:\n pass\nelse:\n import a\nfinally:\n import b", {"a", "b"}, set()),
        ("try:\n import a\nexcept ValueError:\n pass", {"a"}, set()),
        ("try:\n import a\nexcept ImportError:\n raise RuntimeError('install a')", {"a"}, set()),
        ("try:\n import a\nexcept ImportError:\n sys.exit(1)", {"a"}, set()),
        ("try:\n import a\nexcept ImportError:\n exit()", {"a"}, set()),
        ("with suppress(ImportError):\n import a", set(), {"a"}),
        ("with contextlib.suppress(ImportError, OSError):\n import a", set(), {"a"}),
        ("with contextlib.suppress(OSError):\n import a", {"a"}, set()),
        # conditions
        ("if TYPE_CHECKING:\n import a\nelse:\n import b", {"b"}, set()),
        ("if typing.TYPE_CHECKING:\n import a", set(), set()),
        ("if __name__ == '__main__':\n import a", set(), set()),
        ("if False:\n import a", set(), set()),
        ("if 0:\n import a\nelse:\n import b", {"b"}, set()),
        ("if sys.version_info < (3, 8):\n import a\nelse:\n import b", set(), {"a", "b"}),
        ("if torch.cuda.is_available():\n import a", set(), {"a"}),
        # the entry points
        ("def net():\n import a", {"a"}, set()),
        ("async def net():\n import a", {"a"}, set()),
        ("def net(big):\n if big:\n  import a", {"a"}, set()),
        ("def net():\n if sys.platform == 'win32':\n  import a", set(), {"a"}),
        ("def net():\n try:\n  import a\n except ImportError:\n  pass", set(), {"a"}),
        ("def net():\n def inner():\n  import a", {"a"}, set()),
        ("class Net:\n def build(self):\n  import a", {"a"}, set()),
        # by call
        ("importlib.import_module('a.b')", {"a.b"}, set()),
        ("import_module('a')", {"a"}, set()),
        ("a = __import__('a')", {"a"}, set()),
        ("importlib.import_module(name)", set(), set()),
        ("importlib.import_module('not a module')", set(), set()),
    ],
)
def test_statements(tmp_path: Path, source: str, needed: set[str], optional: set[str]) -> None:
    found = graph(tmp_path, hubconf=source)
    assert (set(found[0]), set(found[1])) == (needed, optional)


def test_the_first_place_that_needs_a_module_is_named(tmp_path: Path) -> None:
    found, _ = graph(
        tmp_path,
        hubconf="import os\nfrom models import net\n",
        models__init="from .net import Net\n",
        models__net="import os\n\n\nimport scipy\n",
        other="import never\n",
    )
    assert found == {"os": "hubconf.py:1", "scipy": "models/net.py:4"}


def test_needed_by_one_and_optional_for_another(tmp_path: Path) -> None:
    needed, optional = graph(
        tmp_path,
        hubconf="import a, b",
        a="try:\n import six\nexcept ImportError:\n pass\n",
        b="import six\n",
    )
    assert needed == {"six": "b.py:1"}
    assert optional == {}


@pytest.mark.parametrize(
    ("hubconf", "reached"),
    [
        ("from package import sub", {"in_init", "in_sub"}),
        ("from package.sub import thing", {"in_init", "in_sub"}),
        ("import package.sub", {"in_init", "in_sub"}),
        ("import package", {"in_init"}),
        ("from package import thing", {"in_init"}),
        ("from package.deep.leaf import x", {"in_init", "in_deep", "in_leaf", "in_sub"}),
        ("importlib.import_module('package.sub')", {"in_init", "in_sub"}),
    ],
)
def test_modules_of_its_own_are_followed(tmp_path: Path, hubconf: str, reached: set[str]) -> None:
    found, _ = graph(
        tmp_path,
        hubconf=hubconf,
        package__init="import in_init",
        package__sub="import in_sub",
        package__deep__init="import in_deep",
        package__deep__leaf="import in_leaf\nfrom ..sub import x\nfrom ... import outside\nfrom .missing import y",
    )
    assert set(found) - {"importlib"} == reached


@pytest.mark.parametrize(
    "call",
    [
        "importlib.import_module('models.' + name)",
        "importlib.import_module('models.' + name + '_net')",
        "importlib.import_module(f'models.{name}')",
        "importlib.import_module('models.%s' % name)",
        "importlib.import_module('models.{}'.format(name))",
        "__import__('models.' + name)",
    ],
)
def test_a_computed_name_may_mean_any_module_of_the_package(tmp_path: Path, call: str) -> None:
    needed, optional = graph(
        tmp_path, hubconf=call, models__init="", models__one="import a", models__two="import b"
    )
    assert set(needed) == set()
    assert set(optional) == {"a", "b"}


def test_a_computed_name_in_its_own_package(tmp_path: Path) -> None:
    source = "from importlib import import_module\nimport_module('.' + name, __name__)\n"
    _, optional = graph(tmp_path, hubconf="import models", models__init=source, models__one="import a")
    assert set(optional) == {"a"}


@pytest.mark.parametrize(
    "hubconf",
    [
        "from package.entries import net",
        "from package import net",
        "from package.entries import build as net",
        "from package.entries import *",
        "from package import *",
    ],
)
def test_entry_points_may_come_from_elsewhere(tmp_path: Path, hubconf: str) -> None:
    names = "build as net" if hubconf == "from package import net" else "net, build"
    needed, optional = graph(
        tmp_path,
        hubconf=hubconf,
        package__init=f"from .entries import {names}" if "*" not in hubconf else "from .entries import *",
        package__entries="""
            def net():
                import a
            def build():
                import a
            """,
    )
    assert set(needed) == {"a"}
    assert optional == {}


def test_other_functions_are_no_entry_points(tmp_path: Path) -> None:
    entries = "def net():\n    helper()\n\ndef helper():\n    import a\n\nclass Net:\n    def run(self):\n        import b\n"
    needed, optional = graph(tmp_path, hubconf="from entries import net, Net", entries=entries)
    assert needed == {}
    assert set(optional) == {"a", "b"}


def test_what_only_an_entry_point_imports_is_no_entry_point(tmp_path: Path) -> None:
    hubconf = "def net():\n    from models import build\n    return build()\n"
    _, optional = graph(tmp_path, hubconf=hubconf, models="def build():\n    import a\n")
    assert set(optional) == {"a"}


@pytest.mark.parametrize(
    ("hubconf", "foreign"),
    [
        ("import datasets", {"datasets"}),
        ("from datasets import load_dataset", {"datasets"}),
        ("from datasets import coco", {"six"}),
        ("import datasets.coco", {"six"}),
        ("from datasets.coco import x", {"six"}),
        ("import datasets.voc", {"datasets.voc"}),
    ],
)
def test_a_folder_without_init_stands_in_nobody_s_way(
    tmp_path: Path, hubconf: str, foreign: set[str]
) -> None:
    assert set(graph(tmp_path, hubconf=hubconf, datasets__coco="import six")[0]) == foreign


def test_folders_on_the_path_count_wherever_they_are_named(tmp_path: Path) -> None:
    found, _ = graph(
        tmp_path,
        hubconf="import early\nimport sub.late\nfrom setup_paths import x\n",
        setup_paths="import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'lib'))\n",
        lib__early="import six\n",
        lib__sub__late="import numpy\n",
    )
    assert set(found) == {"os", "sys", "six", "numpy"}


def test_circles_end(tmp_path: Path) -> None:
    found, _ = graph(tmp_path, hubconf="import a", a="import b", b="import a, hubconf, six")
    assert set(found) == {"six"}


@pytest.mark.parametrize("content", [b"def (:", b"print 'old'", b"\xff\xfe\x00", b"x = 1\x00"])
def test_a_module_that_is_not_python_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.py").write_bytes(content)
    assert set(graph(tmp_path, hubconf="import old, six")[0]) == {"six"}


def test_a_hubconf_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(HubconfError, match=r"hubconf\.py, line 2"):
        graph(tmp_path, hubconf="import six\ndef (:\n")


def test_no_hubconf(tmp_path: Path) -> None:
    with pytest.raises(HubconfError, match=r"cannot read hubconf\.py"):
        import_graph(tmp_path)


def test_a_link_out_of_the_repository_is_not_followed(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "secret.py").write_text("import secret_things\n")
    (repo / "secret.py").symlink_to(tmp_path / "secret.py")
    assert "secret_things" not in graph(repo, hubconf="import secret")[0]
