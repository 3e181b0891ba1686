"""Repositories on a stand-in for GitHub: real git over smart HTTP, real archives, and its manners."""

from __future__ import annotations

import base64
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isohub.config import Settings
from isohub.errors import FetchError, OfflineError, RefError, RepoNotFound
from isohub.progress import Progress, Step
from isohub.sources import catalog
from isohub.sources import github as github_source
from isohub.sources.ref import parse_github
from isohub.sources.tree import Pin, Tree
from isohub.web import Patience
from tests.servers import CERTIFICATE, GitHubServer, GitRepository, Link, Program

QUIET = Progress(False)
HURRIED = Patience(tries=3, silence=0.5, pause=0.01, deadline=2.0)
FILES = {
    "hubconf.py": "dependencies = []\n",
    "models/__init__.py": "",
    "run.sh": Program("#!/bin/sh\n"),
    "link": Link("models"),
}


@pytest.fixture
def repository(github: GitHubServer) -> GitRepository:
    return github.create("owner/name", FILES)


def resolve(
    repo: str, settings: Settings, *, force_reload: bool = False, skip_validation: bool = False
) -> Pin:
    return catalog.resolve(
        repo,
        source="github",
        settings=settings,
        force_reload=force_reload,
        skip_validation=skip_validation,
        progress=QUIET,
    )


def load(repo: str, settings: Settings, *, force_reload: bool = False) -> Tree:
    pin = resolve(repo, settings, force_reload=force_reload)
    return catalog.fetch(pin, settings=settings, force_reload=force_reload, progress=QUIET)


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in settings.home.rglob("*") if "partial" in path.name]


def server_name(github: GitHubServer) -> str:
    return github.url.removeprefix("http://")


def test_a_repository_is_fetched_as_git_has_it(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    commit = repository.git("rev-parse", "main")
    tree = load("owner/name", settings)
    assert tree.pin == Pin("github", f"{server_name(github)}/owner/name", "refs/heads/main", commit)
    assert tree.date == GitRepository.EPOCH
    assert (tree.path / "hubconf.py").read_text() == "dependencies = []\n"
    assert (tree.path / "models" / "__init__.py").is_file()
    assert (tree.path / "link").readlink() == Path("models")
    assert os.access(tree.path / "run.sh", os.X_OK)
    assert sorted(path.name for path in tree.path.iterdir()) == ["hubconf.py", "link", "models", "run.sh"]
    assert github.count("/api/") == 0


def test_refs_of_every_kind(repository: GitRepository, settings: Settings) -> None:
    first = repository.git("rev-parse", "main")
    second = repository.commit({"hubconf.py": "x = 2\n"}, branch="dev/next", parent="main")
    repository.tag("v1", at="main")
    repository.tag("annotated", at="dev/next", annotated=True)
    for ref, full, commit in (
        ("main", "refs/heads/main", first),
        ("dev/next", "refs/heads/dev/next", second),
        ("refs/heads/dev/next", "refs/heads/dev/next", second),
        ("v1", "refs/tags/v1", first),
        ("refs/tags/v1", "refs/tags/v1", first),
        ("annotated", "refs/tags/annotated", second),
        (second, second, second),
        (second[:7], second, second),
    ):
        pin = resolve(f"owner/name:{ref}", settings)
        assert (pin.ref, pin.commit) == (full, commit)
    assert (load("owner/name:dev/next", settings).path / "hubconf.py").read_text() == "x = 2\n"


def test_the_default_branch_is_what_head_says(repository: GitRepository, settings: Settings) -> None:
    repository.branch("trunk")
    repository.default("trunk")
    assert resolve("owner/name", settings).ref == "refs/heads/trunk"


def test_a_branch_goes_before_a_tag_of_its_name(repository: GitRepository, settings: Settings) -> None:
    branch = repository.commit({"x": ""}, branch="v1")
    tag = repository.tag("v1", at="main")
    with pytest.warns(UserWarning, match=r"The ref v1 is ambiguous\. Perhaps it is both a tag and a branch"):
        assert resolve("owner/name:v1", settings).commit == branch
    assert resolve("owner/name:refs/heads/v1", settings).commit == branch
    assert resolve("owner/name:refs/tags/v1", settings).commit == tag


@pytest.mark.parametrize(
    ("repo", "error", "words"),
    [
        ("owner/nmae", RepoNotFound, ["owner/nmae", "GITHUB_TOKEN"]),
        ("nobody/name", RepoNotFound, ["nobody/name"]),
        ("owner/name:mian", RefError, ["no branch or tag 'mian'", "did you mean 'main'?"]),
        ("owner/name:refs/pull/1/head", RefError, ["refs/pull/1/head", "anybody"]),
        (f"owner/name:{'0' * 40}", RefError, ["0" * 40, "no branch or tag"]),
        ("owner/name:0000000", RefError, ["full id"]),
        ("owner/empty", RefError, ["no default branch"]),
    ],
)
def test_what_does_not_exist_has_its_own_error(
    github: GitHubServer,
    repository: GitRepository,
    settings: Settings,
    repo: str,
    error: type[Exception],
    words: list[str],
) -> None:
    github.create("owner/empty")
    repository.pull_request(1, {"x": ""})
    with pytest.raises(error) as caught:
        resolve(repo, settings)
    assert all(word in str(caught.value) for word in words)
    assert not settings.home.exists()


def test_an_older_commit_is_proven_by_comparison(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    old = repository.git("rev-parse", "main")
    repository.commit({"hubconf.py": "x = 2\n"})
    pin = resolve(f"owner/name:{old}", settings)
    assert (pin.ref, pin.commit) == (old, old)
    assert github.count("/compare/") == 1


def test_an_older_commit_of_another_branch_too(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    repository.commit({"pages": "1"}, branch="gh-pages/unrelated", parent=None)
    old = repository.commit({"x": "1"}, branch="z", parent="main")
    repository.commit({"x": "2"}, branch="z")
    assert resolve(f"owner/name:{old.upper()}", settings).commit == old
    assert github.count("/compare/") == 3


def test_a_forks_commit_is_refused_although_the_server_has_it(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    """Anybody may put a commit into the store of a repository by forking it."""
    stranger = repository.pull_request(1, {"hubconf.py": "import os\n"})
    with pytest.raises(RefError) as caught:
        resolve(f"owner/name:{stranger}", settings)
    assert "refs/pull/1/head" in str(caught.value)
    assert "not" in str(caught.value)
    repository.git("update-ref", "-d", "refs/pull/1/head")
    repository.commit({"hubconf.py": "x = 2\n"})
    with pytest.raises(RefError, match="may be a fork's"):
        resolve(f"owner/name:{stranger}", settings)
    assert github.count("/zipball/") == 0
    assert not settings.home.exists()


def test_a_forks_commit_is_taken_by_those_who_ask_for_it(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    stranger = repository.pull_request(1, {"hubconf.py": "x = 'fork'\n"})
    pin = resolve(f"owner/name:{stranger}", settings, skip_validation=True)
    tree = catalog.fetch(pin, settings=settings, progress=QUIET)
    assert (tree.path / "hubconf.py").read_text() == "x = 'fork'\n"
    assert github.count("/api/") == 0


def test_the_search_for_a_commit_is_bounded(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    old = repository.commit({"x": "0"}, branch="z", parent="main")
    repository.commit({"x": "1"}, branch="z")
    for number in range(12):
        repository.commit({"x": str(number)}, branch=f"b{number}", parent="main")
    with pytest.raises(RefError, match=r"10 branches .* 4 more were not") as caught:
        resolve(f"owner/name:{old}", settings)
    assert "skip_validation=True" in str(caught.value)
    assert github.count("/compare/") == 10


def test_what_is_cached_is_used_without_asking(
    github: GitHubServer, repository: GitRepository, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = load("owner/name", settings)
    repository.commit({"hubconf.py": "x = 2\n"})
    offline = dataclasses.replace(settings, offline=True)
    with github.nobody_asks():
        for where in (settings, offline):
            assert load("owner/name", where) == tree
            assert load("owner/name:main", where) == tree
            assert load("owner/name:refs/heads/main", where) == tree
            assert load(f"owner/name:{tree.pin.commit}", where).path == tree.path


def test_a_cached_answer_takes_milliseconds_and_no_network_library(
    repository: GitRepository, settings: Settings
) -> None:
    load("owner/name", settings)
    code = """
import sys, time
from isohub.config import load_settings
from isohub.progress import Progress
from isohub.sources import catalog
settings, progress = load_settings(), Progress(False)
def load():
    started = time.perf_counter()
    pin = catalog.resolve("owner/name", source="github", settings=settings, progress=progress)
    catalog.fetch(pin, settings=settings, progress=progress)
    return time.perf_counter() - started
best = min(load() for _ in range(20))
assert best < 0.003, best
assert not {"httpx", "rich", "filelock"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", ["owner/name", "owner/name:v1", "owner/name:" + "0" * 40])
def test_offline_says_what_is_missing_and_what_is_there(
    github: GitHubServer, repository: GitRepository, settings: Settings, name: str
) -> None:
    repository.branch("dev/next")
    load("owner/name:dev/next", settings)
    with github.nobody_asks(), pytest.raises(OfflineError) as caught:
        load(name, dataclasses.replace(settings, offline=True))
    assert "owner/name" in str(caught.value)
    assert "dev/next" in str(caught.value)
    assert "ISOHUB_OFFLINE" in str(caught.value)


def test_offline_a_known_ref_without_its_tree_is_missing(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    pin = resolve("owner/name", settings)
    offline = dataclasses.replace(settings, offline=True)
    assert resolve("owner/name", offline) == pin
    with github.nobody_asks(), pytest.raises(OfflineError, match=pin.commit):
        catalog.fetch(pin, settings=offline, progress=QUIET)


def test_offline_and_force_reload_contradict_each_other(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    load("owner/name", settings)
    with github.nobody_asks(), pytest.raises(OfflineError, match="force_reload"):
        load("owner/name", dataclasses.replace(settings, offline=True), force_reload=True)


def test_force_reload_asks_anew_and_keeps_other_commits(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    old = load("owner/name", settings)
    commit = repository.commit({"hubconf.py": "x = 2\n"})
    assert load("owner/name", settings) == old
    new = load("owner/name", settings, force_reload=True)
    assert new.pin.commit == commit
    assert (new.path / "hubconf.py").read_text() == "x = 2\n"
    assert (old.path / "hubconf.py").read_text() == "dependencies = []\n"
    with github.nobody_asks():
        assert load("owner/name:main", settings) == new
    archives = github.count("/zipball/")
    assert load("owner/name", settings, force_reload=True) == new
    assert github.count("/zipball/") == archives + 1


def test_a_damaged_tree_is_fetched_again(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    tree = load("owner/name", settings)
    (tree.path.parent / "tree.json").unlink()
    (tree.path / "hubconf.py").write_text("half")
    assert load("owner/name", settings) == tree
    assert (tree.path / "hubconf.py").read_text() == "dependencies = []\n"


def test_a_commit_that_is_gone_says_how_to_go_on(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    pin = dataclasses.replace(resolve("owner/name", settings), commit="1" * 40)
    with pytest.raises(FetchError, match="force_reload=True"):
        catalog.fetch(pin, settings=settings, progress=QUIET)
    assert leftovers(settings) == []


def test_processes_at_once_end_with_one_good_copy(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    repository.commit({f"files/{number}": bytes(10_000) for number in range(100)})
    code = """
from isohub.config import load_settings
from isohub.progress import Progress
from isohub.sources import catalog
settings, progress = load_settings(), Progress(False)
pin = catalog.resolve("owner/name", source="github", settings=settings, progress=progress)
tree = catalog.fetch(pin, settings=settings, progress=progress)
assert len(list((tree.path / "files").iterdir())) == 100
print(tree.path)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    outputs = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(outputs) == 1
    assert github.count("/zipball/") == 1
    assert leftovers(settings) == []


def test_a_fetch_that_was_killed_leaves_nothing_that_counts(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("legacy.zip", hang=True, times=1)
    code = "from isohub.config import load_settings; from isohub.progress import Progress; from isohub.sources import catalog;"
    code += "s, p = load_settings(), Progress(False); r = catalog.resolve('owner/name', source='github', settings=s, progress=p);"
    code += "catalog.fetch(r, settings=s, progress=p)"
    process = subprocess.Popen([sys.executable, "-c", code])
    while github.count("legacy.zip") == 0:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert leftovers(settings)
    assert (load("owner/name", settings).path / "hubconf.py").is_file()
    assert leftovers(settings) == []


def test_an_archive_of_another_commit_is_refused(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    other = repository.commit({"hubconf.py": "evil\n"}, branch="other")
    commit = repository.git("rev-parse", "main")
    github.archives[commit] = repository.archive(other, "owner-name-x")
    with pytest.raises(FetchError, match=f"it says that it is of commit {other}"):
        load("owner/name", settings)
    assert list((settings.home / "trees-v1").rglob("*hubconf*")) == []
    assert leftovers(settings) == []


def with_token(settings: Settings, token: str = "s3cret") -> Settings:
    return dataclasses.replace(settings, github_token=token)


def test_a_private_repository_needs_the_token(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.token = "s3cret"
    old = repository.git("rev-parse", "main")
    repository.commit({"x": ""})
    with pytest.raises(RepoNotFound, match="GITHUB_TOKEN"):
        load("owner/name", settings)
    with pytest.raises(RepoNotFound, match="whether GITHUB_TOKEN may read it"):
        load("owner/name", with_token(settings, "wrong"))
    load(f"owner/name:{old}", with_token(settings))
    assert "s3cret" not in "".join(path.read_text() for path in settings.home.rglob("*.json"))


def test_the_token_goes_to_the_two_servers_only(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.token = "s3cret"
    old = repository.git("rev-parse", "main")
    repository.commit({"x": ""})
    load(f"owner/name:{old}", with_token(settings))
    sent = {request.path.split("/")[3]: request.authorization for request in github.requests}
    basic = "basic " + base64.b64encode(b"x-access-token:s3cret").decode()
    assert sent == {"info": basic, "repos": "token s3cret", "zipball": "token s3cret", "legacy.zip": None}


def test_a_refused_token_is_left_out(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.refuses_tokens = True
    old = repository.git("rev-parse", "main")
    repository.commit({"x": ""})
    load(f"owner/name:{old}", with_token(settings))
    sent = [
        request.authorization is not None for request in github.requests if "legacy.zip" not in request.path
    ]
    assert sent == [True, False] * 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_each_refusal_of_a_token_counts(
    github: GitHubServer, repository: GitRepository, settings: Settings, status: int
) -> None:
    github.fail("info/refs", status, times=1)
    assert load("owner/name", with_token(settings)).path.is_dir()


def test_a_renamed_repository_is_known_by_its_new_name(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    """Whose code it is decides whether it is trusted, so the name is that of who has it now."""
    github.rename("owner/name", "heir/novel")
    tree = load("owner/name", settings)
    assert tree.pin.repo == f"{server_name(github)}/heir/novel"
    with github.nobody_asks():
        assert load("owner/name", settings) == tree


def test_a_redirect_out_of_the_server_renames_nothing(
    tmp_path: Path, github: GitHubServer, settings: Settings
) -> None:
    with GitHubServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.create("pytorch/vision", FILES)
        target = f"{elsewhere.url}/pytorch/vision.git/info/refs?service=git-upload-pack"
        github.fail("info/refs", 302, headers={"Location": target})
        pin = resolve("owner/name", with_token(settings))
        assert pin.repo == f"{server_name(github)}/owner/name"
        assert [request.authorization for request in elsewhere.requests] == [None]


def ask(settings: Settings) -> Pin:
    repo, resolved = github_source.resolve(parse_github("owner/name"), settings, patience=HURRIED)
    return Pin("github", repo, resolved.ref, resolved.commit)


def test_a_busy_server_is_asked_again(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    for status in (500, 502, 503, 429):
        github.fail("info/refs", status, times=2)
        assert ask(settings).ref == "refs/heads/main"


def test_a_request_for_patience_is_honoured_if_it_is_short(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("info/refs", 403, headers={"Retry-After": "1"}, times=1)
    assert ask(settings).ref == "refs/heads/main"


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (500, {}, ["answered 500", "try again later"]),
        (429, {}, ["rate limit", "GITHUB_TOKEN"]),
        (403, {"Retry-After": "3600"}, ["rate limit", "60 min", "GITHUB_TOKEN"]),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, ["rate limit"]),
        (403, {}, ["answered 403"]),
        (418, {}, ["answered 418"]),
    ],
)
def test_a_server_that_stays_in_trouble_is_an_error_that_says_so(
    github: GitHubServer,
    repository: GitRepository,
    settings: Settings,
    status: int,
    headers: dict[str, str],
    words: list[str],
) -> None:
    github.fail("info/refs", status, headers=headers)
    with pytest.raises(FetchError) as caught:
        ask(settings)
    assert all(word in str(caught.value) for word in ["/owner/name.git/info/refs", *words])
    assert github.count() <= HURRIED.tries


def test_a_server_that_says_nothing_is_given_up(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("info/refs", hang=True)
    with pytest.raises(FetchError, match="silent"):
        ask(settings)
    assert github.count() == HURRIED.tries


def test_a_server_that_only_drips_is_given_up(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("info/refs", drip=0.05)
    with pytest.raises(FetchError, match="did not finish its answer in time"):
        ask(settings)


def test_a_server_that_is_not_there_is_an_error(settings: Settings) -> None:
    nowhere = dataclasses.replace(settings, github_url="http://127.0.0.1:1")
    with pytest.raises(FetchError, match=r"cannot get http://127\.0\.0\.1:1/owner/name\.git/info/refs"):
        ask(nowhere)


def test_a_proxys_log_in_page_is_no_repository(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("info/refs", 200, body=b"<html>Log in</html>")
    with pytest.raises(FetchError, match="no list of a git repository's refs"):
        ask(settings)


def test_an_answer_that_breaks_off_is_asked_for_again(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.fail("info/refs", truncate=50, times=1)
    pin = ask(settings)
    github.fail("legacy.zip", truncate=100, times=1)
    archive = settings.home.parent / "archive.zip"
    github_write(pin, archive, settings)
    assert archive.stat().st_size > 100
    github.fail("legacy.zip", truncate=100)
    with pytest.raises(FetchError, match="cannot get"):
        github_write(pin, archive, settings)


def github_write(pin: Pin, archive: Path, settings: Settings) -> None:
    github_source.write_archive(pin, archive, settings, Step(), patience=HURRIED)


def test_an_archive_that_is_garbage_leaves_nothing(
    github: GitHubServer, repository: GitRepository, settings: Settings
) -> None:
    github.archives[repository.git("rev-parse", "main")] = b"garbage"
    with pytest.raises(FetchError, match="damaged"):
        load("owner/name", settings)
    assert leftovers(settings) == []
    github.archives.clear()
    assert load("owner/name", settings).path.is_dir()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"", ["cannot prove", "skip_validation=True"]),
        (403, b"", ["cannot prove", "GITHUB_TOKEN"]),
        (200, b"<html>", ["did not answer in JSON", "compared commits"]),
        (200, b"[]", ["no branch or tag"]),
        (200, b'{"status": "ahead"}', ["no branch or tag"]),
        (200, b'{"status": "diverged"}', ["no branch or tag"]),
    ],
)
def test_without_proof_no_commit_is_taken(
    github: GitHubServer,
    repository: GitRepository,
    settings: Settings,
    status: int,
    body: bytes,
    words: list[str],
) -> None:
    old = repository.git("rev-parse", "main")
    repository.commit({"x": ""})
    github.fail("/compare/", status, body=body)
    with pytest.raises((FetchError, RefError)) as caught:
        github_resolve(f"owner/name:{old}", settings)
    assert all(word in str(caught.value) for word in words)


def github_resolve(name: str, settings: Settings) -> None:
    github_source.resolve(parse_github(name), settings, patience=HURRIED)


def test_a_proxy_is_used(
    github: GitHubServer, repository: GitRepository, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", github.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    behind = dataclasses.replace(
        settings, github_url="http://github.test", github_api_url="http://github.test/api/v3"
    )
    assert load("owner/name", behind).pin.repo == "github.test/owner/name"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_the_machine_trusts_are_trusted(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with GitHubServer(tmp_path / "tls", tls=True) as server:
        server.create("owner/name", FILES)
        there = dataclasses.replace(settings, github_url=server.url, github_api_url=server.api_url)
        with pytest.raises(FetchError, match="certificate"):
            ask(there)
        monkeypatch.setenv(variable, str(CERTIFICATE))
        assert load("owner/name", there).path.is_dir()


def test_nobody_is_led_from_https_to_http(
    tmp_path: Path,
    github: GitHubServer,
    repository: GitRepository,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with GitHubServer(tmp_path / "tls", tls=True) as server:
        there = with_token(dataclasses.replace(settings, github_url=server.url))
        target = f"{github.url}/owner/name.git/info/refs?service=git-upload-pack"
        server.fail("info/refs", 302, headers={"Location": target})
        with pytest.raises(FetchError, match="unencrypted"):
            ask(there)
        assert {request.authorization for request in github.requests} == {None}
