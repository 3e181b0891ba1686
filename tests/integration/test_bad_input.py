"""Each thing that can be wrong with a name or a repository has an error of its own, which helps, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import isohub
from tests.servers import GitHubServer

PLAIN = "dependencies = []\ndef net():\n    return 1\ndef network():\n    return 2\n"


@pytest.fixture
def hub(github: GitHubServer, home: Path) -> Iterator[isohub.Hub]:
    with isohub.Hub() as hub:
        yield hub
    assert built_environments(home) == []
    assert list(home.rglob("*.partial*")) == []


def built_environments(home: Path) -> list[Path]:
    return [path for path in (home / "envs-v1").glob("*") if path.is_dir()]


def test_an_unknown_repository(hub: isohub.Hub) -> None:
    with pytest.raises(isohub.RepoNotFound, match="somebody/nowhere") as caught:
        hub.load("somebody/nowhere", "net", trust_repo=True)
    assert "GITHUB_TOKEN" in str(caught.value)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize(
    "name", ["nonsense", "a/b/c", "https://example.com/a/b", "/tmp", "a/b:", "a/b:-x", "a/b: "]
)
def test_a_name_that_is_none(hub: isohub.Hub, github: GitHubServer, name: str) -> None:
    with github.nobody_asks(), pytest.raises(isohub.RefError):
        hub.load(name, "net")


def test_an_unknown_ref(hub: isohub.Hub, github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN}).tag("v1.0")
    with pytest.raises(isohub.RefError, match=r"v1\.1") as caught:
        hub.load("somebody/nets:v1.1", "net", trust_repo=True)
    assert "v1.0" in str(caught.value), "close names are suggested"
    assert isinstance(caught.value, ValueError)


def test_a_forks_commit(hub: isohub.Hub, github: GitHubServer) -> None:
    repository = github.create("somebody/nets", {"hubconf.py": PLAIN})
    commit = repository.pull_request(1, {"hubconf.py": "raise SystemExit('a stranger was here')\n"})
    with pytest.raises(isohub.RefError, match="fork") as caught:
        hub.load(f"somebody/nets:{commit}", "net", trust_repo=True)
    assert commit[:7] in str(caught.value)


def test_a_repository_that_nobody_trusts(hub: isohub.Hub, github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN})
    with pytest.raises(isohub.UntrustedRepo, match="somebody/nets") as caught:
        hub.load("somebody/nets", "net")
    assert "trust_repo=True" in str(caught.value)
    assert github.count("zipball") == 0, "nothing of it is fetched"


def test_a_repository_without_a_hubconf(hub: isohub.Hub, github: GitHubServer) -> None:
    github.create("somebody/nets", {"README.md": "no hubconf"})
    with pytest.raises(isohub.HubconfError, match=r"hubconf\.py") as caught:
        hub.load("somebody/nets", "net", trust_repo=True)
    assert "somebody/nets" in str(caught.value)


def test_a_syntax_error(hub: isohub.Hub, github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": "dependencies = []\n\ndef net(:\n"})
    with pytest.raises(isohub.HubconfError, match=r"hubconf\.py.*3") as caught:
        hub.load("somebody/nets", "net", trust_repo=True)
    assert "def net(:" in str(caught.value), "the line is shown"


@pytest.mark.parametrize(
    ("dependencies", "requirements", "words"),
    [
        (["isohub-has-no-such-distribution"], "", ["isohub-has-no-such-distribution", "hubconf.py:1"]),
        (["numpy"], "numpy==0.0.1\n", ["numpy==0.0.1", "requirements.txt:1"]),
        (["numpy", "packaging"], "numpy>=2\nnumpy<1.20\n", ["numpy>=2", "numpy<1.20", "requirements.txt:2"]),
    ],
    ids=["unknown", "no such version", "conflict"],
)
def test_requirements_that_cannot_be_met(
    hub: isohub.Hub, github: GitHubServer, dependencies: list[str], requirements: str, words: list[str]
) -> None:
    files = {"hubconf.py": f"dependencies = {dependencies}\n", "requirements.txt": requirements}
    github.create("somebody/nets", files)
    with pytest.raises(isohub.ResolveError, match="requirements cannot be met") as caught:
        hub.load("somebody/nets", "net", trust_repo=True)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_the_users_own_requirement_is_named(github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": "dependencies = ['numpy']\n"})
    with (
        isohub.Hub(constraints=["numpy<0.1"]) as hub,
        pytest.raises(isohub.ResolveError, match=r"Hub\(constraints=\)"),
    ):
        hub.load("somebody/nets", "net", trust_repo=True)


@pytest.mark.parametrize(
    ("python", "words"),
    [("3.99", "3.99"), (">=3.97", "3.97"), ("/nowhere/python", "/nowhere/python"), ("2.7", "2.7")],
)
def test_a_python_that_is_not_here(github: GitHubServer, home: Path, python: str, words: str) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN})
    with isohub.Hub(python=python) as hub, pytest.raises(isohub.PythonNotFound, match=words) as caught:
        hub.load("somebody/nets", "net", trust_repo=True)
    assert caught.value.hint
    assert built_environments(home) == []


def test_a_hubconf_that_does_not_import(hub: isohub.Hub, github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": "dependencies = []\nimport nobody_has_heard_of_this\n"})
    with pytest.raises(isohub.BuildError, match="does not import") as caught:
        hub.load("somebody/nets", "net", trust_repo=True)
    assert caught.value.step == "import hubconf"
    assert 'requirements=["nobody_has_heard_of_this"]' in str(caught.value), (
        "nobody's package is guessed, but how to name it is said"
    )
    assert "hubconf.py" in (caught.value.tail or "")


def test_an_unknown_entry_point(github: GitHubServer) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN})
    with isohub.Hub() as hub:
        with pytest.raises(isohub.EntryPointNotFound, match="netz") as caught:
            hub.load("somebody/nets", "netz", trust_repo=True)
        assert "did you mean net" in str(caught.value)
        with pytest.raises(isohub.EntryPointNotFound, match="it has net, network"):
            hub.help("somebody/nets", "unlike any other")
        with pytest.raises(isohub.EntryPointNotFound, match="_hidden"):
            hub.load("somebody/nets", "_hidden")


@pytest.mark.parametrize(
    "arguments",
    [
        {"requirements": "numpy"},
        {"requirements": ["numpy="]},
        {"requirements": ["https://user:secret@example.com/x.whl"]},
        {"constraints": [">1"]},
        {"python": "new"},
        {"threads": 0},
        {"timeout": -1},
        {"trust": "everybody"},
    ],
    ids=str,
)
def test_a_setting_that_is_wrong(github: GitHubServer, arguments: dict[str, object]) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN})
    with pytest.raises(isohub.ConfigError) as caught, isohub.Hub(**arguments) as hub:  # type: ignore[arg-type]
        hub.load("somebody/nets", "net", trust_repo=True)
    assert next(iter(arguments)) in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("source", "gitlab"), ("trust_repo", "maybe")])
def test_a_word_that_load_does_not_know(hub: isohub.Hub, github: GitHubServer, name: str, value: str) -> None:
    github.create("somebody/nets", {"hubconf.py": PLAIN})
    with pytest.raises(isohub.ConfigError, match=value):
        hub.load("somebody/nets", "net", **{name: value})  # type: ignore[arg-type]
