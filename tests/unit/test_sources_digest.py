from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isohub.errors import FetchError
from isohub.sources.digest import content_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "models").mkdir(parents=True)
    (folder / "hubconf.py").write_text("x = 1\n")
    (folder / "models" / "__init__.py").write_text("")
    (folder / "weights.bin").write_bytes(bytes(1 << 20))
    (folder / "link").symlink_to("hubconf.py")
    return folder


def age(folder: Path) -> None:
    """As if nobody had touched the files for a while: until then their time stamps prove nothing."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1_000_000_000, 1_000_000_000))


def test_it_depends_on_content_only(folder: Path, tmp_path: Path) -> None:
    digest = content_digest(folder)
    assert len(digest) == 64
    age(folder)
    moved = folder.rename(tmp_path / "moved")
    assert content_digest(moved) == digest


def edit(folder: Path) -> None:
    (folder / "hubconf.py").write_text("x = 2\n")


def add(folder: Path) -> None:
    (folder / "models" / "new.py").touch()


def remove(folder: Path) -> None:
    (folder / "models" / "__init__.py").unlink()


def rename(folder: Path) -> None:
    (folder / "hubconf.py").rename(folder / "hubconf2.py")


def move_between_folders(folder: Path) -> None:
    (folder / "models" / "__init__.py").rename(folder / "models__init__.py")


def make_executable(folder: Path) -> None:
    (folder / "hubconf.py").chmod(0o755)


def turn_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("models")


def replace_link_by_its_content(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").write_text("hubconf.py")


@pytest.mark.parametrize(
    "change",
    [
        edit,
        add,
        remove,
        rename,
        move_between_folders,
        make_executable,
        turn_link,
        replace_link_by_its_content,
    ],
)
def test_each_change_is_seen(folder: Path, change: object) -> None:
    before = content_digest(folder)
    assert callable(change)
    change(folder)
    assert content_digest(folder) != before


@pytest.mark.parametrize(
    "name",
    [
        ".git/HEAD",
        "__pycache__/hubconf.cpython-311.pyc",
        "models/old.pyc",
        "my-environment/pyvenv.cfg",
        ".mypy_cache/x.json",
        "models.egg-info/PKG-INFO",
    ],
)
def test_what_tools_put_there_does_not_count(folder: Path, name: str) -> None:
    before = content_digest(folder), content_digest(folder, ignore=False)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert content_digest(folder) == before[0]
    assert content_digest(folder, ignore=False) != before[1]


def test_pipes_and_links_that_lead_out_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (folder / "out").symlink_to(tmp_path / "outside")
    before = content_digest(folder)
    (tmp_path / "outside" / "file").touch()
    os.mkfifo(folder / "pipe")  # reading it would wait for ever
    assert content_digest(folder) == before


def test_files_that_were_hashed_before_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    plain = content_digest(folder)
    # Files that were touched just now may change again within the same tick of the clock, so they are not remembered.
    assert content_digest(folder, memory=memory) == plain
    assert not memory.exists()

    age(folder)
    known = {"hubconf.py": "0" * 64, "weights.bin": "1" * 64}
    record = {}
    for name, digest in known.items():
        status = (folder / name).stat()
        record[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, digest]
    memory.write_text(json.dumps(record))
    remembered = content_digest(folder, memory=memory)
    assert remembered != plain  # what the memory claims was believed, so nothing was read

    (folder / "weights.bin").write_bytes(b"x" + bytes((1 << 20) - 1))  # the same size
    os.utime(folder / "weights.bin", (1_000_000_000, 1_000_000_000))  # and the same time
    assert content_digest(folder, memory=memory) != remembered


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"hubconf.py": 1}', '{"hubconf.py": [1, 2]}', '{"hubconf.py": [[]]}']
)
def test_a_damaged_memory_is_no_memory(folder: Path, tmp_path: Path, content: str) -> None:
    memory = tmp_path / "memory.json"
    memory.write_text(content)
    assert content_digest(folder, memory=memory) == content_digest(folder)


def test_a_name_that_is_no_text_is_hashed_as_well(folder: Path, tmp_path: Path) -> None:
    before = content_digest(folder)
    with open(os.fsencode(folder) + b"/\xff\xfe", "wb"):  # noqa: PTH123 - no text, so no path
        pass
    assert content_digest(folder, memory=tmp_path / "memory.json") != before


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot list"):
        content_digest(tmp_path / "missing")
