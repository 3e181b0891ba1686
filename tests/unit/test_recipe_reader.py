"""Recipes as text: what is read, and where a fault is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.envs.recipe_builds import build_settings
from isohub.envs.recipe_reader import parse_recipe, read_recipe
from isohub.envs.recipes import Build, Kwarg, Recipe
from isohub.errors import ConfigError

WHOLE = """\
python = ">=3.8,<3.11"
requirements = [
  "TQDM",  # imported
  "setuptools<80",
]
constraints = ["torch==1.13.1"]
exclude = ["Data_Classes"]
prelude = '''
import os
name = "value"
'''
smoke = 'load("net")'

[match]
repositories = ["Some/Model"]
refs = ["main"]
files = ["model/core.py"]

[env]
B = "2"
A = "1"

[build.fastBPE]
requires = ["Cython"]
env.CFLAGS = "-O1"

[[kwargs]]
name = "tokenizer"
value = "moses"
requires = ["sacremoses"]

[[kwargs]]
name = "scale"
requires = ["scipy", "einops"]
"""


def parse(text: str) -> Recipe:
    return parse_recipe(text, Path("mine.toml"))


def test_all_keys() -> None:
    recipe = parse(WHOLE)
    assert (recipe.name, recipe.python) == ("mine", ">=3.8,<3.11")
    assert [item.text for item in recipe.constraints] == ["torch==1.13.1"]
    assert recipe.exclude == {"data-classes"}
    assert recipe.prelude == 'import os\nname = "value"\n'
    assert recipe.smoke == 'load("net")'
    assert recipe.match.repositories == ("Some/Model",)
    assert recipe.match.files == ("model/core.py",)
    assert recipe.env == (("A", "1"), ("B", "2"))
    assert recipe.builds == (Build("fastbpe", ("cython",), (("CFLAGS", "-O1"),)),)
    assert [(item.name, item.value) for item in recipe.kwargs] == [("tokenizer", "moses"), ("scale", None)]
    assert isinstance(recipe.kwargs[0], Kwarg)


def test_every_requirement_says_where_it_stands() -> None:
    assert [(item.text, item.origin) for item in parse(WHOLE).all_requirements] == [
        ("tqdm", "mine.toml:3"),
        ("setuptools<80", "mine.toml:4"),
        ("sacremoses", "mine.toml:30, for tokenizer='moses'"),
        ("scipy", "mine.toml:34, for scale=..."),
        ("einops", "mine.toml:34, for scale=..."),
    ]


def test_an_empty_recipe_changes_nothing() -> None:
    assert parse("") == Recipe(Path("mine.toml"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a = ?", r"mine\.toml is not valid TOML: .*line 1", None),
        (
            '\nrequirments = ["tqdm"]',
            r"mine\.toml, line 2: requirments: unknown key",
            "did you mean requirements?",
        ),
        ("xyz = 1", r"line 1: xyz: unknown key", "known keys: python, requirements"),
        (
            '[match]\nrepository = ["a/b"]',
            r"line 2: match\.repository: unknown key",
            "did you mean repositories?",
        ),
        ('[build.x]\nrequire = ["a"]', r"line 2: build\.x\.require: unknown key", "did you mean requires?"),
        (
            '[[kwargs]]\nname = "a"\nrequires = ["b"]\nvalues = 1',
            r"line 4: kwargs\[0\]\.values: unknown key",
            "value?",
        ),
        ('requirements = "tqdm"', r"line 1: requirements: 'tqdm' is not an array of texts", None),
        ("requirements = [1]", r"line 1: requirements: \[1\] is not an array of texts", None),
        ('requirements = [" "]', r"requirements: \[' '\] is not an array of texts", None),
        (
            'requirements = [\n  "a",\n  "b<<2",\n]',
            r"line 3: requirements: not a requirement\n.*b<<2\n.*\^",
            "numpy>=1.20",
        ),
        ('constraints = ["a[b]<2"]', r"line 1: constraints: 'a\[b\]<2' has extras", None),
        (
            'python = "3.x"',
            r"line 1: python: '3\.x' is no version or range that workers run on",
            ">=3.8,<3.11",
        ),
        ('python = "2.7"', r"line 1: python: '2\.7' is no version or range that workers run on", None),
        ("python = 3.8", r"line 1: python: 3\.8 is not a text", None),
        ('[match]\nrefs = ["main"]', r"line 1: match: it names no repository", "repositories"),
        (
            '[match]\nrepositories = [\n"a/b",\n"b"]',
            r"line 4: match\.repositories: 'b' is not owner/name",
            None,
        ),
        ('[match]\nrepositories = ["https://h/a/b"]', r"'https://h/a/b' is not owner/name", None),
        (
            '[match]\nfiles = ["a"]\nversions = "1.0 or so"',
            r"line 3: match\.versions: '1\.0 or so' is not a range",
            None,
        ),
        (
            '[match]\nfiles = ["a"]\ncommits = ["abc"]',
            r"line 3: match\.commits: 'abc' is not a commit's id",
            None,
        ),
        ('[match]\nfiles = ["../a"]', r"line 2: match\.files: '\.\./a' leads out of the repository", None),
        ('[match]\nfiles = ["/a"]', r"line 2: match\.files: '/a' leads out of the repository", None),
        ('[match]\nfiles = ["a"]\nafter = "2021"', r"line 3: match\.after: '2021' is not a date", None),
        ("[env]\nA = 1", r"line 2: env\.A: 1 is not a text", 'write it in quotes: "1"'),
        ('[env]\n"A B" = "1"', r"line 2: env\.A B: not the name of a variable", None),
        ('[build]\nfastbpe = ["cython"]', r"line 2: build\.fastbpe: not a table", "[build.fastbpe]"),
        ('[kwargs]\nname = "a"', r"line 1: kwargs: not an array of tables", "[[kwargs]]"),
        (
            '[[kwargs]]\nname = "a b"\nrequires = ["c"]',
            r"line 2: kwargs\[0\]\.name: 'a b' is not the name",
            None,
        ),
        ('[[kwargs]]\nname = "a"', r"line 1: kwargs\[0\]\.requires: it says what the argument needs", None),
        (
            '[[kwargs]]\nname = "a"\nrequires = ["c"]\n[[kwargs]]\nname = "a"\nvalue = []\nrequires = ["c"]',
            r"line 6: kwargs\[1\]\.value: \[\] is neither",
            None,
        ),
        (
            "prelude = '''\nimport os\nx ==\n'''",
            r"line 1: prelude: not Python: prelude, line 2: .*\n.*x ==\n.*\^",
            None,
        ),
        ('smoke = "\\u0000"', r"line 1: smoke: not Python: ", None),
    ],
)
def test_faults_are_refused_where_they_stand(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    caught.match(f"(?s){message}")
    assert hint is None or hint in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'python = "3.8"\n# \xff\n')
    with pytest.raises(ConfigError, match=r"mine\.toml, line 2: not valid utf-8"):
        read_recipe(path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfpython = "3.8"\n')
    assert read_recipe(path).python == "3.8"


def test_builds_in_uvs_words() -> None:
    recipe = parse('[build.fastBPE]\nrequires = ["cython<3"]\n[build.b.env]\nA = "x\\"y"')
    assert build_settings(recipe.builds) == (
        '[extra-build-dependencies]\nfastbpe = ["cython<3"]\n[extra-build-variables]\nb = { A = "x\\"y" }\n'
    )
    assert build_settings(()) == ""


@given(
    st.dictionaries(
        st.sampled_from(["python", "requirements", "match", "env", "build", "kwargs", "x"]),
        st.sampled_from(["1", '"3.8"', "[]", "{}", '["a/b"]', "[{}]", "true", "2021-01-01"]),
    )
)
def test_whatever_stands_in_it_nothing_but_a_config_error_is_raised(table: dict[str, str]) -> None:
    try:
        parse("".join(f"{key} = {value}\n" for key, value in table.items()))
    except ConfigError as error:
        fault = error
    else:
        return
    assert fault.message.startswith("mine.toml")
