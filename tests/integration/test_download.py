from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isohub.download import download, download_url_to_file
from isohub.errors import ConfigError, FetchError
from isohub.progress import Step
from isohub.web import Patience, Session
from tests.servers import FileServer

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HURRIED = Patience(tries=3, silence=0.5, pause=0.01, deadline=2.0)


@pytest.fixture
def url(files: FileServer) -> str:
    return files.put("/weights-abc.pth", CONTENT)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"old")
    return path


def only(path: Path) -> bytes:
    """The file's content; it is alone in its folder."""
    assert list(path.parent.iterdir()) == [path]
    return path.read_bytes()


def test_a_file_is_downloaded(url: str, tmp_path: Path) -> None:
    download_url_to_file(url, str(tmp_path / "weights.pth"))
    assert only(tmp_path / "weights.pth") == CONTENT


def test_a_file_is_replaced(url: str, old: Path) -> None:
    download_url_to_file(url, old, SHA256[:8], progress=False)
    assert only(old) == CONTENT


def test_the_home_folder_is_understood(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    download_url_to_file(url, "~/weights.pth")
    assert only(tmp_path / "weights.pth") == CONTENT


def test_a_file_url_is_copied(tmp_path: Path, old: Path) -> None:
    (tmp_path / "to").mkdir()
    download_url_to_file(old.as_uri(), tmp_path / "to" / "x.pth", hashlib.sha256(b"old").hexdigest())
    assert only(tmp_path / "to" / "x.pth") == b"old"
    with pytest.raises(FetchError, match="cannot read"):
        download_url_to_file((tmp_path / "missing").as_uri(), tmp_path / "to" / "y.pth")


def test_another_hash_is_an_error_in_torch_hubs_words(url: str, old: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        download_url_to_file(url, old, "abcd1234")
    assert isinstance(caught.value, FetchError)
    assert f'invalid hash value (expected "abcd1234", got "{SHA256}")' in str(caught.value)
    assert only(old) == b"old"


def test_an_interrupted_download_leaves_what_was_there(files: FileServer, url: str, old: Path) -> None:
    files.fail("/weights", truncate=100_000)
    with Session(HURRIED) as session, pytest.raises(FetchError):
        download(url, old, session=session)
    assert only(old) == b"old"
    assert files.count() == HURRIED.tries


def test_a_download_that_breaks_off_begins_anew(files: FileServer, url: str, old: Path) -> None:
    advanced: list[int] = []

    class Counting(Step):
        def advance(self, amount: int) -> None:
            advanced.append(amount)

    files.fail("/weights", truncate=4_000_000, times=2)
    with Session(HURRIED) as session:
        download(url, old, sha256_prefix=SHA256, session=session, step=Counting())
    assert only(old) == CONTENT
    assert sum(advanced) == len(CONTENT)


def test_a_keyboard_interrupt_leaves_what_was_there(files: FileServer, url: str, old: Path) -> None:
    files.fail("/weights", hang=True)
    code = "import sys; from isohub.download import download_url_to_file; download_url_to_file(*sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, url, str(old)], stderr=subprocess.DEVNULL)
    while files.count() == 0:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert only(old) == b"old"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 404}, ["answered 404"]),
        ({"status": 500}, ["answered 500", "try again later"]),
        ({"hang": True}, ["silent for"]),
        ({"status": 302, "headers": {"Location": "/weights-abc.pth"}}, ["cannot get"]),
        ({"status": 302, "headers": {"Location": "gopher://example.com/"}}, ["cannot get"]),
    ],
)
def test_errors_name_the_file_and_the_fault(
    files: FileServer, url: str, old: Path, fault: dict[str, object], words: list[str]
) -> None:
    files.fail("/weights", **fault)  # type: ignore[arg-type]
    with Session(HURRIED) as session, pytest.raises(FetchError) as caught:
        download(f"{url}?signature=s3cret", old, session=session)
    assert all(word in str(caught.value) for word in [url, *words])
    assert "s3cret" not in str(caught.value)
    assert only(old) == b"old"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/x", "ftp://example.com/x", "nonsense", "http://", "http://[::bad/x", ""]
)
def test_addresses_that_lead_nowhere_are_errors(old: Path, address: str) -> None:
    with Session(HURRIED) as session, pytest.raises(FetchError):
        download(address, old, session=session)
    assert only(old) == b"old"


def test_a_file_that_is_too_long_is_refused(url: str, old: Path) -> None:
    with pytest.raises(FetchError, match="longer than the 1000 bytes"):
        download(url, old, max_bytes=1000)
    assert only(old) == b"old"


def test_a_server_that_only_drips_is_given_up(
    files: FileServer, url: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isohub.download._SLOWEST_SECONDS", 0.3)
    files.fail("/weights", drip=0.01)
    with pytest.raises(FetchError, match="hardly anything"):
        download(url, old)
    assert only(old) == b"old"


def test_compressed_files_stay_compressed(files: FileServer, old: Path) -> None:
    packed = gzip.compress(CONTENT)
    url = files.put("/weights.gz", packed)
    files.headers = {"Content-Encoding": "gzip"}
    download_url_to_file(url, old)
    assert only(old) == packed


def test_a_folder_that_does_not_exist_is_an_error_that_names_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"cannot write {tmp_path / 'missing' / 'x'}"):
        download_url_to_file(url, tmp_path / "missing" / "x")


def test_the_users_umask_holds(url: str, tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        download_url_to_file(url, tmp_path / "x")
    finally:
        os.umask(previous)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_certificate_setting_that_leads_nowhere_is_named(
    url: str, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        download_url_to_file(url, old)
