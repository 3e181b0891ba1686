from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.errors import RefError
from isohub.sources.ref import (
    Credentials,
    GitHubName,
    GitName,
    check_ref,
    is_commit_id,
    parse_git,
    parse_github,
)

OTHERS = 'a folder is loaded with source="local", any git URL with source="git"'
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("pytorch/vision", GitHubName("pytorch", "vision", None)),
        ("pytorch/vision:v0.20.1", GitHubName("pytorch", "vision", "v0.20.1")),
        ("pytorch/vision:dev/next", GitHubName("pytorch", "vision", "dev/next")),
        ("pytorch/vision:refs/heads/main", GitHubName("pytorch", "vision", "refs/heads/main")),
        ("pytorch/vision:refs/tags/v1@2", GitHubName("pytorch", "vision", "refs/tags/v1@2")),
        (f"pytorch/vision:{SHA}", GitHubName("pytorch", "vision", SHA)),
        ("a-b_c/d.e-f_g:x", GitHubName("a-b_c", "d.e-f_g", "x")),
        ("owner/name.git:x", GitHubName("owner", "name", "x")),
        ("owner/name:ветка", GitHubName("owner", "name", "ветка")),
    ],
)
def test_a_github_name_is_owner_name_and_ref(text: str, parsed: GitHubName) -> None:
    assert parse_github(text) == parsed


def test_a_github_name_has_one_canonical_form() -> None:
    assert parse_github("o/n.git").on("https://github.com") == "github.com/o/n"
    assert parse_github("o/n").on("http://mirror.example:8080/gh") == "mirror.example:8080/gh/o/n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pytorch/vision:a..b",
            "a ref has no two dots in a row\n    pytorch/vision:a..b\n                    ^^",
        ),
        (
            "pytorch/vision:-upload",
            "a ref does not start with a dash\n    pytorch/vision:-upload\n                   ^",
        ),
        (
            "pytorch/vision:",
            "there is no ref after the separator\n    pytorch/vision:\n                   ^",
        ),
        (
            "o/n:a\nb",
            "control characters have no place in a name\n    o/n:a\\nb\n         ^^",
        ),
        (
            "vision:main",
            f"a repository on GitHub is written owner/name[:ref]\n    vision:main\n    ^^^^^^\n  try: {OTHERS}",
        ),
    ],
)
def test_the_fault_is_marked(text: str, message: str) -> None:
    with pytest.raises(RefError) as caught:
        parse_github(text)
    assert str(caught.value) == message


HOSTILE_REFS = [
    "", "-", "--upload-pack=x", "..", "a..b", "../x", ".hidden", "a/.b", "a//b", "/a", "a/", "a.lock", "a.lock/b", "a.",
    "@", "a@{1}", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a\x00b", "a\nb", "a\x7f", "a\x1b[31m",
    "a\N{RIGHT-TO-LEFT OVERRIDE}b", "a\N{NO-BREAK SPACE}b",
]  # fmt: skip


@pytest.mark.parametrize("ref", HOSTILE_REFS)
def test_what_git_would_not_take_is_refused(ref: str) -> None:
    with pytest.raises(RefError):
        parse_github(f"owner/name:{ref}")
    with pytest.raises(RefError):
        parse_git(f"https://example.com/owner/name.git@{ref}")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_what_is_taken_git_takes_too(ref: str) -> None:
    try:
        parse_github(f"owner/name:{ref}")
    except RefError:
        return
    done = subprocess.run(["git", "check-ref-format", f"refs/heads/{ref}"], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("./models", 'source="local"'),
        ("/home/me/models", 'source="local"'),
        ("~/models", 'source="local"'),
        ("models", 'source="local"'),
        ("a/b/c", 'source="local"'),
        ("../models", 'source="local"'),
        ("C:\\models", 'source="local"'),
        ("https://github.com/pytorch/vision", 'source="git"'),
        ("git@github.com:pytorch/vision", 'source="git"'),
        ("owner/..", 'source="local"'),
        ("", "owner/name"),
    ],
)
def test_other_things_are_told_which_source_takes_them(text: str, hint: str) -> None:
    with pytest.raises(RefError) as caught:
        parse_github(text)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "url", "ref"),
    [
        ("https://example.com/o/r", "https://example.com/o/r", None),
        ("https://example.com/o/r.git/", "https://example.com/o/r.git", None),
        ("HTTPS://Example.COM:8443/O/r@dev/next", "https://example.com:8443/O/r", "dev/next"),
        ("https://example.com/o/r.git@pkg@1.0", "https://example.com/o/r.git", "pkg@1.0"),
        ("https://example.com/@scope/r@v1", "https://example.com/@scope/r", "v1"),
        ("https://example.com/@scope", "https://example.com/@scope", None),
        ("https://[::1]:80/o/r@v1", "https://[::1]:80/o/r", "v1"),
        ("ssh://git@example.com/o/r@v1", "ssh://git@example.com/o/r", "v1"),
        ("ssh://git:password@example.com:22/o/r", "ssh://git@example.com:22/o/r", None),
        ("git://example.com/o/r", "git://example.com/o/r", None),
        ("git@example.com:o/r.git", "git@example.com:o/r.git", None),
        ("git@example.com:o/r.git@refs/tags/v1", "git@example.com:o/r.git", "refs/tags/v1"),
        ("example.com:o/r@v1", "example.com:o/r", "v1"),
        ("file:///srv/git/r.git@v1", "file:///srv/git/r.git", "v1"),
        ("/srv/git/a r@v1", "file:///srv/git/a%20r", "v1"),
    ],
)
def test_a_git_name_is_url_and_ref(text: str, url: str, ref: str | None) -> None:
    assert parse_git(text) == GitName(url, ref, None)


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("https://user:s3cret@example.com/o/r@v1", Credentials("user", "s3cret")),
        ("https://user:s%40cr%2Ft@example.com/o/r@v1", Credentials("user", "s@cr/t")),
        ("https://us@er:s3cret@example.com/o/r@v1", Credentials("us@er", "s3cret")),
        ("https://t0ken@example.com/o/r@v1", Credentials("t0ken", None)),
    ],
)
def test_credentials_are_taken_out_of_the_url(text: str, credentials: Credentials) -> None:
    name = parse_git(text)
    assert name == GitName("https://example.com/o/r", "v1", credentials)
    assert "s3cret" not in repr(name)
    assert "t0ken" not in repr(name)


@pytest.mark.parametrize(
    "text",
    [
        "ext::sh -c touch% /tmp/x",
        "ext://x/y",
        "https::https://example.com/o/r",
        "ftp://example.com/o/r",
        "-u:o/r",
        "--upload-pack=x",
        "ssh://-oProxyCommand=x/o/r",
        "-oProxyCommand=x@example.com:o/r",
        "ssh://-oProxyCommand=x@example.com/o/r",
        "git@example.com:-x",
        "https:///o/r",
        "https://example.com",
        "https://example.com/",
        "https://example.com/o/r?x=1",
        "https://example.com/o/r#x",
        "https://exam ple.com/o/r",
        "https://example.com/o/\nr",
        "relative/path",
        "./relative",
        "",
    ],
)
def test_what_is_no_git_url_is_refused(text: str) -> None:
    with pytest.raises(RefError):
        parse_git(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:s3cret@example.com/o/r@a..b",
        "https://user:s3cret@example.com",
        "https://user:s3cret/@example.com/o/r",
        "https://user:s3cret",
        "https://user:s3cret@example.com/o/\x00r",
        "https://user:s3cret@exa$mple.com/o/r",
        "ftp://user:s3cret@example.com/o/r",
    ],
)
def test_no_error_shows_a_password(text: str) -> None:
    for parse in (parse_git, parse_github):
        with pytest.raises(RefError) as caught:
            parse(text)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "answer"),
    [(SHA, True), (SHA.upper(), True), (SHA[:39], False), ("main", False), (SHA * 2, False)],
)
def test_a_commit_id_has_40_or_64_digits(ref: str, answer: bool) -> None:
    assert is_commit_id(ref) is answer


def test_a_ref_alone_is_checked_as_well() -> None:
    check_ref("dev/next")
    with pytest.raises(RefError, match="two dots"):
        check_ref("a..b")
