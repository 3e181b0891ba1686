from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.errors import ConfigError, UntrustedRepo
from isohub.sources import trust
from isohub.sources.tree import Pin

ONE, TWO = "1" * 40, "2" * 40


def pin(repo: str = "github.com/someone/models", *, source: str = "github", commit: str = ONE) -> Pin:
    return Pin(source, repo, "refs/heads/main", commit)


@pytest.fixture(autouse=True)
def no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def by_content(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", trust="content")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sit at a terminal and type."""
    master, slave = os.openpty()
    with open(slave, encoding="utf-8") as terminal, open(master, "wb", buffering=0) as keyboard:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", terminal)

        def type(text: str) -> None:
            keyboard.write(text.encode())

        yield type
        monkeypatch.undo()


def trusts(pin: Pin, settings: Settings) -> bool:
    try:
        trust.require(pin, "check", settings)
    except UntrustedRepo:
        return False
    return True


@pytest.mark.parametrize("owner", ["facebookresearch", "facebookincubator", "pytorch", "fairinternal"])
def test_torch_hubs_owners_are_trusted(owner: str, settings: Settings, by_content: Settings) -> None:
    for where in (settings, by_content):
        assert trusts(pin(f"github.com/{owner}/anything"), where)


@pytest.mark.parametrize(
    "repo", ["github.com/pytorch-x/vision", "github.com/x/pytorch", "github.com/x_pytorch/y", "pytorch/x/y"]
)
def test_others_are_not(repo: str, settings: Settings) -> None:
    assert not trusts(pin(repo), settings)


def test_the_owners_are_githubs(settings: Settings) -> None:
    assert not trusts(pin("https://example.com/pytorch/vision", source="git"), settings)


@pytest.mark.parametrize("source", ["local", "builtin"])
@pytest.mark.parametrize("trust_repo", [True, False, "check", None])
def test_what_is_on_this_machine_is_not_asked_for(
    source: str, trust_repo: bool | str | None, settings: Settings
) -> None:
    trust.require(pin("/x", source=source), trust_repo, settings)
    assert not settings.home.exists()


@pytest.mark.parametrize("source", ["github", "git"])
def test_without_a_terminal_nobody_is_asked(source: str, settings: Settings) -> None:
    with pytest.raises(UntrustedRepo) as caught:
        trust.require(pin(source=source), "check", settings)
    assert "github.com/someone/models" in str(caught.value)
    assert "trust_repo=True" in str(caught.value)
    assert "--trust" in str(caught.value)
    assert not settings.home.exists()


def test_without_a_standard_input_neither(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not trusts(pin(), settings)


def test_true_is_remembered_for_the_repository(settings: Settings) -> None:
    trust.require(pin(), True, settings)
    assert trusts(pin(), settings)
    assert trusts(pin(commit=TWO), settings)
    assert not trusts(pin("github.com/someone/other"), settings)
    assert not trusts(pin("mirror.example/someone/models"), settings)
    assert not trusts(pin(source="git"), settings)


def test_by_content_each_commit_is_asked_for(settings: Settings, by_content: Settings) -> None:
    trust.require(pin(), True, settings)
    assert trusts(pin(), by_content)
    assert not trusts(pin(commit=TWO), by_content)
    with pytest.raises(UntrustedRepo, match=TWO):
        trust.require(pin(commit=TWO), "check", by_content)
    trust.require(pin(commit=TWO), True, by_content)
    assert trusts(pin(commit=TWO), by_content)
    assert trusts(pin(), by_content)


def test_a_damaged_record_trusts_nobody(settings: Settings) -> None:
    trust.require(pin(), True, settings)
    for path in settings.home.rglob("*.json"):
        path.write_text("{")
    assert not trusts(pin(), settings)


@pytest.mark.parametrize(
    ("line", "repo", "trusted"),
    [
        ("someone_models", "github.com/someone/models", True),
        ("  someone_models  ", "github.com/someone/models", True),
        ("some_one_models", "github.com/some/one_models", True),
        ("some_one_models", "github.com/some_one/models", False),  # it could be meant for some/one_models
        ("someone_model", "github.com/someone/models", False),
        ("", "github.com/someone/models", False),
    ],
)
def test_what_torch_hub_was_told_counts(
    line: str, repo: str, trusted: bool, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "torch" / "hub"
    folder.mkdir(parents=True)
    (folder / "trusted_list").write_text(f"other_repo\n{line}\n")
    assert trusts(pin(repo), settings) is trusted
    assert not trusts(pin(repo, source="git"), settings)
    assert (folder / "trusted_list").read_text() == f"other_repo\n{line}\n"


def test_what_torch_hub_was_told_says_nothing_of_content(by_content: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub"
    folder.mkdir(parents=True)
    (folder / "trusted_list").write_text("someone_models\n")
    assert not trusts(pin(), by_content)


@pytest.mark.parametrize("text", ["y\n", "yes\n", "Y\n", " YES \n"])
def test_at_a_terminal_yes_is_remembered(
    text: str, settings: Settings, answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(text)
    trust.require(pin(), "check", settings)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "github.com/someone/models does not belong to the list of trusted repositories" in printed.err
    trust.require(pin(), "check", settings)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["n\n", "no\n", "\n", "what?\n", "\x04"])
def test_at_a_terminal_anything_else_is_no(
    text: str, settings: Settings, answer: Callable[[str], None]
) -> None:
    answer(text)
    with pytest.raises(UntrustedRepo, match="the answer was"):
        trust.require(pin(), "check", settings)
    assert not settings.home.exists()


def test_false_asks_even_for_what_is_trusted(
    settings: Settings, answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    trust.require(pin(), True, settings)
    answer("n\n")
    with pytest.raises(UntrustedRepo):
        trust.require(pin(), False, settings)
    answer("y\n")
    trust.require(pin("github.com/pytorch/vision"), False, settings)
    assert "pytorch/vision" in capsys.readouterr().err


def test_none_is_check(settings: Settings) -> None:
    trust.require(pin("github.com/pytorch/vision"), None, settings)
    with pytest.raises(UntrustedRepo):
        trust.require(pin(), None, settings)


@pytest.mark.parametrize("trust_repo", ["yes", "", 2, "CHECK"])
def test_other_values_are_refused(trust_repo: str, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="trust_repo"):
        trust.require(pin(), trust_repo, settings)


def test_pins_are_told_apart_whatever_their_names_hold(settings: Settings) -> None:
    trust.require(pin("git@example.com:a/b", source="git"), True, settings)
    assert not trusts(pin("git@example.com:a_b", source="git"), settings)
    assert not trusts(pin("git@example.com:a/b.git", source="git"), settings)
