"""``isohub lock`` and ``isohub sync``, as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import Command
from tests.servers import GitHubServer

REPO = "someone/nets"
HUBCONF = 'dependencies = ["six"]\nimport six\ndef net():\n    return six.__version__\n'


@pytest.fixture
def command(home: Path, tmp_path: Path, github: GitHubServer) -> Command:
    github.create(REPO, {"hubconf.py": HUBCONF})
    return Command(home, tmp_path)


def test_there_and_back(command: Command, github: GitHubServer, tmp_path: Path) -> None:
    known = github.environment()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hubconf.py").write_text("def mine():\n    return 4\n")
    done = command("lock", REPO, "./mine", "--trust", "--constraint", "six<1.17", **known)
    assert done.code == 0, done.err
    assert done.err.endswith("wrote isohub.lock\n")
    assert [line.split()[0] for line in done.out.splitlines()][1:] == [
        f"{github.url.partition('://')[2]}/{REPO}",
        str(tmp_path / "mine"),
    ]
    files = sorted(path.name for path in tmp_path.glob("*lock*"))
    assert files == ["isohub.lock", "pylock.isohub-mine.toml", "pylock.isohub-nets.toml"]
    github.repositories[REPO].commit({"hubconf.py": "def other(): pass\n"})

    # Here it is all there, and nobody is asked.
    with github.nobody_asks():
        done = command("sync", "--offline", "--json", **known)
    assert done.code == 0, done.err
    here = json.loads(done.out)
    assert here["lock"] == str(tmp_path / "isohub.lock")
    assert [item["built"] for item in here["environments"]] == [False, False]

    # Elsewhere it is built, the same.
    done = command("sync", "isohub.lock", "--trust", "--home", tmp_path / "elsewhere", **known)
    assert done.code == 0, done.err
    assert [line.split("  ")[-1].split()[0] for line in done.out.splitlines()[1:]] == ["built", "built"]
    done = command("sync", "--json", "--home", tmp_path / "elsewhere", **known)
    there = json.loads(done.out)
    for one, other in zip(here["environments"], there["environments"], strict=True):
        assert other.pop("path").startswith(str(tmp_path / "elsewhere"))
        assert one.pop("path").startswith(str(tmp_path / "home"))
        assert one == other
    # What is installed can be read without isohub.
    assert 'name = "six"' in (tmp_path / "pylock.isohub-nets.toml").read_text()


def test_a_file_is_replaced_or_added_to(command: Command, github: GitHubServer, tmp_path: Path) -> None:
    known = github.environment()
    github.create("other/nets", {"hubconf.py": "def net(): pass\n"})
    options = ("--trust", "--json", "-o", "locks.lock")

    def locked(*arguments: str) -> list[tuple[str, str]]:
        done = command("lock", *arguments, *options, **known)
        assert done.code == 0, done.err
        repositories = json.loads(done.out)["repositories"]
        return [(item["repo"].partition("/")[2], item["pylock"]) for item in repositories]

    commit = github.repositories[REPO].git("rev-parse", "main")
    alone, other = (REPO, "pylock.locks-nets.toml"), ("other/nets", "pylock.locks-nets.toml")
    assert locked(REPO) == [alone]
    assert locked("other/nets") == [other]
    assert locked(REPO, "--add") == [other, (REPO, f"pylock.locks-nets-{commit[:12]}.toml")]
    # The same again under another name is one entry, and a newer one takes the place of an older.
    assert [name for name, _ in locked(f"{REPO}:main", "--add")] == ["other/nets", REPO]
    text = (tmp_path / "locks.lock").read_text()
    assert f'asked = ["{REPO}", "{REPO}:main"]' in text
    github.repositories[REPO].commit({"hubconf.py": HUBCONF + "# newer\n"})
    assert [name for name, _ in locked(REPO, "--add", "--force-reload")] == ["other/nets", REPO]
    assert github.repositories[REPO].git("rev-parse", "main") in (tmp_path / "locks.lock").read_text()


def test_exit_codes(command: Command, github: GitHubServer, tmp_path: Path) -> None:
    known = github.environment()
    lock = tmp_path / "isohub.lock"
    done = command("sync", **known)
    assert (done.code, done.out) == (2, "")
    assert "there is no isohub.lock" in done.err
    assert "isohub lock REPO" in done.err
    assert command("lock", REPO, "-o", tmp_path / "no" / "folder", **known).code == 2
    assert command("lock", REPO, "-o", tmp_path, **known).code == 2
    assert command("lock", REPO, **known).code == 3
    assert not lock.exists()
    assert github.count("zipball") == 0, (
        "nothing is fetched for a file that cannot be written or code that is not trusted"
    )

    assert command("lock", REPO, "--trust", "-q", **known).code == 0
    text = lock.read_text()
    elsewhere = ("--home", tmp_path / "elsewhere")
    assert command("sync", *elsewhere, **known).code == 3
    assert command("sync", "--trust", "--offline", *elsewhere, **known).code == 4
    python = next(line for line in text.splitlines() if line.startswith("python = "))
    lock.write_text(text.replace(python, 'python = "3.99.0"'))
    done = command("sync", *elsewhere, **known)
    assert (done.code, "was locked on Python 3.99.0" in done.err) == (5, True)
    lock.write_text(text.replace("sha256:", "sha256:00", 1))
    assert command("sync", *elsewhere, **known).code == 2
    lock.write_text(text)
    pylock = tmp_path / "pylock.isohub-nets.toml"
    pylock.write_text(pylock.read_text() + "#\n")
    done = command("sync", *elsewhere, **known)
    assert (done.code, "is not the one that isohub.lock was written with" in done.err) == (2, True)
    assert not [*(tmp_path / "elsewhere" / "envs-v1").glob("*/manifest.json")]
