from __future__ import annotations

import textwrap
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.envs.plan import Plan, make_plan, read_plan
from isohub.envs.recipes import Recipe
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError, HubconfError
from isohub.hubconf.requirements import Declarations, Strength, parse_requirement
from isohub.hubconf.scan import scan

WORKER = ["msgpack>=1.0.5", "pyzmq>=22.3"]


def plan(source: str, request: EnvironmentRequest | None = None, *pins: str) -> Plan:
    files = Declarations(
        pins=tuple(
            parse_requirement(pin, f"requirements.txt:{n}", Strength.FILE) for n, pin in enumerate(pins, 1)
        )
    )
    return make_plan(scan(source.encode()), files, request or EnvironmentRequest())


def repository(
    folder: Path,
    files: dict[str, str],
    request: EnvironmentRequest | None = None,
    recipe: Recipe | None = None,
) -> Plan:
    """The plan for a repository with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(content))
    return read_plan(folder, request or EnvironmentRequest(), recipe=recipe)


def asked(plan: Plan) -> list[tuple[str, str]]:
    return [(item.text, item.origin) for item in plan.requirements if item.origin != "isohub's worker"]


def bounds(plan: Plan) -> list[tuple[str, str]]:
    return [(item.text, item.origin) for item in plan.constraints]


def test_every_requirement_says_who_asked() -> None:
    request = EnvironmentRequest("3.10", ("sacremoses>=0.0.1",), ("numpy<2",))
    made = plan("dependencies = ['torch',\n 'yaml', 'os']", request, "torch==1.9", "pytest", "pyyaml")
    assert [(item.text, item.origin) for item in made.requirements] == [
        ("torch", "hubconf.py:1"),
        ("pyyaml", "hubconf.py:2"),
        ("sacremoses>=0.0.1", "Hub(requirements=)"),
        ("pyyaml", "requirements.txt:3"),
        *((text, "isohub's worker") for text in WORKER),
    ]
    assert bounds(made) == [("torch==1.9", "requirements.txt:1"), ("numpy<2", "Hub(constraints=)")]
    assert made.python == "3.10"


def test_a_repository_without_needs_still_gets_the_worker_s() -> None:
    assert [item.text for item in plan("").requirements] == WORKER


def test_the_repository_s_own_flavour_is_taken() -> None:
    made = plan("dependencies = ['cv2']", None, "opencv-python==4.5.1.48")
    assert made.requirements[0].text == "opencv-python"


# ---- what is imported


def test_what_is_imported_is_required(tmp_path: Path) -> None:
    made = repository(
        tmp_path,
        {
            "hubconf.py": "dependencies = ['torch']\nfrom models import detr\n",
            "models/__init__.py": "",
            "models/detr.py": "import os\nimport torch\nfrom .matcher import x\n",
            "models/matcher.py": "import torch.nn.functional as F\n\nfrom scipy.optimize import y\n",
            "requirements.txt": "cython\nscipy\ntorch>=1.5\n",
        },
    )
    assert asked(made) == [
        ("torch", "hubconf.py:1"),
        ("torch", "models/detr.py:2"),
        ("scipy", "models/matcher.py:3"),
        ("scipy", "requirements.txt:2"),
    ]
    assert bounds(made) == [("torch>=1.5", "requirements.txt:3")]
    assert [item.module for item in made.imports] == ["os", "torch", "torch.nn.functional", "scipy.optimize"]


OPTIONAL = "try:\n    import einops\nexcept ImportError:\n    pass\n"


@pytest.mark.parametrize(
    ("files", "expected", "strength"),
    [
        ({}, [], None),
        ({"requirements-dev.txt": "einops==0.3\n"}, [], None),
        ({"requirements.txt": "-c bounds.txt\n", "bounds.txt": "einops==0.3\n"}, [], None),
        (
            {"requirements.txt": "six\neinops==0.3\n"},
            [("einops", "requirements.txt:2, for hubconf.py:2")],
            Strength.FILE,
        ),
        (
            {"environment.yml": "dependencies:\n - einops=0.3\n"},
            [("einops", "environment.yml:2, for hubconf.py:2")],
            Strength.MACHINE,
        ),
        ({"setup.py": "setup(install_requires=['einops'])"}, [("einops", "setup.py:1")], Strength.PACKAGE),
    ],
)
def test_what_is_optional_joins_if_the_files_ask_for_it(
    tmp_path: Path, files: dict[str, str], expected: list[tuple[str, str]], strength: Strength | None
) -> None:
    made = repository(tmp_path, {"hubconf.py": OPTIONAL, **files})
    assert asked(made) == expected
    assert {item.strength for item in made.requirements} == {Strength.WORD, *([strength] if strength else [])}


def test_what_nobody_imports_stays_out(tmp_path: Path) -> None:
    files = {"hubconf.py": "import six", "requirements.txt": "six\ntensorboard==1.0\nwandb\n"}
    made = repository(tmp_path, files)
    assert {name for name, _ in asked(made)} == {"six"}
    assert bounds(made) == [("tensorboard==1.0", "requirements.txt:2")]


def test_what_is_looked_for_without_an_import_joins(tmp_path: Path) -> None:
    files = {"hubconf.py": "import transformers", "requirements.txt": "sentencepiece==0.1.99\nwandb\n"}
    made = repository(tmp_path, files)
    assert asked(made) == [
        ("transformers", "hubconf.py:1"),
        ("sentencepiece", "requirements.txt:1, for transformers"),
    ]


def test_extras_are_kept(tmp_path: Path) -> None:
    made = repository(
        tmp_path, {"hubconf.py": "import uvicorn", "requirements.txt": "uvicorn[standard]>=0.1\n"}
    )
    assert asked(made) == [("uvicorn", "hubconf.py:1"), ("uvicorn[standard]", "requirements.txt:1")]
    assert bounds(made) == [("uvicorn>=0.1", "requirements.txt:1")]


@pytest.mark.parametrize(
    ("module", "files", "expected"),
    [
        ("six", "", "six"),
        ("cv2", "", "opencv-python-headless"),
        ("cv2", "opencv-python", "opencv-python"),
        ("foo_bar_of_nobody", "", None),
        ("foo_bar_of_nobody", "foo-bar-of-nobody", "foo-bar-of-nobody"),
        ("foo_bar_of_nobody", "Foo.Bar_of-Nobody", "foo-bar-of-nobody"),
        ("foo_bar_of_nobody", "python-foo-bar-of-nobody", "python-foo-bar-of-nobody"),
        ("reqeusts", "", None),
        ("utils", "", None),
        ("google.cloud.storage", "google-cloud-storage", "google-cloud-storage"),
        ("google.protobuf", "", "protobuf"),
        ("torch.utils.tensorboard", "", "tensorboard"),
    ],
)
def test_undeclared_names(tmp_path: Path, module: str, files: str, expected: str | None) -> None:
    made = repository(tmp_path, {"hubconf.py": f"import {module}\n", "requirements.txt": f"{files}\n"})
    assert {name for name, _ in asked(made)} == ({expected} if expected else set())


def test_what_may_not_be_installed_is_noted(tmp_path: Path) -> None:
    made = repository(
        tmp_path, {"hubconf.py": "import os\nimport reqeusts\ntry:\n import nobodys\nexcept: pass\n"}
    )
    assert made.notes == (
        "hubconf.py:2: reqeusts is not installed: nothing declares it and it is not well known",
    )


@pytest.mark.parametrize(
    ("hubconf", "files", "expected"),
    [
        ("dependencies = ['tinydep']", "", ["tinydep"]),
        ("dependencies = ['reqeusts']", "", []),
        ("dependencies = ['reqeusts']\nimport reqeusts", "", ["reqeusts"]),
        ("dependencies = ['reqeusts']", "reqeusts", ["reqeusts"]),
        ("dependencies = ['reqeusts==1.0']", "", ["reqeusts==1.0"]),
    ],
)
def test_a_declared_name_is_its_author_s_word_unless_it_is_a_slip(
    tmp_path: Path, hubconf: str, files: str, expected: list[str]
) -> None:
    made = repository(tmp_path, {"hubconf.py": hubconf, "requirements.txt": f"{files}\n"})
    assert list(dict.fromkeys(text for text, _ in asked(made))) == expected
    assert bool(made.notes) == (not expected)


@pytest.mark.parametrize("layout", ["models.py", "models/__init__.py"])
def test_modules_of_the_repository_itself_are_not_installed(tmp_path: Path, layout: str) -> None:
    made = repository(
        tmp_path, {"hubconf.py": "dependencies = ['six', 'models', 'models.net']\n", layout: ""}
    )
    assert asked(made) == [("six", "hubconf.py:1")]


# ---- what the files state


def test_a_package_s_own_needs_are_added(tmp_path: Path) -> None:
    made = repository(
        tmp_path,
        {
            "hubconf.py": "import six\n",
            "setup.py": "setup(install_requires=['sacrebleu>=1.4', 'six'])\n",
            "requirements.txt": "sacrebleu==1.5\n",
        },
    )
    assert asked(made) == [("six", "hubconf.py:1"), ("sacrebleu>=1.4", "setup.py:1"), ("six", "setup.py:1")]
    assert bounds(made) == [("sacrebleu==1.5", "requirements.txt:1")]


def test_old_copies_of_the_standard_library_are_not_installed(tmp_path: Path) -> None:
    files = {
        "hubconf.py": "",
        "setup.py": "setup(install_requires=['dataclasses', 'argparse', 'typing', 'six'])",
    }
    made = repository(tmp_path, files)
    assert asked(made) == [("six", "setup.py:1")]
    assert len(made.notes) == 3


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"requirements.txt": "six==1.0\n", "requirements-dev.txt": "six==2.0\n"},
            [("six==1.0", "requirements.txt:1")],
        ),
        ({"requirements.txt": "six\n", "requirements-dev.txt": "six==2.0\n"}, []),
        ({"requirements-dev.txt": "six==2.0\n"}, [("six==2.0", "requirements-dev.txt:1")]),
        ({"requirements.txt": "pip==19\nsetuptools==40\nwheel\n"}, []),
    ],
)
def test_which_bounds_count(tmp_path: Path, files: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert bounds(repository(tmp_path, {"hubconf.py": "import six", **files})) == expected


def test_the_worker_needs_what_it_needs(tmp_path: Path) -> None:
    files = {"hubconf.py": "", "requirements.txt": "pyzmq==19.0\nmsgpack>=0.5\n"}
    made = repository(tmp_path, files)
    assert bounds(made) == [("msgpack>=0.5", "requirements.txt:2")]
    assert made.notes == ("requirements.txt:1: pyzmq==19.0 gives way to isohub's worker",)


def test_the_user_s_words_and_the_repository_s_both_stand(tmp_path: Path) -> None:
    made = repository(
        tmp_path,
        {
            "hubconf.py": "import torch, six",
            "requirements.txt": "torch==1.7\nsix==1.0\n",
            "setup.py": "setup(install_requires=['torch<1.8'])",
        },
        EnvironmentRequest(requirements=("torch==2.1", "six"), constraints=("numpy<2",)),
    )
    assert asked(made) == [
        ("torch", "hubconf.py:1"),
        ("six", "hubconf.py:1"),
        ("torch<1.8", "setup.py:1"),
        ("torch==2.1", "Hub(requirements=)"),
        ("six", "Hub(requirements=)"),
    ]
    assert bounds(made) == [
        ("torch==1.7", "requirements.txt:1"),
        ("six==1.0", "requirements.txt:2"),
        ("numpy<2", "Hub(constraints=)"),
    ]
    assert made.notes == ()


def test_a_recipe_counts_before_the_repository(tmp_path: Path) -> None:
    recipe = Recipe(
        Path("old.toml"),
        python="3.8",
        requirements=(parse_requirement("sacremoses", "old.toml:2"),),
        constraints=(parse_requirement("torch<1.13", "old.toml:3"),),
        exclude=frozenset({"wandb"}),
    )
    files = {"hubconf.py": "import torch, wandb", "requirements.txt": "torch==1.7\nwandb==0.1\n"}
    made = repository(tmp_path, files, recipe=recipe)
    assert asked(made) == [("torch", "hubconf.py:1"), ("sacremoses", "old.toml:2")]
    assert bounds(made) == [("torch<1.13", "old.toml:3")]
    assert made.python == "3.8"
    assert repository(tmp_path, files, EnvironmentRequest("3.9"), recipe).python == "3.9"


# ---- the interpreter


@pytest.mark.parametrize(
    ("files", "condition", "hints"),
    [
        ({}, None, []),
        ({"setup.py": "setup(python_requires='>=3.6')"}, ">=3.6", [(">=3.6", "setup.py:1")]),
        ({"environment.yml": "dependencies: [python=3.7]"}, None, [("==3.7.*", "environment.yml:1")]),
        (
            {"setup.py": "setup(python_requires='>=3.6')", "hubconf.py": "import os\nimport imp\n"},
            "<3.12,>=3.6",
            [(">=3.6", "setup.py:1"), ("<3.12", "hubconf.py:2 imports imp")],
        ),
        ({"hubconf.py": "try:\n import imp\nexcept ImportError:\n pass\n"}, None, []),
    ],
)
def test_the_interpreter(
    tmp_path: Path, files: dict[str, str], condition: str | None, hints: list[tuple[str, str]]
) -> None:
    made = repository(tmp_path, {"hubconf.py": "", **files})
    assert made.python_range == condition
    assert [(item.specifier, item.origin) for item in made.hints] == hints
    assert asked(made) == []


# ---- the rest


def test_what_was_not_used_is_noted(tmp_path: Path) -> None:
    files = {"hubconf.py": "dependencies = ['torch', *more()]\n", "requirements.txt": "-e .\n"}
    assert [note.split(": ")[0] for note in repository(tmp_path, files).notes] == [
        "hubconf.py:1",
        "requirements.txt:1",
    ]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EnvironmentRequest(requirements=("num py",)), "requirements: 'num py' is not a requirement"),
        (EnvironmentRequest(constraints=("numpy=1",)), "constraints: 'numpy=1' is not a requirement"),
        (
            EnvironmentRequest(requirements=("x @ https://user:secret@example.com/x.whl",)),
            "has credentials in it",
        ),
        (EnvironmentRequest(requirements=("git+https://token@example.com/x",)), "has credentials in it"),
    ],
)
def test_the_user_s_mistakes(request_: EnvironmentRequest, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan("", request_)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "token@" not in str(caught.value)


def test_the_user_may_ask_for_urls_and_paths(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    wanted = ("x @ https://example.com/x.whl", "git+ssh://git@example.com/x.git", f"{tmp_path}/project")
    texts = [item.text for item in plan("", EnvironmentRequest(requirements=wanted)).requirements]
    assert texts[:3] == [
        "x @ https://example.com/x.whl",
        "git+ssh://git@example.com/x.git",
        f"{tmp_path}/project",
    ]


def test_a_dependency_that_is_nothing() -> None:
    with pytest.raises(HubconfError, match=r"hubconf\.py:1: 'num py' is neither a module nor a requirement"):
        plan("dependencies = ['num py']")


NAMES = st.lists(st.sampled_from(["numpy", "six", "torch>=1", "attrs", "pyyaml<6"]), min_size=2, unique=True)


@given(NAMES, NAMES, st.randoms())
def test_the_key_is_blind_to_order(wanted: list[str], bounds: list[str], random: Random) -> None:
    one = plan("", EnvironmentRequest(None, tuple(wanted), tuple(bounds)))
    random.shuffle(wanted)
    random.shuffle(bounds)
    assert plan("", EnvironmentRequest(None, tuple(wanted), tuple(bounds))).key == one.key


def test_the_key_sees_everything_else() -> None:
    plans = [
        plan(""),
        plan("dependencies = ['six']"),
        plan("dependencies = ['six']", None, "six==1"),
        plan("dependencies = ['six>=1']"),
        plan("", EnvironmentRequest(constraints=("six",))),
    ]
    assert len({item.key for item in plans}) == len(plans)
