"""Lock files: written and read again, what is refused in them, and which of their repositories a name means."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohub.config import Settings
from isohub.envs.lockfile import LockedRepository, Lockfile, read_lockfile, write_lockfile
from isohub.envs.lockfile_names import find_locked
from isohub.envs.lockfile_text import (
    FORMAT,
    LockedBuild,
    LockedEntry,
    LockedRecipe,
    format_lockfile,
    parse_lockfile,
)
from isohub.envs.locking import bound_to_this_machine
from isohub.errors import ConfigError, RefError

PYLOCK = 'lock-version = "1.0"\ncreated-by = "uv"\n'
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
ENTRY = LockedEntry(
    source="github",
    repo="github.com/Owner/name",
    ref="refs/heads/main",
    commit=COMMIT,
    asked=("Owner/name",),
    tree=f"sha256:{'a' * 64}",
    python="3.10.13",
    implementation="cpython",
    platform="linux-x86_64",
    torch_backend="cu126",
    pylock="pylock.isohub-name.toml",
    pylock_sha256=hashlib.sha256(PYLOCK.encode()).hexdigest(),
    recipe=LockedRecipe(
        "fairseq",
        "b" * 64,
        (("A", "1"), ("B", 'a "quoted" \\ value')),
        "import sys\nprint('prelude')\n",
        (
            LockedBuild("fastbpe", ("cython<4", "wheel"), (("CFLAGS", "-O2"),)),
            LockedBuild("plain", ("cython",)),
        ),
    ),
)
PATH = Path("isohub.lock")


def repository(**changes: object) -> LockedRepository:
    return LockedRepository(replace(ENTRY, **changes), PYLOCK)  # type: ignore[arg-type]


def text_of(*entries: LockedEntry) -> str:
    return format_lockfile(entries)


# ---- the text


def test_what_is_written_is_what_is_read() -> None:
    plain = replace(ENTRY, ref=None, asked=(), torch_backend=None, recipe=None)
    entries = (ENTRY, plain, replace(plain, source="git", repo="git@host:x/y", commit="c" * 64))
    assert parse_lockfile(text_of(*entries), PATH) == entries
    assert parse_lockfile(text_of(), PATH) == ()


def test_a_prelude_keeps_its_lines() -> None:
    assert "prelude = '''\nimport sys\nprint('prelude')\n'''" in text_of(ENTRY)


writable = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(writable, st.dictionaries(writable, st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_comes_back(text: str, env: dict[str, str]) -> None:
    recipe = LockedRecipe(
        text, "b" * 64, tuple(env.items()), text, (LockedBuild(text, (text,), tuple(env.items())),)
    )
    entry = replace(ENTRY, recipe=recipe)
    assert parse_lockfile(text_of(entry), PATH) == (entry,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = ", "not valid TOML"),
        ("version = 1", 'version = "1"', "isohub.lock:3: version is '1'"),
        ("version = 1", "", "version is None"),
        ("version = 1", f"version = {FORMAT + 1}", "newer isohub"),
        ("version = 1", "version = 1\nmore = 2", "isohub.lock:4: more is no key"),
        ("[[repository]]", "[repository]", "repository is not an array"),
        (
            'source = "github"',
            'source = "gitlab"',
            "isohub.lock:6: repository 1: source is 'gitlab', none of github",
        ),
        ('source = "github"', "source = 1", "not a text"),
        ('repo = "github.com/Owner/name"', 'repo = "name"', "repo is 'name', which is no name"),
        ('repo = "github.com/Owner/name"', 'repo = "github.com/../.."', "which is no name"),
        ('asked = ["Owner/name"]', 'asked = ["Owner/name:..x"]', "asked has"),
        ('asked = ["Owner/name"]', 'asked = "Owner/name"', "not an array"),
        ('ref = "refs/heads/main"', 'ref = "--upload-pack=x"', "which is no ref"),
        (f'commit = "{COMMIT}"', 'commit = "main"', "which is no commit's id"),
        (f'commit = "{COMMIT}"\n', "", "commit is missing"),
        (f'"sha256:{"a" * 64}"', f'"{"a" * 64}"', "tree is"),
        ('"3.10.13"', '"3.10"', "not a version of Python"),
        ('"linux-x86_64"', '"linux x86"', "platform is"),
        ('"cu126"', '"--index"', "torch-backend is"),
        ('"pylock.isohub-name.toml"', '"pylock.x/../../y.toml"', "beside the file"),
        ('"pylock.isohub-name.toml"', '"../pylock.x.toml"', "beside the file"),
        ('"pylock.isohub-name.toml"', '"/etc/passwd"', "beside the file"),
        (f'digest = "{"b" * 64}"', 'digest = "b"', "repository 1, recipe: digest is"),
        ('"A" = "1"', '"A" = 1', "env is not a table of texts"),
        (
            'requires = ["cython<4", "wheel"]',
            "requires = [1]",
            "repository 1, recipe, build 1: requires is not an array",
        ),
        ('requires = ["cython<4", "wheel"]', 'requirs = ["x"]', "requirs is no key"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    text = text_of(ENTRY)
    assert old in text
    with pytest.raises(ConfigError, match=message) as caught:
        parse_lockfile(text.replace(old, new), PATH)
    assert str(PATH) in caught.value.message
    assert caught.value.hint or "TOML" in caught.value.message


@pytest.mark.parametrize("url", ["https://user:secret@host/x", "https://host/x@ref", "ext::sh -c x", "host"])
def test_a_git_url_is_a_canonical_one(url: str) -> None:
    text = text_of(replace(ENTRY, source="git", repo="https://host/x", asked=("https://host/x@v1",)))
    assert parse_lockfile(text, PATH)
    with pytest.raises(ConfigError, match="repo is"):
        parse_lockfile(text.replace('repo = "https://host/x"', f'repo = "{url}"'), PATH)


# ---- the files


def test_files_are_beside_it_and_named_after_both(tmp_path: Path) -> None:
    path = tmp_path / "My.App.lock"
    written = write_lockfile(
        path,
        [
            repository(),
            repository(repo="github.com/other/Name.git", commit=OTHER),
            repository(repo="github.com/a/b.c"),
            repository(repo="github.com/d/name", commit=OTHER),
        ],
    )
    assert [item.entry.pylock for item in written.repositories] == [
        "pylock.my-app-name.toml",
        f"pylock.my-app-name-{OTHER[:12]}.toml",
        "pylock.my-app-b-c.toml",
        f"pylock.my-app-name-{OTHER[:12]}-2.toml",
    ]
    assert read_lockfile(path) == written
    assert "isohub sync My.App.lock" in path.read_text()
    assert len([*tmp_path.iterdir()]) == 5


def test_two_in_one_folder_do_not_share_files(tmp_path: Path) -> None:
    write_lockfile(tmp_path / "a.lock", [repository()])
    write_lockfile(tmp_path / "b.lock", [replace(repository(), pylock=PYLOCK)])
    assert read_lockfile(tmp_path / "a.lock").repositories[0].entry.pylock == "pylock.a-name.toml"
    assert read_lockfile(tmp_path / "b.lock").repositories[0].entry.pylock == "pylock.b-name.toml"


def test_lists_that_are_replaced_are_removed_unless_somebody_changed_them(tmp_path: Path) -> None:
    path = tmp_path / "isohub.lock"
    names = ("github.com/a/one", "github.com/a/two", "github.com/a/three")
    write_lockfile(path, [repository(repo=name) for name in names])
    (tmp_path / "pylock.isohub-two.toml").write_text("mine")
    write_lockfile(path, [repository(repo=names[2])])
    left = sorted(item.name for item in tmp_path.iterdir())
    assert left == ["isohub.lock", "pylock.isohub-three.toml", "pylock.isohub-two.toml"]


def test_what_is_no_lock_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(ConfigError, match="not valid TOML"):
        write_lockfile(path, [repository()])
    assert path.read_text() == "my notes"
    assert [*tmp_path.iterdir()] == [path]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*isohub\.lock: No such file"):
        write_lockfile(tmp_path / "missing" / "isohub.lock", [repository()])


def test_a_changed_list_of_distributions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "isohub.lock"
    write_lockfile(path, [repository()])
    pylock = tmp_path / "pylock.isohub-name.toml"
    pylock.write_text(PYLOCK + "\n")
    with pytest.raises(ConfigError, match=f"{pylock} is not the one that isohub.lock was written with"):
        read_lockfile(path)
    pylock.unlink()
    with pytest.raises(ConfigError, match=f"there is no {pylock}"):
        read_lockfile(path)
    path.unlink()
    with pytest.raises(ConfigError, match=r"there is no .*isohub\.lock") as caught:
        read_lockfile(path)
    assert caught.value.hint == "make it: isohub lock REPO... -o isohub.lock"


def test_a_changed_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "isohub.lock"
    write_lockfile(path, [repository()])
    path.write_text(path.read_text().replace(ENTRY.pylock_sha256, "0" * 64))
    with pytest.raises(ConfigError, match="0000 was locked"):
        read_lockfile(path)


@pytest.mark.parametrize(("content", "message"), [(b"\xff\xfe", "no text in UTF-8"), (None, "cannot read")])
def test_what_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "isohub.lock"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_lockfile(path)


def test_a_folder_is_named_as_seen_from_the_lock(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "locks").mkdir(parents=True)
    entry = replace(
        ENTRY, source="local", repo=str(project / "hubs" / "mine"), ref=None, asked=(), commit="a" * 64
    )
    path = project / "locks" / "isohub.lock"
    write_lockfile(path, [LockedRepository(entry, PYLOCK)])
    assert 'repo = "../hubs/mine"' in path.read_text()
    moved = project.rename(tmp_path / "moved")
    [read] = read_lockfile(moved / "locks" / "isohub.lock").repositories
    assert read.pin.repo == str(moved / "hubs" / "mine")


def test_the_digest_is_of_what_is_built() -> None:
    same = (repository(asked=("Owner/name:main",)), repository(pylock="pylock.other.toml"))
    assert {item.digest for item in same} == {repository().digest}
    others = (
        repository(commit=OTHER),
        repository(python="3.10.14"),
        repository(recipe=None),
        repository(pylock_sha256="0" * 64),
        repository(tree=f"sha256:{'c' * 64}"),
    )
    assert len({item.digest for item in (*others, repository())}) == 6


# ---- names


HELD = Lockfile(
    PATH,
    (
        repository(repo="github.com/Owner/name", asked=("Owner/name", "old/name:main")),
        repository(ref="refs/tags/v1", asked=("Owner/name:v1",), commit=OTHER),
        repository(ref="refs/heads/both", asked=("Owner/name:refs/heads/both",), commit="1" * 40),
        repository(ref="refs/tags/both", asked=("Owner/name:refs/tags/both",), commit="2" * 40),
        repository(
            repo="github.com/x/pinned", ref="3" * 40, asked=("x/pinned:" + "3" * 40,), commit="3" * 40
        ),
        repository(
            source="git", repo="https://host/x.git", ref="refs/heads/main", asked=("https://host/x.git",)
        ),
        repository(source="local", repo="/somewhere/else", ref=None, asked=()),
        repository(source="builtin", repo="torch", ref=None, asked=()),
    ),
)


@pytest.mark.parametrize(
    ("source", "name", "index"),
    [
        ("github", "Owner/name", 0),
        ("GitHub", "owner/NAME", 0),
        ("github", "Owner/name:main", 0),
        ("github", "Owner/name:refs/heads/main", 0),
        ("github", f"Owner/name:{COMMIT.upper()}", 0),
        ("github", "old/name:main", 0),
        ("github", "Owner/name:v1", 1),
        ("github", "Owner/name:refs/tags/v1", 1),
        ("github", f"Owner/name:{OTHER}", 1),
        ("github", "Owner/name:both", 2),
        ("github", "Owner/name:refs/tags/both", 3),
        ("github", "x/pinned:" + "3" * 40, 4),
        ("git", "https://host/x.git", 5),
        ("git", "https://user:secret@host/x.git", 5),
        ("git", "https://host/x.git@main", 5),
        ("local", "/somewhere/else", 6),
        ("local", "/somewhere/other/../else/", 6),
        ("builtin", "torch", 7),
    ],
)
def test_a_name_means_one_of_them(source: str, name: str, index: int) -> None:
    found = find_locked(HELD, name, source=source, settings=Settings(home=Path("/nowhere")))
    assert found is HELD.repositories[index]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("github", "Owner/name:v2"),
        ("github", "Owner/name:Main"),
        ("github", "old/name"),
        ("github", "x/pinned"),
        ("github", "x/other"),
        ("git", "https://host/y.git"),
        ("git", "https://user:secret@host/y.git"),
        ("local", "/somewhere"),
        ("builtin", "hf"),
        ("nowhere", "Owner/name"),
    ],
)
def test_what_is_not_in_it_is_refused(source: str, name: str) -> None:
    with pytest.raises(ConfigError, match=r"isohub\.lock does not have") as caught:
        find_locked(HELD, name, source=source, settings=Settings(home=Path("/nowhere")))
    assert "github.com/Owner/name at main, github.com/Owner/name at v1" in caught.value.message
    assert (caught.value.hint or "").startswith("isohub lock ")
    assert "secret" not in str(caught.value)


def test_another_server_s_repository_is_another_one() -> None:
    mirror = Settings(home=Path("/nowhere"), github_url="https://mirror.example")
    with pytest.raises(ConfigError, match="does not have"):
        find_locked(HELD, "Owner/name:v2", source="github", settings=mirror)
    with pytest.raises(RefError):
        find_locked(HELD, "no name", source="github", settings=mirror)


# ---- places


def test_distributions_of_this_machine_are_named() -> None:
    hashes = 'hashes = { sha256 = "00" }'
    text = f"""
lock-version = "1.0"
[[packages]]
name = "remote"
wheels = [{{ url = "https://host/remote.whl", {hashes} }}]
[[packages]]
name = "links"
wheels = [{{ url = "file:///links/links.whl", {hashes} }}]
[[packages]]
name = "either"
sdist = {{ url = "file:///links/either.tar.gz", {hashes} }}
wheels = [{{ url = "https://host/either.whl", {hashes} }}]
[[packages]]
name = "wheel"
archive = {{ path = "/wheels/wheel.whl", {hashes} }}
[[packages]]
name = "folder"
directory = {{ path = "../folder" }}
[[packages]]
name = "cloned"
vcs = {{ type = "git", url = "https://host/x.git", commit-id = "00" }}
"""
    assert bound_to_this_machine(text) == {
        "links": "file:///links/links.whl",
        "wheel": "/wheels/wheel.whl",
        "folder": "../folder",
    }
