"""Secrets and sandboxes on the command line: what a worker was given is in nothing that is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isohub.sandbox import bubblewrap
from tests.command import Command

PROGRAM, MISSING = bubblewrap()
HUBCONF = '''
import os

print("imported with", os.environ.get("MY_TOKEN"))


def tell():
    """Tells swordfish-42."""
    return dict(os.environ)


def fail():
    print("about to fail with", os.environ["MY_TOKEN"])
    raise ValueError("the token is " + os.environ["MY_TOKEN"])


def die():
    print("about to die with", os.environ["MY_TOKEN"], flush=True)
    os._exit(3)


def reads(path):
    return os.path.exists(path)


def writes(path):
    with open(path, "w") as file:
        return file.write("x")
'''
GIVEN = ("--env", "MY_TOKEN=swordfish-42", "--env", "PLAIN=plain-value", "--pass-env", "OTHER_KEY")


@pytest.fixture(scope="module")
def isohub(tmp_path_factory: pytest.TempPathFactory) -> Command:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "repo").mkdir()
    (folder / "repo" / "hubconf.py").write_text(HUBCONF)
    return Command(folder / "home", folder, OTHER_KEY="open-sesame", HOME=str(folder / "user"))


@pytest.mark.parametrize("options", [(), ("--json",), ("--json", "--verbose"), ("--verbose",)])
def test_what_a_worker_was_given_is_not_printed(isohub: Command, options: tuple[str, ...]) -> None:
    done = isohub("run", "./repo", "tell", "--trust", *GIVEN, *options)
    assert done.code == 0
    assert "swordfish-42" not in done.out + done.err
    assert "open-sesame" not in done.out + done.err
    assert "plain-value" in done.out
    if "--json" in options:
        result = json.loads(done.out)["result"]
        assert (result["MY_TOKEN"], result["OTHER_KEY"]) == ("***", "***")


@pytest.mark.parametrize("entry", ["fail", "die"])
@pytest.mark.parametrize("options", [(), ("--json",), ("--verbose",)])
def test_failures_show_none_of_it(isohub: Command, entry: str, options: tuple[str, ...]) -> None:
    done = isohub("run", "./repo", entry, "--trust", *GIVEN, *options)
    assert done.code == 1
    assert "swordfish-42" not in done.out + done.err
    if entry == "die" or "--verbose" in options:
        assert f"about to {entry} with ***" in done.err


def test_the_log_of_a_worker_is_its_own_words(isohub: Command) -> None:
    """It writes there itself, so what it prints is in there. Nobody else can read it."""
    isohub("run", "./repo", "die", "--trust", *GIVEN)
    logs = [path for path in (isohub.home / "logs").glob("*.log") if "swordfish-42" in path.read_text()]
    assert logs
    assert all(path.stat().st_mode & 0o077 == 0 for path in logs)


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_a_sandbox_and_what_it_lets_through(isohub: Command) -> None:
    secret, results = isohub.folder / "secret", isohub.folder / "results"
    secret.write_text("x")
    results.mkdir()
    run = ("run", "./repo", "reads", "--trust", "--json", "--arg", json.dumps(str(secret)))
    assert json.loads(isohub(*run).out)["result"] is True
    assert json.loads(isohub(*run, "--sandbox", "bwrap").out)["result"] is False
    assert json.loads(isohub(*run, ISOHUB_SANDBOX="bwrap").out)["result"] is False
    assert json.loads(isohub(*run, "--sandbox", "bwrap", "--readable", secret).out)["result"] is True
    write = (
        "run",
        "./repo",
        "writes",
        "--trust",
        "--arg",
        json.dumps(str(results / "x")),
        "--sandbox",
        "auto",
    )
    assert isohub(*write).code == 1
    assert isohub(*write, "--writable", results).code == 0
    assert (results / "x").read_text() == "x"


def test_a_sandbox_that_cannot_be_had(isohub: Command, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no permissions' >&2; exit 1\n")
    broken.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    done = isohub("run", "./repo", "tell", "--trust", "--sandbox", "bwrap", PATH=path)
    assert (done.code, done.out) == (1, "")
    assert "no permissions" in done.err
    done = isohub("list", "./repo", "--network")
    assert done.code == 2
    assert "there is none" in done.err
