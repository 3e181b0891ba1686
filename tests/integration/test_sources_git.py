"""Repositories behind git URLs, through the real git binary: over HTTP, and as files."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.errors import FetchError, OfflineError, RefError, RepoNotFound
from isohub.progress import Progress
from isohub.sources import catalog, git
from isohub.sources.ref import parse_git
from isohub.sources.tree import Pin, Tree
from tests.servers import GitHubServer, GitRepository, Link, Program

QUIET = Progress(False)
FILES = {
    "hubconf.py": "x = 1\n",
    "models/__init__.py": "",
    "run.sh": Program("#!/bin/sh\n"),
    "link": Link("models"),
}


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    repository = GitRepository(tmp_path / "a folder" / "models.git")
    repository.commit(FILES)
    return repository


def resolve(
    repo: str, settings: Settings, *, force_reload: bool = False, skip_validation: bool = False
) -> Pin:
    return catalog.resolve(
        repo,
        source="git",
        settings=settings,
        force_reload=force_reload,
        skip_validation=skip_validation,
        progress=QUIET,
    )


def load(repo: str, settings: Settings, *, force_reload: bool = False) -> Tree:
    pin = resolve(repo, settings, force_reload=force_reload)
    return catalog.fetch(pin, settings=settings, force_reload=force_reload, progress=QUIET)


def everything(*folders: Path) -> str:
    """The names and content of all files, as text."""
    paths = [path for folder in folders for path in folder.rglob("*")]
    return "\n".join(f"{path}\n{path.read_bytes()!r}" if path.is_file() else str(path) for path in paths)


def test_a_repository_is_fetched_as_git_has_it(repository: GitRepository, settings: Settings) -> None:
    tree = load(repository.url, settings)
    commit = repository.git("rev-parse", "main")
    assert tree.pin == Pin("git", repository.url, "refs/heads/main", commit)
    assert tree.date == GitRepository.EPOCH
    assert (tree.path / "hubconf.py").read_text() == "x = 1\n"
    assert (tree.path / "link").readlink() == Path("models")
    assert os.access(tree.path / "run.sh", os.X_OK)
    assert sorted(path.name for path in tree.path.iterdir()) == ["hubconf.py", "link", "models", "run.sh"]
    assert sorted(path.name for path in tree.path.parent.iterdir()) == ["tree", "tree.json"]


def test_a_path_is_a_url_as_well(repository: GitRepository, settings: Settings) -> None:
    assert load(f"{repository.path}@main", settings) == load(repository.url, settings)


def test_refs_of_every_kind(repository: GitRepository, settings: Settings) -> None:
    first = repository.git("rev-parse", "main")
    second = repository.commit({"hubconf.py": "x = 2\n"}, branch="dev/next", parent="main")
    third = repository.commit({"hubconf.py": "x = 3\n"}, branch="dev/next")
    repository.tag("v1", at="main")
    repository.tag("annotated", at="dev/next", annotated=True)
    for ref, full, commit in (
        ("main", "refs/heads/main", first),
        ("dev/next", "refs/heads/dev/next", third),
        ("refs/heads/dev/next", "refs/heads/dev/next", third),
        ("refs/tags/v1", "refs/tags/v1", first),
        ("annotated", "refs/tags/annotated", third),
        (third, third, third),
        (third[:7], third, third),
        (second, second, second),  # no branch is at it, but in its history it is
    ):
        tree = load(f"{repository.url}@{ref}", settings)
        assert (tree.pin.ref, tree.pin.commit) == (full, commit)
    assert (load(f"{repository.url}@{second}", settings).path / "hubconf.py").read_text() == "x = 2\n"


def test_a_branch_goes_before_a_tag_of_its_name(repository: GitRepository, settings: Settings) -> None:
    branch = repository.commit({"x": ""}, branch="v1")
    repository.tag("v1", at="main")
    with pytest.warns(UserWarning, match="ambiguous"):
        assert resolve(f"{repository.url}@v1", settings).commit == branch


def test_a_server_that_hands_out_only_heads(repository: GitRepository, settings: Settings) -> None:
    old = repository.git("rev-parse", "main")
    repository.commit({"x": ""})
    repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    repository.git("config", "uploadpack.allowFilter", "false")
    tree = load(f"{repository.url}@{old}", settings)
    assert (tree.pin.commit, tree.date) == (old, GitRepository.EPOCH)


def test_longer_commit_ids(tmp_path: Path, settings: Settings) -> None:
    repository = GitRepository(tmp_path / "sha256.git", object_format="sha256")
    old = repository.commit(FILES)
    new = repository.commit({"x": ""})
    for ref, commit in (("main", new), (new, new), (old, old)):
        assert load(f"{repository.url}@{ref}", settings).pin.commit == commit


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("mian", ["did you mean 'main'?"]),
        ("refs/pull/1/head", ["anybody"]),
        ("0" * 40, ["no branch or tag"]),
        ("0000000", ["full id"]),
    ],
)
def test_an_unknown_ref_has_its_own_error(
    repository: GitRepository, settings: Settings, ref: str, words: list[str]
) -> None:
    repository.pull_request(1, {"x": ""})
    with pytest.raises(RefError) as caught:
        resolve(f"{repository.url}@{ref}", settings)
    assert all(word in str(caught.value) for word in [repository.url, *words])


def test_a_strangers_commit_is_refused_although_the_server_has_it(
    repository: GitRepository, settings: Settings
) -> None:
    stranger = repository.pull_request(1, {"hubconf.py": "import os\n"})
    with pytest.raises(RefError, match="refs/pull/1/head"):
        resolve(f"{repository.url}@{stranger}", settings)
    pin = resolve(f"{repository.url}@{stranger}", settings, skip_validation=True)
    tree = catalog.fetch(pin, settings=settings, progress=QUIET)
    assert (tree.path / "hubconf.py").read_text() == "import os\n"


def test_an_unknown_repository_has_its_own_error(
    github: GitHubServer, tmp_path: Path, settings: Settings
) -> None:
    for url in ((tmp_path / "missing").as_uri(), f"{github.url}/owner/missing"):
        with pytest.raises(RepoNotFound) as caught:
            resolve(url, settings)
        assert url in str(caught.value)
        assert caught.value.tail


def test_what_is_no_git_server_is_an_error(github: GitHubServer, settings: Settings) -> None:
    github.fail("info/refs", 200, body=b"<html>\n<title>Log in</title>\n</html>\n")
    with pytest.raises(FetchError) as caught:
        resolve(f"{github.url}/owner/name", settings)
    assert caught.value.tail


def test_a_server_that_says_nothing_is_given_up(github: GitHubServer) -> None:
    github.fail("info/refs", hang=True)
    started = time.monotonic()
    with pytest.raises(FetchError, match="did not end within"):
        git.resolve(parse_git(f"{github.url}/owner/name"), patience=1.0)
    assert time.monotonic() - started < 10


def test_what_is_cached_is_used_without_git(
    repository: GitRepository, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = load(repository.url, settings)
    repository.commit({"hubconf.py": "x = 2\n"})
    monkeypatch.setenv("PATH", "")
    for where in (settings, dataclasses.replace(settings, offline=True)):
        assert load(repository.url, where) == tree
        assert load(f"{repository.url}@main", where) == tree
    with pytest.raises(OfflineError, match="main"):
        load(f"{repository.url}@v1", dataclasses.replace(settings, offline=True))
    with pytest.raises(FetchError, match="needs git"):
        load(f"{repository.url}@v1", settings)


def test_force_reload_asks_anew(repository: GitRepository, settings: Settings) -> None:
    old = load(repository.url, settings)
    commit = repository.commit({"hubconf.py": "x = 2\n"})
    assert load(repository.url, settings, force_reload=True).pin.commit == commit
    assert old.path.is_dir()


def test_a_commit_that_is_gone_says_how_to_go_on(repository: GitRepository, settings: Settings) -> None:
    pin = dataclasses.replace(resolve(repository.url, settings), commit="1" * 40)
    with pytest.raises(FetchError, match="force_reload=True"):
        catalog.fetch(pin, settings=settings, progress=QUIET)
    assert "partial" not in everything(settings.home)


def test_credentials_reach_the_server_and_nothing_else(
    github: GitHubServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in no argument list, no file and no error; nor are the user's helpers told to keep them."""
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    record = tmp_path / "arguments"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {record}\nPATH=${{PATH#*:}} exec git "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    stored = tmp_path / "stored"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "credential.helper")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"store --file={stored}")

    github.token = "p@ss/w0rd"
    github.create("owner/name", FILES)
    with pytest.raises(RepoNotFound):
        resolve(f"{github.url}/owner/name", settings)
    url = github.url.replace("://", "://someone:p%40ss%2Fw0rd@")
    tree = load(f"{url}/owner/name@main", settings)
    assert tree.pin.repo == f"{github.url}/owner/name"
    with pytest.raises(RepoNotFound) as caught:
        resolve(f"{url}/owner/missing", settings)

    assert "ls-remote" in record.read_text()
    for secret in ("p@ss", "p%40ss", "w0rd", "someone"):
        assert secret not in str(caught.value)
        assert secret not in record.read_text()
        assert secret not in everything(settings.home)
        assert secret not in repr(tree)
    assert not stored.exists()


def test_nothing_of_the_repository_or_the_user_runs(
    repository: GitRepository, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters, hooks, submodules and the ext protocol could all run programs."""
    ran = tmp_path / "ran"
    config = tmp_path / "config"
    hooks = tmp_path / "templates" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("reference-transaction", "post-checkout", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    config.write_text(
        f'[filter "lfs"]\n\tsmudge = touch {ran}; cat\n\tprocess = touch {ran}; false\n\trequired = true\n'
        f"[init]\n\ttemplateDir = {tmp_path / 'templates'}\n[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch {ran}\n"
        '[protocol "ext"]\n\tallow = always\n[submodule]\n\trecurse = true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    repository.commit(
        {
            ".gitattributes": "*.bin filter=lfs\n",
            "weights.bin": "version https://git-lfs.github.com/spec/v1\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch% {ran}"\n',
            ".git-hooks/post-checkout": Program(f"#!/bin/sh\ntouch {ran}\n"),
        }
    )
    tree = load(repository.url, settings)
    assert (tree.path / "weights.bin").read_text().startswith("version https://git-lfs")
    assert not ran.exists()


def test_the_tree_is_what_githubs_archive_would_be(repository: GitRepository, settings: Settings) -> None:
    repository.commit(
        {
            ".gitattributes": "tests export-ignore\nversion.py export-subst\n*.txt text eol=lf\n",
            "tests/test.py": "",
            "version.py": "commit = '$Format:%H$'\n",
            "dos.txt": "a\r\nb\r\n",
        }
    )
    tree = load(repository.url, settings)
    assert not (tree.path / "tests").exists()
    assert (tree.path / "version.py").read_text() == f"commit = '{tree.pin.commit}'\n"


def test_links_that_lead_out_are_refused(repository: GitRepository, settings: Settings) -> None:
    repository.commit({"evil": Link("../../../../etc/passwd")})
    with pytest.raises(FetchError, match="leads out"):
        load(repository.url, settings)
    assert "partial" not in everything(settings.home)


def test_it_works_from_inside_another_repository(
    repository: GitRepository, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook of git's sets variables, and the folder that isohub is called in may be a stranger's."""
    other = GitRepository(tmp_path / "other.git")
    ran = tmp_path / "ran"
    other.git("config", "alias.ls-remote", f"!touch {ran}")
    other.git("config", "core.sshCommand", f"touch {ran}")
    other.git("config", f"url.{tmp_path / 'evil'}.insteadOf", repository.url)
    monkeypatch.chdir(other.path)
    monkeypatch.setenv("GIT_DIR", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / "index"))
    assert (load(repository.url, settings).path / "hubconf.py").is_file()
    assert not ran.exists()


def test_an_interrupt_ends_git_and_all_that_it_started(github: GitHubServer, settings: Settings) -> None:
    github.fail("info/refs", hang=True)
    code = (
        "import sys; from isohub.sources import git; from isohub.sources.ref import parse_git\n"
        "try: git.resolve(parse_git(sys.argv[1]))\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, f"{github.url}/owner/name"])
    while github.count("info/refs") == 0:
        assert process.poll() is None
    children = descendants(process.pid)
    assert children
    process.send_signal(2)
    assert process.wait(timeout=30) == 130
    deadline = time.monotonic() + 10
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline


def descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in table.splitlines()}
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_trees_can_be_read_by_those_who_may_read_the_home(
    repository: GitRepository, settings: Settings
) -> None:
    tree = load(repository.url, settings)
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE((tree.path / "hubconf.py").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tree.path / "run.sh").stat().st_mode) == 0o777 & ~umask
