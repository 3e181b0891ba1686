"""Secrets in texts: which are found, and that they come out of no error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub import masking
from isohub.errors import BuildError, IsohubError, RemoteError, WorkerDied
from isohub.masking import is_secret_name, keep_secret, keep_secrets, masked, masked_values
from isohub.rpc.raised import remote_error
from isohub_worker.faults import Fault


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_kept", set())


@pytest.mark.parametrize(
    "name",
    """
    HF_TOKEN GITHUB_TOKEN GH_PAT AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN OPENAI_API_KEY WANDB_API_KEY APIKEY MY_KEY KEY
    DB_PASSWORD PGPASSWORD MYSQL_PWD DB_PASS GPG_PASSPHRASE UV_INDEX_X_PASSWORD client_secret SSH_PRIVATE_KEY
    AZURE_CREDENTIALS COMET_APIKEY KEYS
    """.split(),
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    """
    HOME PATH PWD OLDPWD TOKENIZERS_PARALLELISM KEYBOARD MONKEY PASSENGER COMPASS SSH_AUTH_SOCK XDG_SESSION_ID PATTERN KEYMAP
    """.split(),
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@example.com/simple", "https://***@example.com/simple"),
        ("https://token@example.com", "https://***@example.com"),
        ("git+https://u:p@ss@example.com/x", "git+https://***@example.com/x"),
        ("a https://u:p@one.example/x b http://v:q@two", "a https://***@one.example/x b http://***@two"),
        ("https://u:p@one.example,https://v:q@two/", "https://***@one.example,https://***@two/"),
        ("https://u:p@a/,/plain/folder", "https://***@a/,/plain/folder"),
        ("name=https://u:p@a/", "name=https://***@a/"),
        ("'https://u:p@a/'", "'https://***@a/'"),
        ("https://me:pa/ss@word@index.example/x", "https://***@index.example/x"),
        ("me:pass@proxy:3128", "***@proxy:3128"),
        ("https://a.example/x?token=1#y", "https://a.example/x?***"),
        ("https://example.com?token=x", "https://example.com?***"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
        ("remote: ghp_0123456789abcdefghij is no user", "remote: *** is no user"),
        ("github_pat_11ABCDEFG0123456789_abc", "***"),
        ("using hf_abcdefghijklmnopqrst.", "using ***."),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://index.example/simple",
        "https://example.com/a@b",
        "https://example.com:8080/a@b",
        "numpy @ https://example.com/x",
        "someone@example.com",
        "git@github.com:owner/name.git@v1",
        "git@host:name@v1",
        "owner/name@main: what? hf_hub, sk-learn, basic english",
        "",
    ],
)
def test_what_does_not_is_left_alone(text: str) -> None:
    assert masked(text) == text


@given(st.text("abcXYZ019:@%", min_size=1))
def test_no_password_survives(secret: str) -> None:
    assert masked(f"x https://{secret}@example.com/y z") == "x https://***@example.com/y z"


def test_variables_called_like_secrets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "A_TOKEN": "correct horse",
        "A_KEY": "correct horse battery",
        "B_TOKEN": "true",
    }.items():
        monkeypatch.setenv(name, value)
    assert masked("<correct horse battery> <correct horse> true") == "<***> <***> true"


def test_what_a_hub_was_given_is_a_secret_too() -> None:
    keep_secrets({"MY_SECRET": "swordfish", "MODE": "quickly", "SHORT_KEY": "abc"})
    keep_secret("open sesame")
    assert masked("swordfish, quickly, abc, open sesame") == "***, quickly, abc, ***"


def test_texts_at_any_depth_are_masked() -> None:
    keep_secret("swordfish")
    value = {"a": ["swordfish", 1, None, {"swordfish": True}], "b": "x swordfish"}
    assert masked_values(value) == {"a": ["***", 1, None, {"***": True}], "b": "x ***"}


@pytest.mark.parametrize(
    "text",
    ["://" * 300_000, "a:" * 300_000, "@" * 300_000, "bearer " * 100_000, "ghp_" * 100_000, "x" * 1_000_000],
)
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    # What looks again and again at what it has seen would take hours.
    assert masked(text)


@pytest.mark.parametrize("kind", [IsohubError, WorkerDied, BuildError])
def test_errors_show_no_secrets(kind: type[IsohubError]) -> None:
    keep_secret("swordfish")
    more = {"step": "swim"} if kind is BuildError else {}
    error = kind("the swordfish", tail="it swordfish", hint="no swordfish", **more)
    assert "swordfish" not in f"{error} {error!r} {error.args} {error.message} {error.tail} {error.hint}"


def test_what_the_worker_raised_shows_no_secrets() -> None:
    keep_secret("swordfish")
    fault = Fault(
        "ValueError", "ValueError", "bad swordfish", ("bad swordfish", 3), "File x\nValueError: bad swordfish"
    )
    error = remote_error(fault, Path("log"), lambda: "said swordfish")
    assert isinstance(error, ValueError)
    assert isinstance(error, RemoteError)
    shown = f"{error} {error!r} {error.args} {error.traceback_text} {error.tail} {error.__cause__}"
    assert "swordfish" not in shown
    assert error.args[1] == 3
