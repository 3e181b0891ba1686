from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.errors import FetchError, RefError
from isohub.sources.advertisement import Advertisement, Resolved, read_ls_remote, read_smart_http

A, B, C, D, TAG = ("a" * 40, "b" * 40, "abcdef1" + "c" * 33, "abcdef2" + "d" * 33, "e" * 40)


def pkt(line: bytes) -> bytes:
    return b"%04x%s" % (len(line) + 4, line)


def smart_http(*lines: bytes, first: bytes = b"# service=git-upload-pack\n", end: bytes = b"0000") -> bytes:
    return pkt(first) + b"0000" + b"".join(pkt(line) for line in lines) + end


WHOLE = smart_http(
    f"{A} HEAD\0multi_ack symref=HEAD:refs/heads/trunk object-format=sha1 agent=git/x\n".encode(),
    f"{B} refs/heads/dev/next\n".encode(),
    f"{A} refs/heads/trunk\n".encode(),
    f"{C} refs/heads/v1\n".encode(),
    f"{'f' * 40} refs/pull/7/head\n".encode(),
    f"{TAG} refs/tags/v1\n".encode(),
    f"{D} refs/tags/v1^{{}}\n".encode(),
)


@pytest.fixture
def advertisement() -> Advertisement:
    return read_smart_http(WHOLE, "the server")


def test_branches_and_tags_are_read_and_the_rest_is_set_apart(advertisement: Advertisement) -> None:
    assert advertisement == Advertisement(
        refs={"refs/heads/dev/next": B, "refs/heads/trunk": A, "refs/heads/v1": C, "refs/tags/v1": D},
        head=A,
        head_ref="refs/heads/trunk",
        strangers={"f" * 40: "refs/pull/7/head"},
    )


def test_ls_remote_says_the_same(advertisement: Advertisement) -> None:
    text = (
        f"ref: refs/heads/trunk\tHEAD\n{A}\tHEAD\n{B}\trefs/heads/dev/next\n{A}\trefs/heads/trunk\n{C}\trefs/heads/v1\n"
        f"{'f' * 40}\trefs/pull/7/head\n{TAG}\trefs/tags/v1\n{D}\trefs/tags/v1^{{}}\n"
    )
    assert read_ls_remote(text, "the server") == advertisement


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        (None, Resolved("refs/heads/trunk", A, aliases=(None, "trunk"))),
        ("HEAD", Resolved("refs/heads/trunk", A, aliases=(None, "trunk"))),
        ("trunk", Resolved("refs/heads/trunk", A, aliases=(None, "trunk"))),
        ("refs/heads/trunk", Resolved("refs/heads/trunk", A, aliases=(None, "trunk"))),
        ("dev/next", Resolved("refs/heads/dev/next", B, aliases=("dev/next",))),
        ("v1", Resolved("refs/heads/v1", C, ambiguous=True, aliases=("v1",))),
        ("refs/heads/v1", Resolved("refs/heads/v1", C, aliases=("v1",))),
        ("refs/tags/v1", Resolved("refs/tags/v1", D)),
        (B, Resolved(B, B)),
        (B.upper(), Resolved(B, B)),
        ("abcdef1", Resolved(C, C)),
        ("ABCDEF2", Resolved(D, D)),
        ("0" * 40, None),
        ("f" * 40, None),
        (TAG, None),
    ],
)
def test_what_a_name_means(advertisement: Advertisement, name: str | None, resolved: Resolved | None) -> None:
    assert advertisement.find(name, "o/r") == resolved


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trnk", ["no branch or tag 'trnk'", "did you mean 'trunk'?"]),
        ("Dev/Next", ["'dev/next'"]),
        ("quite-different", ["it has 4 branches and tags"]),
        ("refs/heads/trnk", ["'refs/heads/trunk'"]),
        ("refs/pull/7/head", ["is no branch or tag", "anybody"]),
        ("refs/heads/v1^{}", ["no branch or tag"]),
        ("abcdef", ["no branch or tag 'abcdef'"]),
        ("abcdef3", ["no branch or tag is at it", "full id"]),
    ],
)
def test_what_is_not_there_is_an_error_that_helps(
    advertisement: Advertisement, name: str, words: list[str]
) -> None:
    with pytest.raises(RefError) as caught:
        advertisement.find(name, "o/r")
    for word in ["o/r", *words]:
        assert word in str(caught.value)


def test_a_short_id_that_begins_two_commits_is_ambiguous() -> None:
    refs = {"refs/heads/a": "abcdef1" + "0" * 33, "refs/heads/b": "abcdef1" + "1" * 33}
    with pytest.raises(RefError, match="begins 2 commits"):
        Advertisement(refs, None, None, {}).find("abcdef1", "o/r")


def test_a_branch_that_is_called_like_a_commit_does_not_stand_in_for_it() -> None:
    """Who may push a branch must not be able to replace what others have pinned."""
    named = {f"refs/heads/{B}": A, "refs/heads/abcdef1": B, "refs/heads/main": C}
    advertisement = Advertisement(named, C, "refs/heads/main", {})
    assert advertisement.find(B, "o/r") == Resolved(B, B)
    assert advertisement.find(f"refs/heads/{B}", "o/r") == Resolved(f"refs/heads/{B}", A)
    assert advertisement.find("abcdef1", "o/r") == Resolved("refs/heads/abcdef1", B, aliases=("abcdef1",))


@pytest.mark.parametrize(
    ("lines", "head_ref"),
    [
        (
            [(A, "HEAD"), (A, "refs/heads/a"), (A, "refs/heads/main"), (A, "refs/heads/master")],
            "refs/heads/main",
        ),
        ([(A, "HEAD"), (B, "refs/heads/main"), (A, "refs/heads/master")], "refs/heads/master"),
        ([(A, "HEAD"), (A, "refs/heads/a")], None),
    ],
)
def test_an_old_server_does_not_say_which_branch_is_the_default(
    lines: list[tuple[str, str]], head_ref: str | None
) -> None:
    advertisement = read_ls_remote("".join(f"{commit}\t{ref}\n" for commit, ref in lines), "x")
    assert (advertisement.head, advertisement.head_ref) == (A, head_ref)
    found = advertisement.find(None, "o/r")
    assert found is not None
    assert (found.ref, found.commit, None in found.aliases) == (head_ref or "HEAD", A, True)


def test_an_empty_repository_has_no_default_branch() -> None:
    empty = read_smart_http(smart_http(b"0" * 40 + b" capabilities^{}\0agent=x"), "the server")
    assert empty == Advertisement({}, None, None, {})
    with pytest.raises(RefError, match="no default branch"):
        empty.find(None, "o/r")


def test_version_1_shallow_lines_and_longer_ids_are_read() -> None:
    commit = b"a" * 64
    data = smart_http(
        b"version 1\n", commit + b" HEAD\0x", commit + b" refs/heads/main", b"shallow " + commit
    )
    assert read_smart_http(data, "x").refs == {"refs/heads/main": "a" * 64}


@pytest.mark.parametrize("name", [b"refs/heads/a..b", b"refs/heads/\x1b[31mred", b"refs/tags/-x/../y"])
def test_refs_that_git_would_not_have_made_lead_nowhere(name: bytes) -> None:
    assert read_smart_http(smart_http(A.encode() + b" " + name), "x").refs == {}


def test_tips_begin_with_the_default_branch(advertisement: Advertisement) -> None:
    assert advertisement.tips() == [A, B, C, D]


@pytest.mark.parametrize(
    ("commit", "words"),
    [("f" * 40, ["refs/pull/7/head", "not o/r's own"]), ("0" * 40, ["a fork's"])],
)
def test_a_commit_of_nobody_here_is_called_that(
    advertisement: Advertisement, commit: str, words: list[str]
) -> None:
    error = advertisement.not_its_own(commit, "o/r")
    assert all(word in str(error) for word in [commit, "skip_validation=True", *words])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!doctype html><title>Log in</title>",
        b"0000",
        smart_http(first=b"# service=git-receive-pack\n"),
        pkt(b"# service=git-upload-pack\n") + pkt(A.encode() + b" HEAD"),
        smart_http(b"version 2\n", b"ls-refs\n"),
        smart_http(A.encode() + b" refs/heads/main", end=b""),
        smart_http(A[:39].encode() + b" refs/heads/main"),
        smart_http(A.encode()),
        WHOLE[:-20],
        WHOLE[:60] + b"zzzz",
        pkt(b"# service=git-upload-pack\n") + b"00000003",
    ],
)
def test_anything_else_is_no_advertisement(data: bytes) -> None:
    with pytest.raises(FetchError, match=r"the server"):
        read_smart_http(data, "the server")


def test_what_the_server_says_in_it_is_passed_on() -> None:
    with pytest.raises(FetchError, match="the server answered: access denied"):
        read_smart_http(smart_http(b"ERR access denied"), "the server")


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=4))
def test_damage_never_surprises(position: int, damage: bytes) -> None:
    data = WHOLE[:position] + damage + WHOLE[position + len(damage) :]
    try:
        read_smart_http(data, "the server")
    except FetchError:
        pass


@given(st.text(max_size=100))
def test_ls_remote_never_surprises(text: str) -> None:
    try:
        read_ls_remote(text, "the server")
    except FetchError:
        pass
