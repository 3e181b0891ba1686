"""Settings: who has the last word, and what a stranger's file cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from isohub.config import load_settings
from isohub.errors import ConfigError


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and configuration folder, and no variable of isohub's."""
    for name in (
        "HOME",
        "PYTHON",
        "INSTALL_PYTHON",
        "OFFLINE",
        "TIMEOUT",
        "TRUST",
        "RECIPES",
        "SANDBOX",
        "NETWORK",
        "MAX_MEMORY",
        "CPU_THREADS",
        "NICE",
        "IDLE_TIMEOUT",
    ):
        monkeypatch.delenv(f"ISOHUB_{name}", raising=False)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "isohub").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def user_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config" / "isohub" / "config.toml").write_text(text)


def project_file(text: str) -> None:
    Path("isohub.toml").write_text(text)


def test_the_nearer_to_the_call_the_more_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().timeout is None
    user_file(tmp_path, "timeout = 1\n")
    assert load_settings().timeout == 1
    project_file("timeout = 2\n")
    assert load_settings().timeout == 2
    monkeypatch.setenv("ISOHUB_TIMEOUT", "3")
    assert load_settings().timeout == 3
    assert load_settings(timeout=4).timeout == 4


def test_what_is_not_said_leaves_the_rest(tmp_path: Path) -> None:
    user_file(tmp_path, 'offline = true\ntrust = "content"\n')
    project_file('python = ">=3.8,<3.11"\n')
    settings = load_settings(home=str(tmp_path / "here"))
    assert (settings.offline, settings.trust, settings.python) == (True, "content", ">=3.8,<3.11")
    assert settings.home == tmp_path / "here"


@pytest.mark.parametrize(
    "line",
    [
        'home = "/tmp"',
        'trust = "repo"',
        'github_url = "https://example.com"',
        'github_api_url = "https://example.com"',
        'recipes = "recipes"',
        "install_python = true",
        'max_memory = "1TB"',
        "cpu_threads = 64",
        "nice = 0",
        "idle_timeout = 1",
        'python = "./python"',
        'python = "/tmp/python3.11"',
    ],
)
def test_a_project_cannot_say_what_could_hurt(line: str) -> None:
    project_file(line)
    with pytest.raises(ConfigError, match="stranger"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tmieout = 1", "unknown setting 'tmieout'"),
        ("timeout = 0", "more than 0"),
        ('timeout = "soon"', "not a number of seconds"),
        ('offline = "perhaps"', "not a yes or no"),
        ('trust = "everybody"', "'everybody'"),
        ("timeout = ", "not valid TOML"),
        ('github_token = "x"', "unknown setting"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    user_file(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_settings()
    assert "config.toml" in str(caught.value)


def test_a_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", " ghp_secret ")
    settings = load_settings()
    assert settings.github_token == "ghp_secret"
    assert "secret" not in repr(settings)
    monkeypatch.setenv("GITHUB_TOKEN", "  ")
    assert load_settings().github_token is None


def test_limits_are_read_from_files_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file(tmp_path, 'max_memory = "8GB"\ncpu_threads = 4\nnice = 5\nidle_timeout = 600\n')
    settings = load_settings()
    assert (settings.max_memory, settings.cpu_threads, settings.nice) == (8 * 10**9, 4, 5)
    assert settings.idle_timeout == 600
    monkeypatch.setenv("ISOHUB_MAX_MEMORY", "512MiB")
    monkeypatch.setenv("ISOHUB_CPU_THREADS", "2")
    assert (load_settings().max_memory, load_settings(cpu_threads=1).cpu_threads) == (512 << 20, 1)
    assert load_settings().cpu_threads == 2
