"""What is read from uv's words."""

from __future__ import annotations

import pytest

from isohub.envs.explanations import (
    abi_minors,
    explanation,
    hint,
    is_final,
    names,
    needs_build,
    needs_python,
    no_room,
)

NO_WHEELS = """\
error: No solution found when resolving dependencies
  cause: Because torch==1.12.1 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require torch==1.12.1, \
we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `torch` (v1.12.1) with the following Python ABI tags: \
`cp36m`, `cp37m`, `cp38`, `cp310`
"""
FULL = """\
error: Failed to download `nvidia-cusolver-cu12==11.7.3.90`
  cause: failed to write to file `/root/cache/.tmpN/libcusolver.so.11`: No space left on device (os error 28)
"""


def test_ornaments_go() -> None:
    lines = explanation(NO_WHEELS).splitlines()
    assert lines[0].startswith("Because torch==1.12.1")
    assert lines[1].startswith("You require CPython 3.11")
    assert explanation("") == "uv gave no reason"


@pytest.mark.parametrize(
    ("text", "minors"),
    [
        (NO_WHEELS, {7, 8, 10}),
        ("with the following Python implementation tag: `cp314`", {14}),
        ("with the following Python ABI tag: `abi3`", set()),
        ("something else about `cp39`", set()),
    ],
)
def test_pythons_with_wheels(text: str, minors: set[int]) -> None:
    assert abi_minors(text) == minors


def test_the_newest_python_with_wheels_is_named() -> None:
    assert "uv python install 3.10" in hint(explanation(NO_WHEELS))


@pytest.mark.parametrize(
    ("text", "python", "build", "final"),
    [
        (NO_WHEELS, True, False, False),
        ("the requested Python version (>=3.11.7) does not satisfy Python>=3.12", True, False, False),
        ("Failed to build `x==1`", False, True, False),
        ("Because you require numpy<1.20 and numpy>=1.24", False, False, False),
        ("Because x was not found in the package registry", False, False, True),
        ("Request failed after 3 retries in 5.0s", False, False, True),
        (FULL, False, False, True),
    ],
)
def test_what_may_help(text: str, python: bool, build: bool, final: bool) -> None:
    assert (needs_python(text), needs_build(text), is_final(text)) == (python, build, final)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (FULL, "/root/cache/.tmpN/libcusolver.so.11"),
        ("No space left on device", "a file"),
        ("uv was ended: killed by SIGXFSZ", "a file"),
        (NO_WHEELS, None),
    ],
)
def test_a_full_disk(text: str, path: str | None) -> None:
    assert no_room(text) == path


def test_names_are_whole() -> None:
    assert names("torch==1.0 and numpy", "torch")
    assert not names("torchvision==1.0 and pytorch and torch-scatter", "torch")
