"""Unpack a zip archive that a stranger made: all of it, inside the folder it was given, or none of it.

The archive has one folder at its top, as ``git archive --prefix`` and GitHub make it; what is in that folder is unpacked. An
archive is refused whole for names that lead out (absolute, with a drive, ``..``, backslashes), that stand there twice or under
a link, or that git never packs (``.git``); for links that lead out; for anything that is neither file, folder nor link; and for
more entries or bytes than the limits allow, counted while they are unpacked. Names that differ in case only are two files where
the file system says so, and a duplicate where it does not.
"""

from __future__ import annotations

import calendar
import io
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from isohub.errors import FetchError
from isohub.sources.ref import is_commit_id

__all__ = ["Limits", "unpack"]

_CHUNK = 1 << 20
_LONGEST_LINK = 4096
_UNIX = 3
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Limits:
    """What an honest repository stays below.

    Attributes:
        entries: files, folders and links.
        bytes: unpacked, in all.
        ratio: unpacked bytes to packed ones; counts from `ratio_from` bytes on, since few files are full of zeros.
        directory: bytes of the archive's table of contents, which is read at once.
    """

    entries: int = 100_000
    bytes: int = 4 << 30
    ratio: int = 200
    ratio_from: int = 256 << 20
    directory: int = 64 << 20


def unpack(archive: Path, into: Path, *, commit: str, limits: Limits | None = None) -> int | None:
    """Unpack `archive` to the new folder `into`.

    Args:
        commit: the commit it is meant to be of. git writes its commit into the archive's comment, and that has to agree.

    Returns:
        When the commit was made, in seconds since the epoch, if the archive says it.

    Raises:
        FetchError: the archive is refused or damaged; `into` does not exist.
    """
    into.mkdir()
    try:
        with _Bounded(archive, (limits or Limits()).directory) as file, zipfile.ZipFile(file) as opened:
            _check_comment(opened.comment, commit)
            _Unpacking(opened, into, limits or Limits(), archive.stat().st_size).run()
            return _date(opened.infolist())
    except _Refused as refused:
        shutil.rmtree(into)
        raise FetchError(f"the archive of commit {commit} is refused: {refused}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error) as error:
        shutil.rmtree(into)
        raise FetchError(
            f"the archive of commit {commit} is damaged: {error}", hint="try again later"
        ) from error
    except OSError as error:
        shutil.rmtree(into, ignore_errors=True)
        raise FetchError(f"cannot unpack the archive of commit {commit} to {into}: {error}") from error
    except BaseException:
        shutil.rmtree(into)
        raise


class _Refused(Exception):
    """Why the archive is refused."""


class _Bounded(io.FileIO):
    """zipfile reads the table of contents at once, as long as the archive claims it to be; all other reads are short."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path)
        self._limit = limit

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._limit:
            raise _Refused(f"its table of contents has {size} bytes, more than {self._limit}")
        return super().read(size) or b""


class _Unpacking:
    def __init__(self, opened: zipfile.ZipFile, into: Path, limits: Limits, packed: int) -> None:
        self._opened = opened
        self._into = into
        self._limits = limits
        self._packed = packed
        self._written = 0

    def run(self) -> None:
        entries = self._opened.infolist()
        if len(entries) > self._limits.entries:
            raise _Refused(f"it has {len(entries)} entries, more than {self._limits.entries}")
        # Links are made last: until then nothing in the folder can lead a file elsewhere.
        links: list[tuple[Path, str]] = []
        for entry, parts in self._places(entries):
            path = self._into.joinpath(*parts)
            if _kind(entry) == stat.S_IFDIR:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if _kind(entry) == stat.S_IFLNK:
                links.append((path, self._link_target(entry)))
            else:
                self._write_file(entry, path)
        for path, target in links:
            path.symlink_to(target)
        root = self._into.resolve()
        for path, target in links:
            if not Path(os.path.realpath(path)).is_relative_to(root):
                raise _Refused(f"the link {path.name!r} leads out of it, to {target!r}")

    def _places(self, entries: list[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
        """Each entry and where it goes, below the one folder at the top. All names are checked before the first is used."""
        kinds: dict[tuple[str, ...], int] = {}
        for entry in entries:
            parts = _parts(entry)
            if parts in kinds:
                raise _Refused(f"it has {entry.filename!r} twice")
            kinds[parts] = _kind(entry)
        for parts, kind in kinds.items():
            if parts[0] != next(iter(kinds))[0] or (len(parts) == 1 and kind != stat.S_IFDIR):
                raise _Refused("it has more than the one folder at its top")
            for end in range(1, len(parts)):
                if kinds.get(parts[:end], stat.S_IFDIR) != stat.S_IFDIR:
                    raise _Refused(f"it has {'/'.join(parts)!r} below something that is no folder")
        if not kinds:
            raise _Refused("it is empty")
        return iter([(entry, parts[1:]) for entry, parts in zip(entries, kinds, strict=True)])

    def _write_file(self, entry: zipfile.ZipInfo, path: Path) -> None:
        try:
            target = path.open("xb")
        except FileExistsError:
            raise _Refused(f"it has {entry.filename!r} twice, spelt alike for this file system") from None
        with target, self._opened.open(entry) as source:
            while chunk := source.read(_CHUNK):
                self._count(len(chunk))
                target.write(chunk)
        if (entry.external_attr >> 16) & 0o111:
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o444) >> 2)  # for those who may read it, as the umask has it

    def _link_target(self, entry: zipfile.ZipInfo) -> str:
        with self._opened.open(entry) as source:
            data = source.read(_LONGEST_LINK + 1)
        self._count(len(data))
        target = data.decode()
        if not target or len(data) > _LONGEST_LINK or "\0" in target:
            raise _Refused(f"the link {entry.filename!r} has no valid target")
        if target.startswith("/") or "\\" in target or re.match("[A-Za-z]:", target):
            raise _Refused(f"the link {entry.filename!r} leads out of it, to {target!r}")
        return target

    def _count(self, size: int) -> None:
        self._written += size
        limits = self._limits
        if self._written > limits.bytes:
            raise _Refused(f"it unpacks to more than {limits.bytes} bytes")
        if self._written > limits.ratio_from and self._written > limits.ratio * self._packed:
            raise _Refused(f"it unpacks to more than {limits.ratio} times its size")


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    # The name as it stands in the archive: zipfile cuts off what follows a NUL, and turns the system's separators.
    name = entry.orig_filename
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise _Refused(f"the name {name!r} has control characters")
    if "\\" in name or name.startswith("/") or re.match("[A-Za-z]:", name):
        raise _Refused(f"the name {name!r} is absolute or has backslashes")
    parts = tuple(name.removesuffix("/").split("/"))
    for part in parts:
        if part in {"", ".", ".."}:
            raise _Refused(f"the name {name!r} leads out of it or has empty parts")
        if part.lower() == ".git":
            raise _Refused(f"the name {name!r} is git's own")
    return parts


def _kind(entry: zipfile.ZipInfo) -> int:
    """The file type, as :mod:`stat` numbers it."""
    if entry.flag_bits & _ENCRYPTED:
        raise _Refused(f"{entry.filename!r} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _Refused(f"{entry.filename!r} is packed in a way that git does not use")
    if entry.orig_filename.endswith("/"):
        return stat.S_IFDIR
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
    if kind not in {0, stat.S_IFREG, stat.S_IFLNK}:
        raise _Refused(f"{entry.filename!r} is neither file, folder nor link")
    return kind or stat.S_IFREG


def _check_comment(comment: bytes, commit: str) -> None:
    text = comment.decode("ascii", errors="replace").strip()
    if is_commit_id(text) and text.lower() != commit:
        raise _Refused(f"it says that it is of commit {text}")


def _date(entries: list[zipfile.ZipInfo]) -> int | None:
    """git stamps every entry with the commit's time: exactly in the extra field, else to two seconds in the server's zone."""
    exact = [seconds for entry in entries if (seconds := _extended_timestamp(entry.extra)) is not None]
    if exact:
        return max(exact)
    coarse = []
    for entry in entries:
        try:
            coarse.append(calendar.timegm(datetime(*entry.date_time).timetuple()))
        except ValueError:  # a month 0, say
            continue
    return max(coarse, default=None)


def _extended_timestamp(extra: bytes) -> int | None:
    """Info-ZIP's field ``UT``: a byte of flags, then the time of modification if its lowest bit is set."""
    while len(extra) >= 4:
        tag, size = struct.unpack_from("<HH", extra)
        if tag == 0x5455 and 5 <= size <= len(extra) - 4 and extra[4] & 1:
            return int(struct.unpack_from("<i", extra, 5)[0])
        extra = extra[4 + size :]
    return None
