from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.envs.pip_settings import PipSettings, read_pip_settings
from isohub.envs.uv import Uv, load_uv
from isohub.errors import ConfigError


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any settings of pip's or uv's; its files go below the path."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "XDG_", "SSL_CERT_")):
            monkeypatch.delenv(name)
    for name in ("etc", "home", "venv", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.chdir(tmp_path / "cwd")
    # The machine's last file has a fixed place, so the real one is overridden.
    write(
        tmp_path / "venv/pip.conf",
        "[global]\nindex-url=\nextra-index-url=\nfind-links=\ncert=\nconstraint=\n",
    )
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def uv(machine: Path) -> Uv:
    return load_uv(Settings(home=machine / "isohub"))


def test_nothing_is_set() -> None:
    found = read_pip_settings()
    assert (found.index_url, found.extra_index_urls, found.find_links, found.no_index) == (
        None,
        (),
        (),
        False,
    )


def test_each_file_overrides_the_ones_before(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "venv/pip.conf").unlink()
    steps = [
        machine / "etc/pip/pip.conf",
        machine / "home/.pip/pip.conf",
        machine / "home/.config/pip/pip.conf",
        machine / "venv/pip.conf",
    ]
    for number, path in enumerate(steps):
        write(path, f"[global]\nindex-url = https://{number}.example/simple\n")
        assert read_pip_settings().index_url == f"https://{number}.example/simple"
    write(machine / "named.conf", "[global]\nindex-url = https://named.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(machine / "named.conf"))
    assert read_pip_settings().index_url == "https://named.example/simple"
    write(machine / "etc/pip/pip.conf", "[install]\nindex-url = https://install.example/simple\n")
    assert read_pip_settings().index_url == "https://install.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/simple")
    assert read_pip_settings().index_url == "https://variable.example/simple"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_INDEX_URL")
    assert read_pip_settings() == PipSettings()


def test_a_named_file_replaces_the_user_s(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(machine / "home/.config/pip/pip.conf", "[global]\nfind-links = /links\n")
    write(machine / "named.conf", "")
    (machine / "venv/pip.conf").unlink()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(machine / "named.conf"))
    assert "/links" not in read_pip_settings().find_links


def test_all_keys(machine: Path) -> None:
    write(
        machine / "venv/pip.conf",
        "[global]\n"
        "index_url = https://index.example/simple\n"
        "extra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n"
        "--find-links = links https://links.example/page.html\n"
        "no-index = yes\n"
        "trusted-host = a.example b.example\n"
        "cert = ca.pem\n"
        "[install]\nconstraint = bounds.txt\n"
        "[download]\nindex-url = https://ignored.example/simple\n",
    )
    cwd = str(machine / "cwd")
    assert read_pip_settings() == PipSettings(
        index_url="https://index.example/simple",
        extra_index_urls=("https://one.example/simple", "https://two.example/simple"),
        find_links=(f"{cwd}/links", "https://links.example/page.html"),
        no_index=True,
        trusted_hosts=("a.example", "b.example"),
        cert=f"{cwd}/ca.pem",
        constraints=(f"{cwd}/bounds.txt",),
        files=read_pip_settings().files,
    )


def test_a_broken_file(machine: Path) -> None:
    write(machine / "home/.config/pip/pip.conf", "index-url = x\n")
    with pytest.raises(ConfigError, match=r"home/\.config/pip/pip\.conf"):
        read_pip_settings()


def test_what_pip_was_told_reaches_uv(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "my links").mkdir()
    (machine / "links").mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example/simple https://two.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{machine}/links {machine}/missing https://links.example/")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "a.example")
    monkeypatch.setenv("PIP_CERT", f"{machine}/ca.pem")
    monkeypatch.setenv("PIP_CONSTRAINT", f"{machine}/bounds.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    found = uv(machine)
    assert {
        name: found.settings.environ[name]
        for name in found.settings.environ
        if name.startswith(("UV_", "SSL_"))
    } == {
        "UV_DEFAULT_INDEX": "https://user:secret@index.example/simple",
        "UV_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": f"{machine}/links,https://links.example/",
        "UV_INSECURE_HOST": "a.example",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "SSL_CERT_FILE": f"{machine}/ca.pem",
    }
    assert found.settings.options == ("--index-strategy", "unsafe-best-match", "--no-index")
    assert found.settings.constraints == (machine / "bounds.txt",)


@pytest.mark.parametrize(
    ("name", "value", "pip"),
    [
        ("UV_DEFAULT_INDEX", "https://uv.example/simple", "PIP_INDEX_URL"),
        ("UV_INDEX_URL", "https://uv.example/simple", "PIP_INDEX_URL"),
        ("UV_INDEX", "https://uv.example/simple", "PIP_EXTRA_INDEX_URL"),
        ("UV_EXTRA_INDEX_URL", "https://uv.example/simple", "PIP_EXTRA_INDEX_URL"),
        ("UV_FIND_LINKS", "https://uv.example/simple", "PIP_FIND_LINKS"),
        ("UV_INSECURE_HOST", "uv.example", "PIP_TRUSTED_HOST"),
        ("SSL_CERT_FILE", "/uv.pem", "PIP_CERT"),
    ],
)
def test_a_variable_of_uv_s_wins(
    machine: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, pip: str
) -> None:
    monkeypatch.setenv(pip, "https://pip.example/simple")
    monkeypatch.setenv(name, value)
    found = uv(machine)
    assert found.settings.environ[name] == value
    assert not any("pip.example" in text for text in found.settings.environ.values())
    assert found.settings.options == ()


@pytest.mark.parametrize(
    ("toml", "pip"),
    [
        ('index-url = "https://uv.example/simple"', "PIP_INDEX_URL"),
        ('[[index]]\nurl = "https://uv.example/simple"\ndefault = true', "PIP_INDEX_URL"),
        ('[pip]\nindex-url = "https://uv.example/simple"', "PIP_INDEX_URL"),
        ('[[index]]\nurl = "https://uv.example/simple"', "PIP_EXTRA_INDEX_URL"),
        ('extra-index-url = ["https://uv.example/simple"]', "PIP_EXTRA_INDEX_URL"),
        ("native-tls = true", "PIP_CERT"),
    ],
)
@pytest.mark.parametrize("file", ["home/.config/uv/uv.toml", "etc/uv/uv.toml"])
def test_a_file_of_uv_s_wins(
    machine: Path, monkeypatch: pytest.MonkeyPatch, toml: str, pip: str, file: str
) -> None:
    write(machine / file, toml)
    monkeypatch.setenv(pip, "https://pip.example/simple")
    assert not any("pip.example" in text for text in uv(machine).settings.environ.values())
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert any("pip.example" in text for text in uv(machine).settings.environ.values())


def test_settings_of_the_working_directory_do_not_count(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(machine / "cwd/uv.toml", "this is not even TOML")
    found = uv(machine)
    assert found.folder.is_relative_to(machine / "isohub")
    assert (found.folder / "uv.toml").read_text() == ""


def test_uv_gets_no_more_than_it_needs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    monkeypatch.setenv("UV_PYTHON", "/somewhere")
    monkeypatch.setenv("UV_CACHE_DIR", "cache")
    monkeypatch.setenv("UV_FIND_LINKS", "links,https://links.example/")
    monkeypatch.setenv("CFLAGS", "-O1")
    environ = uv(machine).settings.environ
    assert not {"secret", "/somewhere"} & set(environ.values())
    assert "UV_NO_VERIFY_HASHES" not in environ
    assert environ["CFLAGS"] == "-O1"
    assert environ["UV_CACHE_DIR"] == str(machine / "cwd/cache")
    assert environ["UV_FIND_LINKS"] == f"{machine}/cwd/links,https://links.example/"


def test_files_of_constraints(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "/pip.txt")
    monkeypatch.setenv("UV_CONSTRAINT", "one.txt  /two\\ words.txt")
    found = uv(machine)
    assert found.settings.constraints == (machine / "cwd/one.txt", Path("/two words.txt"))
    write(machine / "cwd/one.txt", "six<2\n")
    bounded = uv(machine).digest
    write(machine / "cwd/one.txt", "six<3\n")
    assert uv(machine).digest != bounded


def test_a_broken_file_of_uv_s(machine: Path) -> None:
    write(machine / "home/.config/uv/uv.toml", "not TOML")
    with pytest.raises(ConfigError, match=r"uv\.toml"):
        uv(machine)
