"""Which recipe a repository gets, and that the built-in ones can be read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.plan import read_plan
from isohub.envs.recipe_places import BUILT_IN, recipes_digest
from isohub.envs.recipe_reader import parse_recipe, read_recipe
from isohub.envs.recipes import find_recipe
from isohub.envs.request import EnvironmentRequest
from isohub.errors import ConfigError
from isohub.sources.tree import Pin, Tree

COMMIT = "5e6f6a7b8c9d0e1f5e6f6a7b8c9d0e1f5e6f6a7b"
JUNE = int(datetime(2021, 6, 15, tzinfo=timezone.utc).timestamp())
NO_REQUEST = EnvironmentRequest()


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The user's folder for recipes."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    return folder


def tree(
    repo: str = "github.com/some/model",
    ref: str | None = "refs/heads/main",
    *,
    date: int | None = JUNE,
    path: Path = Path("/nowhere"),
) -> Tree:
    return Tree(Pin("git", repo, ref, COMMIT), path, date)


def write(folder: Path, recipes: Mapping[str, str]) -> None:
    for name, text in recipes.items():
        (folder / f"{name}.toml").write_text(text)


def chosen(user: Path, of: Tree, request: EnvironmentRequest = NO_REQUEST) -> str | None:
    recipe = find_recipe(of, request, Settings(home=Path("/nowhere"), recipes=user))
    return None if recipe is None else recipe.name


@pytest.mark.parametrize(
    "repo",
    [
        "github.com/some/model",
        "github.com/Some/Model",
        "git.example.com:8443/some/model",
        "https://example.com/mirrors/some/model.git",
        "git@example.com:some/model.git",
        "file:///srv/some/model.git",
        "/home/me/some/model",
    ],
)
def test_a_repository_is_known_by_owner_and_name_on_whatever_server(repo: str, user: Path) -> None:
    write(user, {"mine": '[match]\nrepositories = ["some/model"]'})
    assert chosen(user, tree(repo)) == "mine"


@pytest.mark.parametrize("repo", ["github.com/other/model", "github.com/some/models", "/some"])
def test_other_names_are_other_repositories(repo: str, user: Path) -> None:
    write(user, {"mine": '[match]\nrepositories = ["some/model"]'})
    assert chosen(user, tree(repo)) is None


@pytest.mark.parametrize(
    ("rule", "ref", "date", "matches"),
    [
        ('versions = ">=0.10,<0.12"', "refs/tags/v0.10.2", None, True),
        ('versions = ">=0.10,<0.12"', "refs/tags/0.11rc1", None, True),
        ('versions = ">=0.10,<0.12"', "refs/tags/release-0.11", None, True),
        ('versions = ">=0.10,<0.12"', "refs/tags/v0.12.0", None, False),
        ('versions = ">=0.10,<0.12"', "refs/heads/main", None, False),
        ('versions = ">=0.10,<0.12"', COMMIT, None, False),
        ('versions = ">=0.10,<0.12"', None, None, False),
        ('refs = ["main"]', "refs/heads/main", None, True),
        ('refs = ["refs/tags/main"]', "refs/heads/main", None, False),
        ('refs = ["v4.0"]', "refs/tags/v4.0", None, True),
        ('commits = ["5e6f6a7"]', None, None, True),
        ('commits = ["6f6a7b8"]', None, None, False),
        ("after = 2021-06-01", None, JUNE, True),
        ("after = 2021-07-01", None, JUNE, False),
        ("before = 2021-07-01", None, JUNE, True),
        ("before = 2021-06-15", None, JUNE, False),
        ("after = 2021-06-15\nbefore = 2021-06-16", None, JUNE, True),
        ("after = 2021-06-01", None, None, False),
        ('refs = ["old"]\nafter = 2021-06-01', "refs/heads/main", JUNE, True),
        ("", None, None, True),
    ],
)
def test_rules_about_refs(rule: str, ref: str | None, date: int | None, matches: bool, user: Path) -> None:
    write(user, {"mine": f'[match]\nrepositories = ["some/model"]\n{rule}'})
    assert chosen(user, tree(ref=ref, date=date)) == ("mine" if matches else None)


def test_the_most_specific_rule_counts(user: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").touch()
    rules = {
        "files": 'files = ["model.py"]',
        "any": "",
        "date": "after = 2021-01-01",
        "version": 'versions = "==1.*"',
        "ref": 'refs = ["v1.2"]',
        "commit": f'commits = ["{COMMIT}"]',
    }
    for name, rule in rules.items():
        repositories = "" if name == "files" else 'repositories = ["some/model"]'
        write(user, {name: f"[match]\n{repositories}\n{rule}"})
        assert chosen(user, tree(ref="refs/tags/v1.2", path=tmp_path)) == name


def test_files_mean_a_fork_a_folder_or_a_ref_that_no_rule_means(user: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "core.py").touch()
    match = '[match]\nrepositories = ["some/model"]\nrefs = ["other"]\nfiles = ["model/core.py"]'
    write(user, {"mine": match, "more": '[match]\nfiles = ["model/core.py", "model/missing.py"]'})
    for repo in ("github.com/fork/model", str(tmp_path), "github.com/some/model"):
        assert chosen(user, tree(repo, path=tmp_path)) == "mine"
    assert chosen(user, tree(str(tmp_path))) is None


def test_two_that_mean_a_repository_equally_well_are_an_error(user: Path) -> None:
    write(user, dict.fromkeys(("a", "b"), '[match]\nrepositories = ["some/model"]'))
    with pytest.raises(
        ConfigError, match=r"2 recipes mean github.com/some/model equally well: .*a\.toml, .*b\.toml"
    ):
        chosen(user, tree())


def test_a_recipe_that_is_named_goes_before_the_users_and_those_before_the_built_in(
    user: Path, tmp_path: Path
) -> None:
    fairseq = tree("github.com/facebookresearch/fairseq", "refs/tags/v0.10.2")
    assert chosen(user, fairseq) == "fairseq-0.10"
    write(user, {"mine": '[match]\nrepositories = ["facebookresearch/fairseq"]'})
    assert chosen(user, fairseq) == "mine"
    write(tmp_path, {"named": '[match]\nrepositories = ["another/one"]'})
    assert chosen(user, fairseq, EnvironmentRequest(recipe=tmp_path / "named.toml")) == "named"


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.toml")), ids=lambda path: path.stem)
def test_built_in_recipes_can_be_read_and_say_for_what_they_are(path: Path) -> None:
    assert read_recipe(path).match.repositories


@pytest.mark.parametrize(
    ("ref", "year", "recipe"),
    [
        ("refs/tags/v0.10.2", 2021, "fairseq-0.10"),
        ("refs/tags/v0.12.2", 2022, "fairseq"),
        ("refs/heads/main", 2025, "fairseq"),
        (COMMIT, 2020, "fairseq-0.10"),
        (COMMIT, 2023, "fairseq"),
    ],
)
@pytest.mark.parametrize("name", ["pytorch/fairseq", "facebookresearch/fairseq"])
def test_the_two_recipes_for_fairseq(name: str, ref: str, year: int, recipe: str, user: Path) -> None:
    date = int(datetime(year, 1, 10, tzinfo=timezone.utc).timestamp())
    assert chosen(user, tree(f"github.com/{name}", ref, date=date)) == recipe


def test_the_digest_is_of_what_the_lock_does_not_show() -> None:
    def digest(text: str) -> str:
        return parse_recipe(text, Path("a.toml")).digest

    assert digest(
        '# why\nrequirements = ["tqdm"]\nsmoke = "load(1)"\n[match]\nrepositories = ["a/b"]'
    ) == digest("")
    parts = (
        'prelude = "import os"',
        '[env]\nA = "1"',
        '[build.fastbpe]\nrequires = ["cython"]',
        '[build.fastbpe.env]\nA = "1"',
    )
    assert len({digest(""), *map(digest, parts)}) == len(parts) + 1


def test_the_digest_of_all_recipes_changes_with_any_that_may_count(user: Path, tmp_path: Path) -> None:
    def digest(request: EnvironmentRequest = NO_REQUEST) -> str:
        return recipes_digest(request, Settings(home=tmp_path, recipes=user))

    seen = [digest()]
    for text in ("a = 1", "a = 2"):
        write(user, {"mine": text})
        seen.append(digest())
    (user / "mine.toml").unlink()
    assert digest() == seen[0]
    write(tmp_path, {"named": ""})
    seen.append(digest(EnvironmentRequest(recipe=tmp_path / "named.toml")))
    assert len(set(seen)) == len(seen)
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*gone\.toml: No such file"):
        digest(EnvironmentRequest(recipe=tmp_path / "gone.toml"))


def test_the_user_may_ask_for_what_a_recipe_excludes(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text('dependencies = ["tqdm", "six"]\n')
    recipe = parse_recipe('exclude = ["tqdm"]', Path("mine.toml"))

    def asked(request: EnvironmentRequest) -> set[tuple[str, str]]:
        return {(item.text, item.origin) for item in read_plan(tmp_path, request, recipe=recipe).requirements}

    assert ("six", "hubconf.py:1") in asked(NO_REQUEST)
    assert ("tqdm", "hubconf.py:1") not in asked(NO_REQUEST)
    assert ("tqdm", "Hub(requirements=)") in asked(EnvironmentRequest(requirements=("tqdm",)))
    notes = read_plan(tmp_path, NO_REQUEST, recipe=recipe).notes
    assert "hubconf.py:1: tqdm is not installed: the recipe excludes it" in notes
