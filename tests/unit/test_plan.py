from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.envs.plan import Plan, make_plan, read_plan
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError, HubconfError
from isohub.hubconf.requirements import RequirementFiles, parse_requirement
from isohub.hubconf.scan import scan

WORKER = ["msgpack>=1.0.5", "pyzmq>=22.3"]


def plan(source: str, request: EnvironmentRequest | None = None, *pins: str) -> Plan:
    files = RequirementFiles(
        tuple(parse_requirement(pin, f"requirements.txt:{n}") for n, pin in enumerate(pins, 1))
    )
    return make_plan(scan(source.encode()), files, request or EnvironmentRequest())


def test_every_requirement_says_who_asked() -> None:
    request = EnvironmentRequest("3.10", ("sacremoses>=0.0.1",), ("numpy<2",))
    made = plan("dependencies = ['torch',\n 'yaml', 'os']", request, "torch==1.9", "pytest")
    assert [(item.text, item.origin) for item in made.requirements] == [
        ("torch", "hubconf.py:1"),
        ("pyyaml", "hubconf.py:2"),
        ("sacremoses>=0.0.1", "Hub(requirements=)"),
        *((text, "isohub's worker") for text in WORKER),
    ]
    assert [(item.text, item.origin) for item in made.constraints] == [
        ("torch==1.9", "requirements.txt:1"),
        ("pytest", "requirements.txt:2"),
        ("numpy<2", "Hub(constraints=)"),
    ]
    assert made.python == "3.10"


def test_a_repository_without_needs_still_gets_the_worker_s() -> None:
    assert [item.text for item in plan("").requirements] == WORKER


def test_the_repository_s_own_flavour_is_taken() -> None:
    made = plan("dependencies = ['cv2']", None, "opencv-python==4.5.1.48")
    assert made.requirements[0].text == "opencv-python"


def test_what_was_not_used_is_noted(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text("dependencies = ['torch', *more()]\n")
    (tmp_path / "requirements.txt").write_text("-e .\n")
    notes = read_plan(tmp_path, EnvironmentRequest()).notes
    assert [note.split(": ")[0] for note in notes] == ["hubconf.py:1", "requirements.txt:1"]


@pytest.mark.parametrize("layout", ["models.py", "models/__init__.py"])
def test_modules_of_the_repository_itself_are_not_installed(tmp_path: Path, layout: str) -> None:
    (tmp_path / "hubconf.py").write_text("dependencies = ['six', 'models', 'models.net']\n")
    (tmp_path / layout).parent.mkdir(exist_ok=True)
    (tmp_path / layout).write_text("")
    assert [item.text for item in read_plan(tmp_path, EnvironmentRequest()).requirements] == ["six", *WORKER]


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
    asked = ("x @ https://example.com/x.whl", "git+ssh://git@example.com/x.git", f"{tmp_path}/project")
    texts = [item.text for item in plan("", EnvironmentRequest(requirements=asked)).requirements]
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
        plan("dependencies = ['six']", None, "six"),
        plan("dependencies = ['six>=1']"),
        plan("", EnvironmentRequest(constraints=("six",))),
    ]
    assert len({item.key for item in plans}) == len(plans)
