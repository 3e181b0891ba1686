from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isohub.errors import FetchError
from isohub.sources.archive import Limits, unpack

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
FILE, PROGRAM, LINK, FIFO, DEVICE = 0o100644, 0o100755, 0o120777, 0o010644, 0o020666


def entry(name: str, mode: int = FILE, *, system: int = 3, extra: bytes = b"") -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2020, 2, 3, 4, 5, 6))
    info.filename = info.orig_filename = name  # as it is: ZipInfo would clean it up
    info.external_attr = mode << 16
    info.create_system = system
    info.extra = extra
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def archive(
    tmp_path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], comment: bytes = COMMIT.encode()
) -> Path:
    path = tmp_path / "archive.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")  # it minds duplicates
        for name, content in entries:
            file.writestr(entry(name) if isinstance(name, str) else name, content)
        file.comment = comment
    return path


def listing(folder: Path) -> dict[str, bytes | str | None]:
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
    return found


def test_what_is_below_the_top_folder_is_unpacked(tmp_path: Path) -> None:
    path = archive(
        tmp_path,
        (entry("o-r-0123456/", 0o040755), b""),
        ("o-r-0123456/hubconf.py", b"x = 1\n"),
        (entry("o-r-0123456/run.sh", PROGRAM), b"#!/bin/sh\n"),
        ("o-r-0123456/a/b/c.bin", bytes(range(256)) * 100),
        (entry("o-r-0123456/a/empty/", 0o040755), b""),
        ("o-r-0123456/имя файла", b"unicode"),
        (entry("o-r-0123456/a/link", LINK), b"../hubconf.py"),
        (entry("o-r-0123456/folder", LINK), b"a/b"),
        (entry("o-r-0123456/dangling", LINK), b"missing"),
        (entry("o-r-0123456/dos.txt", 0, system=0), b"dos"),
    )
    assert unpack(path, tmp_path / "tree", commit=COMMIT) is not None
    assert listing(tmp_path / "tree") == {
        "a": None,
        "a/b": None,
        "a/b/c.bin": bytes(range(256)) * 100,
        "a/empty": None,
        "a/link": "../hubconf.py",
        "dangling": "missing",
        "dos.txt": b"dos",
        "folder": "a/b",
        "hubconf.py": b"x = 1\n",
        "run.sh": b"#!/bin/sh\n",
        "имя файла": b"unicode",
    }
    assert os.access(tmp_path / "tree" / "run.sh", os.X_OK)
    assert not os.access(tmp_path / "tree" / "hubconf.py", os.X_OK)


def test_set_user_id_is_not_kept(tmp_path: Path) -> None:
    path = archive(tmp_path, (entry("top/x", 0o106777), b"#!/bin/sh\n"))
    unpack(path, tmp_path / "tree", commit=COMMIT)
    mode = (tmp_path / "tree" / "x").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)


REFUSED = {
    "traversal": [("top/../../evil", b"")],
    "traversal in the top folder": [("../evil", b"")],
    "a dot": [("top/./x", b"")],
    "an empty part": [("top//x", b"")],
    "absolute": [("/etc/evil", b"")],
    "absolute below the top": [("top//etc/evil", b"")],
    "a backslash": [("top\\..\\evil", b"")],
    "a backslash below the top": [("top/..\\..\\evil", b"")],
    "a drive": [("C:/evil", b"")],
    "a drive without a slash": [("c:evil", b"")],
    "a NUL": [("top/evil\x00.txt", b"")],
    "a control character": [("top/evil\x1b[31m", b"")],
    "git's own folder": [("top/.git/config", b"")],
    "git's own folder in capitals": [("top/a/.GIT/config", b"")],
    "two top folders": [("top/a", b""), ("other/b", b"")],
    "a file at the top": [("top/a", b""), ("b", b"")],
    "only a file": [("hubconf.py", b"")],
    "nothing": [],
    "a file twice": [("top/a", b"1"), ("top/a", b"2")],
    "a folder twice": [(entry("top/a/", 0o040755), b""), (entry("top/a/", 0o040755), b"")],
    "a file and a folder of one name": [("top/a", b""), (entry("top/a/", 0o040755), b"")],
    "a file below a file": [("top/a", b""), ("top/a/b", b"")],
    "a file below a link": [(entry("top/a", LINK), b"b"), ("top/a/b", b"")],
    "a file below a link that comes later": [("top/a/b", b""), (entry("top/a", LINK), b"b")],
    "a link that leads out": [(entry("top/a", LINK), b"../../evil")],
    "a link to the folder above": [(entry("top/a", LINK), b"..")],
    "an absolute link": [(entry("top/a", LINK), b"/etc/passwd")],
    "a link to a drive": [(entry("top/a", LINK), b"C:\\evil")],
    "a link with backslashes": [(entry("top/a", LINK), b"..\\evil")],
    "an empty link": [(entry("top/a", LINK), b"")],
    "a link with a NUL": [(entry("top/a", LINK), b"a\0b")],
    "a long link": [(entry("top/a", LINK), b"a/" * 3000)],
    "a link that is no text": [(entry("top/a", LINK), b"\xff\xfe")],
    "a link that leads out by a link": [
        ("top/t/file", b""),
        (entry("top/p/q/r/s", LINK), b"../../../t"),
        (entry("top/p/q/r/e", LINK), b"s/../../x"),
    ],
    "a link as the top folder": [(entry("top", LINK), b"x"), ("top/a", b"")],
    "a pipe": [(entry("top/a", FIFO), b"")],
    "a device": [(entry("top/a", DEVICE), b"")],
}


@pytest.mark.parametrize("entries", REFUSED.values(), ids=REFUSED)
def test_a_hostile_archive_is_refused_whole(
    tmp_path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]
) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = archive(tmp_path, *entries)
    before = listing(tmp_path)
    with pytest.raises(FetchError, match=f"archive of commit {COMMIT}"):
        unpack(path, inside / "tree", commit=COMMIT)
    assert listing(tmp_path) == before


def test_names_that_differ_in_case_are_two_files_if_the_file_system_says_so(tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    path = archive(tmp_path, ("top/README", b"1"), ("top/readme", b"2"))
    if (tmp_path / "PROBE").exists():
        with pytest.raises(FetchError, match="twice"):
            unpack(path, tmp_path / "tree", commit=COMMIT)
    else:
        unpack(path, tmp_path / "tree", commit=COMMIT)
        assert listing(tmp_path / "tree") == {"README": b"1", "readme": b"2"}


ZEROS = [("top/zeros", bytes(1 << 20))]


@pytest.mark.parametrize(
    ("entries", "limits", "message"),
    [
        ([(f"top/{number}", b"") for number in range(11)], Limits(entries=10), "11 entries, more than 10"),
        (ZEROS, Limits(bytes=(1 << 20) - 1), "more than 1048575 bytes"),
        (ZEROS, Limits(ratio=100, ratio_from=1000), "more than 100 times its size"),
        (ZEROS, Limits(directory=50), "table of contents"),
    ],
)
def test_a_bomb_is_refused_while_it_unpacks(
    tmp_path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]], limits: Limits, message: str
) -> None:
    with pytest.raises(FetchError, match=message):
        unpack(archive(tmp_path, *entries), tmp_path / "tree", commit=COMMIT, limits=limits)
    assert listing(tmp_path).keys() == {"archive.zip"}


def test_what_fits_the_limits_exactly_is_taken(tmp_path: Path) -> None:
    limits = Limits(entries=1, bytes=1 << 20, ratio_from=1 << 20, ratio=1)
    unpack(archive(tmp_path, *ZEROS), tmp_path / "tree", commit=COMMIT, limits=limits)


def test_an_entry_that_understates_its_size_gets_no_more_than_that(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path, ("top/zeros", bytes(1 << 20))).read_bytes())
    for position in (data.find(b"PK\x03\x04") + 22, data.find(b"PK\x01\x02") + 24):
        struct.pack_into("<I", data, position, 10)
    (tmp_path / "lying.zip").write_bytes(data)
    with pytest.raises(FetchError, match="damaged"):
        unpack(tmp_path / "lying.zip", tmp_path / "tree", commit=COMMIT)
    assert not (tmp_path / "tree").exists()


def test_a_table_of_contents_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path, ("top/a", b""))
    data = bytearray(path.read_bytes())
    with path.open("r+b") as file:  # a sparse file, so that the claim fits
        file.seek(3 << 30)
        file.write(data)
        struct.pack_into("<I", data, data.rfind(b"PK\x05\x06") + 12, 3 << 30)
        file.seek(3 << 30)
        file.write(data)
    with pytest.raises(FetchError, match="table of contents"):
        unpack(path, tmp_path / "tree", commit=COMMIT)


def test_the_archive_has_to_be_of_the_commit(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"it says that it is of commit {OTHER}"):
        unpack(archive(tmp_path, ("top/a", b""), comment=OTHER.encode()), tmp_path / "tree", commit=COMMIT)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("comment", [b"", b"made by hand", COMMIT.upper().encode()])
def test_other_comments_say_nothing(tmp_path: Path, comment: bytes) -> None:
    unpack(archive(tmp_path, ("top/a", b""), comment=comment), tmp_path / "tree", commit=COMMIT)


def ut(seconds: int, flags: int = 1) -> bytes:
    return struct.pack("<HHBi", 0x5455, 5, flags, seconds)


@pytest.mark.parametrize(
    ("extras", "date"),
    [
        ([ut(1_600_000_001)], 1_600_000_001),
        ([ut(1_600_000_001), ut(1_600_000_003), b""], 1_600_000_003),
        ([struct.pack("<HH4s", 0x5855, 4, b"abcd") + ut(7)], 7),
        ([b""], 1_580_702_706),
        ([ut(7, flags=2)], 1_580_702_706),
        ([b"\x55\x54\x05"], 1_580_702_706),
        ([struct.pack("<HHB", 0x5455, 1, 1)], 1_580_702_706),
    ],
)
def test_the_date_is_gits_time_stamp_or_the_newest_entrys(
    tmp_path: Path, extras: list[bytes], date: int
) -> None:
    entries = [(entry(f"top/{number}", extra=extra), b"") for number, extra in enumerate(extras)]
    assert unpack(archive(tmp_path, *entries), tmp_path / "tree", commit=COMMIT) == date


def test_an_impossible_time_is_no_date(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path, ("top/a", b"")).read_bytes())
    struct.pack_into("<HH", data, data.find(b"PK\x01\x02") + 12, 0, 0)
    (tmp_path / "timeless.zip").write_bytes(data)
    assert unpack(tmp_path / "timeless.zip", tmp_path / "tree", commit=COMMIT) is None


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path, ("top/a", b"x")).read_bytes())
    data[data.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    with pytest.raises(FetchError, match="encrypted"):
        unpack(tmp_path / "secret.zip", tmp_path / "tree", commit=COMMIT)


@pytest.mark.parametrize("content", [b"", b"<html>busy</html>", b"PK\x05\x06", b"PK\x03\x04" * 50])
def test_what_is_no_archive_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(FetchError, match="damaged"):
        unpack(tmp_path / "x.zip", tmp_path / "tree", commit=COMMIT)
    assert not (tmp_path / "tree").exists()


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "mine").touch()
    with pytest.raises(FileExistsError):
        unpack(archive(tmp_path, ("top/a", b"")), tmp_path / "tree", commit=COMMIT)
    assert listing(tmp_path / "tree") == {"mine": b""}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_damage_is_noticed_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(entry("top/a", extra=ut(5)), b"content " * 50)
        file.writestr(entry("top/l", LINK), b"a")
        file.comment = COMMIT.encode()
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outer = tmp_path / "outer"
    outer.mkdir()
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    try:
        unpack(path, outer / "tree", commit=COMMIT)
    except FetchError:
        assert listing(outer) == {}
    else:
        assert [path.name for path in outer.iterdir()] == ["tree"]
    finally:
        shutil.rmtree(outer)
