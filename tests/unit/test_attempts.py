"""What comes after which failure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from isohub.envs.attempts import Attempt, Failure, Strategy, python_of
from isohub.envs.interpreters import Interpreter
from isohub.envs.lock import Lock, LockedPackage
from isohub.envs.plan import Plan
from isohub.errors import BuildError, ResolveError
from isohub.hubconf.distributions import undeclared_requirement
from isohub.hubconf.requirements import Requirement, Strength, parse_requirement

PLAN = Plan((parse_requirement("torch", "hubconf.py:1"),), ())
COMMITTED = date(2021, 6, 10)
TODAY = date(2026, 11, 1)
WHEELS = "torch==1.9.0 has no wheels with a matching Python ABI tag (e.g., `cp311`)\n"
TAGS = (
    WHEELS
    + "we only found wheels for `torch` (v1.9.0) with the following Python ABI tags: `cp37m`, `cp38`, `cp39`"
)


def python(version: str) -> Interpreter:
    major, minor, patch = (int(part) for part in version.split("."))
    path = Path(f"/opt/python{major}.{minor}")
    return Interpreter(path, (major, minor, patch), "", "cpython", "linux-x86_64")


P37, P38, P39, P310, P311, P312, P313 = (python(f"3.{minor}.1") for minor in range(7, 14))
ALL = [P313, P312, P311, P310, P39, P38, P37]


def lock(**versions: str) -> Lock:
    return Lock(
        "", tuple(LockedPackage(name.replace("_", "-"), version) for name, version in versions.items())
    )


def strategy(
    plan: Plan = PLAN,
    *,
    committed: date | None = COMMITTED,
    pythons: list[Interpreter] = ALL,
    preferred: tuple[Requirement, ...] = (),
) -> Strategy:
    first = Attempt(P311, preferred=preferred)
    return Strategy(plan, first, lambda: pythons, undeclared_requirement, committed, TODAY)


def unresolved(attempt: Attempt, text: str = "they contradict each other") -> Failure:
    return Failure(attempt, ResolveError("cannot be met", tail=text), text.splitlines()[0], text)


def unimported(
    attempt: Attempt, reason: str, missing: str | None = None, asked: tuple[str, ...] = (), **versions: str
) -> Failure:
    error = BuildError(f"does not import: {reason}", step="import hubconf", tail="traceback")
    return Failure(attempt, error, reason, f"Traceback ...\n{reason}", missing, asked, lock(**versions))


def follow(strategy: Strategy, failures: int = 100, text: str = "ValueError: no") -> list[Attempt]:
    """What is tried if nothing ever imports, and always for the same reason."""
    tried = [strategy.first]
    while len(tried) < failures and (following := strategy.after(unimported(tried[-1], text))):
        tried.append(following)
    return tried


def test_releases_of_the_commit_s_time_on_a_python_of_that_time() -> None:
    tried = follow(strategy())
    assert [(item.interpreter, item.as_of) for item in tried] == [
        (P311, None),
        (P38, date(2021, 6, 10)),
        (P38, date(2021, 7, 10)),
        (P39, date(2021, 12, 7)),
        (P39, date(2022, 6, 10)),
        (P310, date(2023, 6, 10)),
    ]


def test_no_cut_lies_in_the_future() -> None:
    tried = follow(strategy(committed=date(2026, 10, 20)))
    assert [item.as_of for item in tried] == [None, date(2026, 10, 20)]


def test_without_a_date_there_are_only_the_latest_releases() -> None:
    assert follow(strategy(committed=None)) == [Attempt(P311)]


@pytest.mark.parametrize(
    ("day", "pythons", "newest", "expected"),
    [
        (date(2019, 6, 1), ALL, P311, P37),
        (date(2018, 1, 1), ALL, P311, P37),
        (date(2018, 1, 1), [P310, P312], P312, P310),
        (date(2021, 6, 1), ALL, P311, P38),
        (date(2021, 9, 1), ALL, P311, P39),
        (date(2025, 12, 1), ALL, P311, P311),
        (date(2025, 12, 1), ALL, P313, P313),
        (date(2021, 6, 1), [P311], P311, P311),
        (date(2021, 6, 1), [], P311, P311),
    ],
)
def test_a_python_of_that_time(
    day: date, pythons: list[Interpreter], newest: Interpreter, expected: Interpreter
) -> None:
    assert python_of(day, pythons, newest) == expected


def test_a_missing_module_is_added_where_it_is_missing() -> None:
    steps = strategy()
    following = steps.after(unimported(steps.first, "No module named 'six'", "six"))
    assert following is not None
    assert (following.interpreter, following.as_of) == (P311, None)
    assert [item.text for item in following.added] == ["six"]
    assert "No module named 'six'" in following.added[0].origin
    assert [item.text for item in following.of(PLAN).requirements] == ["torch", "six"]
    # It is still missing in the releases of another time.
    later = steps.after(unimported(following, "ValueError: no", six="1.17"))
    assert later is not None
    assert later.as_of == COMMITTED
    assert later.added == following.added


@pytest.mark.parametrize(
    ("missing", "versions", "added"),
    [
        ("yaml", {}, ["pyyaml"]),
        ("pkg_resources", {}, ["setuptools<81"]),
        ("pkg_resources", {"setuptools": "84.0"}, ["setuptools<81"]),
        ("a_name_that_nobody_knows", {}, []),
        ("torch._six", {"torch": "2.9.0"}, []),
        ("apex", {}, []),
        ("PIL", {"pillow": "11.0"}, []),
    ],
)
def test_what_may_be_added(missing: str, versions: dict[str, str], added: list[str]) -> None:
    steps = strategy(committed=None)
    failure = unimported(steps.first, f"No module named '{missing}'", missing, (), **versions)
    following = steps.after(failure)
    assert [item.text for item in (following.added if following else ())] == added


@pytest.mark.parametrize(
    ("reason", "added"),
    [
        ("ImportError: this needs more: run `pip install timm`", "timm"),
        ("ImportError: try pip3 install -U einops.", "einops"),
        ("RuntimeError: Missing dependencies: hydra-core, torch", "hydra-core"),
    ],
)
def test_what_a_message_asks_for(reason: str, added: str) -> None:
    steps = strategy()
    following = steps.after(unimported(steps.first, reason, torch="2.9"))
    assert following is not None
    assert [item.text for item in following.added] == [added]


def test_what_was_asked_of_pip_is_added() -> None:
    steps = strategy()
    following = steps.after(
        unimported(steps.first, "CalledProcessError: pip", asked=("gdown", "x-unknown-x"))
    )
    assert following is not None
    assert [item.text for item in following.added] == ["gdown"]


def test_rounds_are_bounded() -> None:
    steps = strategy(committed=None)
    names = [
        "six",
        "tqdm",
        "einops",
        "timm",
        "scipy",
        "pandas",
        "regex",
        "sympy",
        "networkx",
        "click",
        "rich",
    ]
    attempt: Attempt | None = steps.first
    rounds = 0
    while attempt is not None and rounds < len(names):
        attempt = steps.after(unimported(attempt, f"No module named '{names[rounds]}'", names[rounds]))
        rounds += 1
    assert rounds == 9


def test_a_known_failure_is_remedied_before_anything_else() -> None:
    steps = strategy()
    reason = "AttributeError: module 'numpy' has no attribute 'float'"
    following = steps.after(unimported(steps.first, reason, numpy="2.1.0"))
    assert following is not None
    assert [(item.text, item.origin) for item in following.bounds] == [
        ("numpy<1.24", "NumPy 1.24 dropped its names for Python's own types")
    ]
    assert following.of(PLAN).constraints == following.bounds
    # Where the bound holds already it is no remedy.
    again = steps.after(unimported(following, reason, numpy="1.23.5"))
    assert again is not None
    assert (again.as_of, again.bounds) == (COMMITTED, ())


def test_a_failure_that_another_python_mends() -> None:
    steps = strategy()
    reason = "ValueError: mutable default <class 'x'> for field y is not allowed: use default_factory"
    assert steps.after(unimported(steps.first, reason)) == Attempt(P310)


def test_what_the_date_mends_is_bounded_only_without_one() -> None:
    reason = "ModuleNotFoundError: No module named 'torch._six'"
    dated, undated = strategy(), strategy(committed=None)
    following = dated.after(unimported(dated.first, reason, "torch._six", torch="2.9"))
    assert following == Attempt(P38, as_of=COMMITTED)
    following = undated.after(unimported(undated.first, reason, "torch._six", torch="2.9"))
    assert following is not None
    assert [item.text for item in following.bounds] == ["torch<2"]


@pytest.mark.parametrize(
    ("text", "expected"), [(WHEELS, [P310, P39, P38, P37, P312, P313]), (TAGS, [P39, P38, P37])]
)
def test_pythons_that_may_have_wheels(text: str, expected: list[Interpreter]) -> None:
    steps = strategy(committed=None)
    tried = []
    following = steps.after(unresolved(steps.first, text))
    while following is not None:
        tried.append(following.interpreter)
        following = steps.after(unresolved(following, text))
    assert tried == expected


def test_a_plain_conflict_is_one_at_any_time() -> None:
    steps = strategy()
    assert steps.after(unresolved(steps.first)) is None
    assert "tried:" not in str(steps.error())


def test_a_cut_that_is_too_sharp_is_moved() -> None:
    steps = strategy()
    first = steps.after(unimported(steps.first, "ValueError: no"))
    assert first is not None
    following = steps.after(
        unresolved(first, "only hydra-core<=1.0.6 is available and you require hydra-core>=1.0.7")
    )
    assert following is not None
    assert following.as_of == date(2021, 7, 10)


def test_what_does_not_build_may_build_with_the_tools_of_its_time() -> None:
    steps = strategy()
    following = steps.after(unresolved(steps.first, "Failed to build `scikit-learn==0.20`"))
    assert following == Attempt(P38, as_of=COMMITTED)
    undated = strategy(committed=None)
    assert undated.after(unresolved(undated.first, "Failed to build `x==1`")) == Attempt(P310)


def test_the_host_s_torch_is_given_up_first() -> None:
    preferred = (parse_requirement("torch==2.9.1", "the release that the host has"),)
    steps = strategy(preferred=preferred)
    assert [item.text for item in steps.first.of(PLAN).constraints] == ["torch==2.9.1"]
    assert steps.after(unresolved(steps.first, WHEELS)) == Attempt(P311)


_MACHINE = parse_requirement("numpy==1.17", "environment.yml:3", Strength.MACHINE)
_OTHER = parse_requirement("pandas==0.2", "environment.yml:4", Strength.MACHINE)
_FILE = parse_requirement("scipy==1.2", "requirements.txt:2", Strength.FILE)
_BOUND = Plan((parse_requirement("torch>=2", "hubconf.py:1"),), (_MACHINE, _FILE, _OTHER))


def test_what_describes_a_machine_gives_way_to_the_rest() -> None:
    steps = strategy(_BOUND)
    text = "numpy==1.17 and scipy==1.2 and torch>=2 are unsatisfiable"
    following = steps.after(unresolved(steps.first, text))
    assert following is not None
    changed = following.of(_BOUND)
    assert [item.text for item in changed.constraints] == ["scipy==1.2", "pandas==0.2"]
    assert any("environment.yml:3" in note and "gave way" in note for note in changed.notes)


def test_a_requirement_file_that_contradicts_the_rest_does_not_give_way() -> None:
    plan = replace(_BOUND, constraints=(_FILE,))
    steps = strategy(plan)
    assert steps.after(unresolved(steps.first, "scipy==1.2 and torch>=2 are unsatisfiable")) is None


def test_a_requirement_file_gives_way_where_nothing_here_can_meet_it() -> None:
    plan = replace(_BOUND, constraints=(_FILE,))
    steps = strategy(plan)
    text = WHEELS.replace("torch==1.9.0", "scipy==1.2")
    following = steps.after(unresolved(steps.first, text))
    while following is not None and not following.given_up:
        following = steps.after(unresolved(following, text))
    assert following is not None
    assert following.of(plan).constraints == ()


def test_what_nobody_insists_on_gives_way_altogether() -> None:
    optional = parse_requirement("xformers==0.0.18", "requirements.txt:8", Strength.FILE)
    plan = replace(PLAN, requirements=(*PLAN.requirements, optional))
    steps = strategy(plan, committed=None, pythons=[])
    following = steps.after(unresolved(steps.first, "Failed to build `xformers==0.0.18`"))
    assert following is not None
    assert [item.text for item in following.of(plan).requirements] == ["torch", "xformers"]
    following = steps.after(unresolved(following, "Failed to build `xformers==0.0.30`"))
    assert following is not None
    assert [item.text for item in following.of(plan).requirements] == ["torch"]
    assert steps.after(unresolved(following, "Failed to build `xformers==0.0.30`")) is None


def test_what_follows_from_a_resolution_is_found_anew() -> None:
    derived = (parse_requirement("torch==2.11.*", "torchaudio 2.11.0 was compiled for it"),)
    steps = strategy()
    reason = "AttributeError: module 'torchaudio' has no attribute 'set_audio_backend'"
    failure = unimported(replace(steps.first, derived=derived), reason, torch="2.11.0", torchaudio="2.11.0")
    following = steps.after(failure)
    assert following is not None
    assert [item.text for item in following.of(PLAN).constraints] == ["torchaudio<2.9"]


@pytest.mark.parametrize(
    "text",
    [
        "Because x was not found in the package registry and you require x",
        "error sending request for url",
        "Failed to fetch: https://index.example.com/simple/six/",
        "failed to write to file: No space left on device (os error 28)",
        "Hash mismatch for six",
    ],
)
def test_what_no_other_attempt_would_mend(text: str) -> None:
    steps = strategy()
    assert steps.after(unresolved(steps.first, text)) is None


def test_the_error_lists_all_attempts_and_leads_with_the_most_telling() -> None:
    steps = strategy()
    first = unresolved(steps.first, WHEELS)
    second = steps.after(first)
    assert second is not None
    steps.after(unimported(second, "TypeError: the first import"))
    steps.after(unimported(Attempt(P38, as_of=COMMITTED), "TypeError: the second import"))
    error = steps.error()
    assert isinstance(error, BuildError)
    assert error.message == "does not import: TypeError: the first import"
    assert error.tail is not None
    assert error.tail.splitlines() == [
        "traceback",
        "tried:",
        "  Python 3.10.1, the latest releases: TypeError: the first import",
        f"  Python 3.11.1, the latest releases: {WHEELS.strip()}",
        "  Python 3.8.1, releases up to 2021-06-10: TypeError: the second import",
    ]


def test_what_was_remedied_tells_less_than_what_was_not() -> None:
    steps = strategy(committed=None)
    following = steps.after(unimported(steps.first, "No module named 'six'", "six"))
    assert following is not None
    assert (
        steps.after(unimported(following, "No module named 'timm.old'", "timm.old", (), timm="1.0")) is None
    )
    assert steps.error().message == "does not import: No module named 'timm.old'"


def test_no_attempt_is_made_twice() -> None:
    tried = follow(strategy(), text="AttributeError: module 'numpy' has no attribute 'float'")
    assert len(tried) == len(set(tried))
