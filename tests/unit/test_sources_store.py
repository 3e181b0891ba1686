from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from isohub.errors import FetchError
from isohub.sources.jsonfile import read_json, write_json
from isohub.sources.store import Store, repository_key
from isohub.sources.tree import Pin

PIN = Pin("github", "github.com/o/r", "refs/heads/main", "1" * 40)
OTHER = Pin("github", "github.com/o/r", "refs/heads/dev", "2" * 40)


def writer(content: str = "x = 1\n", calls: list[Path] | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if calls is not None:
            calls.append(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("top/hubconf.py", content)

    return write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def leftovers(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*") if "partial" in path.name or path.suffix == ".zip"]


def test_a_tree_is_added_once_and_found(store: Store, tmp_path: Path) -> None:
    calls: list[Path] = []
    assert store.find(PIN) is None
    tree = store.add(PIN, writer(calls=calls))
    assert (tree.path / "hubconf.py").read_text() == "x = 1\n"
    assert tree.date is not None
    assert store.find(PIN) == tree == store.add(PIN, writer(calls=calls))
    assert len(calls) == 1
    assert leftovers(tmp_path) == []


def test_trees_belong_to_their_repository(store: Store) -> None:
    """A server may claim anything of a commit; nobody else gets to believe it."""
    store.add(PIN, writer("evil"))
    assert store.find(Pin("github", "github.com/o/other", PIN.ref, PIN.commit)) is None
    assert store.find(Pin("git", "github.com/o/r", PIN.ref, PIN.commit)) is None
    same = store.find(Pin("github", "github.com/o/r", "refs/tags/v1", PIN.commit))
    assert same is not None
    assert same.pin.ref == "refs/tags/v1"


def without_mark(folder: Path) -> None:
    (folder / "tree.json").unlink()


def with_half_a_mark(folder: Path) -> None:
    (folder / "tree.json").write_text('{"commit": "1111')


def with_anothers_mark(folder: Path) -> None:
    (folder / "tree.json").write_text('{"commit": "2222"}')


def without_content(folder: Path) -> None:
    (folder / "tree" / "hubconf.py").unlink()
    (folder / "tree").rmdir()


@pytest.mark.parametrize("damage", [without_mark, with_half_a_mark, with_anothers_mark, without_content])
def test_a_damaged_tree_is_no_tree(store: Store, damage: Callable[[Path], None]) -> None:
    tree = store.add(PIN, writer())
    damage(tree.path.parent)
    assert store.find(PIN) is None
    assert store.add(PIN, writer("x = 2\n")) == tree
    assert (tree.path / "hubconf.py").read_text() == "x = 2\n"


def test_what_a_killed_process_left_is_swept_away(store: Store, tmp_path: Path) -> None:
    folder = store.add(PIN, writer()).path.parent
    folder.rename(folder.with_name(f"{folder.name}.partial"))
    assert store.find(PIN) is None
    assert (store.add(PIN, writer("x = 2\n")).path / "hubconf.py").read_text() == "x = 2\n"
    assert leftovers(tmp_path) == []


def test_anew_replaces_a_tree_that_differs_and_leaves_one_that_does_not(store: Store) -> None:
    tree = store.add(PIN, writer())
    other = store.add(OTHER, writer())
    before = (tree.path / "hubconf.py").stat().st_ino
    store.add(PIN, writer(), anew=True)
    assert (tree.path / "hubconf.py").stat().st_ino == before
    (tree.path / "hubconf.py").write_text("edited\n")
    store.add(PIN, writer(), anew=True)
    assert (tree.path / "hubconf.py").read_text() == "x = 1\n"
    assert store.find(OTHER) == other


@pytest.mark.parametrize(
    "error", [FetchError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_a_fetch_that_fails_leaves_nothing_and_takes_nothing(
    store: Store, tmp_path: Path, error: BaseException
) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    expected = type(error) if not isinstance(error, OSError) else FetchError
    with pytest.raises(expected):
        store.add(PIN, fail)
    assert leftovers(tmp_path) == []
    tree = store.add(PIN, writer())
    with pytest.raises(expected):
        store.add(PIN, fail, anew=True)
    assert store.find(PIN) == tree
    assert leftovers(tmp_path) == []


def test_a_home_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    store = Store(tmp_path / "home")
    with pytest.raises(FetchError, match="ISOHUB_HOME"):
        store.add(PIN, writer())
    with pytest.raises(FetchError, match="ISOHUB_HOME"):
        store.remember(PIN, PIN.repo, ["main"])


@pytest.mark.parametrize("name", [None, "main", "dev/next", "refs/tags/v1", "Main", "a" * 300, "ветка"])
def test_refs_are_recalled_as_they_were_remembered(store: Store, name: str | None) -> None:
    store.remember(PIN, "github.com/o/r", [name])
    assert store.recall("github", "github.com/o/r", name) == PIN
    assert store.recall("github", "github.com/o/r", "other") is None
    assert store.recall("git", "github.com/o/r", name) is None
    store.remember(OTHER, "github.com/o/r", [name])
    assert store.recall("github", "github.com/o/r", name) == OTHER


def test_the_names_that_are_known(store: Store) -> None:
    assert store.known_names("github", "github.com/o/r") == []
    store.remember(PIN, "github.com/o/r", [None, "main", "refs/heads/main"])
    store.remember(OTHER, "github.com/o/r", ["dev/next"])
    store.remember(OTHER, "github.com/o/other", ["elsewhere"])
    assert store.known_names("github", "github.com/o/r") == ["dev/next", "main"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"repo": 1, "ref": "x", "commit": "y"}'])
def test_a_damaged_ref_is_no_ref(store: Store, tmp_path: Path, content: str) -> None:
    store.remember(PIN, "github.com/o/r", ["main"])
    for path in tmp_path.rglob("*.json"):
        path.write_text(content)
    assert store.recall("github", "github.com/o/r", "main") is None


def test_a_key_is_readable_and_belongs_to_one_repository() -> None:
    repos = ["github.com/o/r", "github.com/o_r", "git@h:o/r.git", "C:\\a\\r", "/srv/r", "/srv/r/"]
    keys = {repository_key(source, repo) for source in ("github", "git") for repo in repos}
    assert len(keys) == 2 * len(repos)
    assert all(key.replace("-", "").replace("_", "").isalnum() for key in keys)
    assert repository_key("github", "github.com/pytorch/vision").startswith("vision-")


def test_a_record_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "record.json"
    assert read_json(path) is None
    write_json(path, {"x": 1})
    assert read_json(path) == {"x": 1}
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert read_json(path) == {"x": 1}
    assert [found.name for found in path.parent.iterdir()] == ["record.json"]
