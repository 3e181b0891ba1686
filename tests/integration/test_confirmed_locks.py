"""A lock that was made where strangers' builds could write it: nothing in it is believed of what is not built in there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isohub.config import load_settings
from isohub.envs.buildlog import BuildLog
from isohub.envs.lock import Lock, parse_lock
from isohub.envs.plan import Plan
from isohub.envs.resolve import Question, _confirmed
from isohub.envs.uv import load_uv
from isohub.errors import ResolveError
from isohub.hubconf.requirements import parse_requirement
from tests.environments import PackageIndex, make_wheel, one_of_each

HEAD = 'lock-version = "1.0"\ncreated-by = "uv"\n\n'


@pytest.fixture
def index(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index with a distribution called victim, and beside it another one that says it were that."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PackageIndex() as index:
        url = index.offer("right", make_wheel(tmp_path / "right", "victim"))
        index.offer("wrong", make_wheel(tmp_path / "wrong", "victim", source="wrong = True\n"))
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        yield index


@pytest.fixture
def confirm(index: PackageIndex, tmp_path: Path) -> Callable[[str], Lock]:
    settings = load_settings()
    question = Question(
        Plan((parse_requirement("victim", "hubconf.py"),), ()), one_of_each(settings)[-1], "repo"
    )

    def confirm(text: str) -> Lock:
        return _confirmed(parse_lock(text), question, load_uv(settings), tmp_path, BuildLog(tmp_path / "log"))

    return confirm


def block(name: str, rest: str, version: str = "1.0") -> str:
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{rest}\n\n'


def wheels(url: str, content: bytes = b"") -> str:
    return f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{hashlib.sha256(content).hexdigest()}" }} }}]'


SOURCE = block(
    "sourced",
    f'sdist = {{ url = "https://x.invalid/sourced-1.0.tar.gz", hashes = {{ sha256 = "{"0" * 64}" }} }}',
)


def test_a_file_is_that_of_the_index(confirm: Callable[[str], Lock], index: PackageIndex) -> None:
    right, wrong = (f"/{place}/files/victim-1.0-py3-none-any.whl" for place in ("right", "wrong"))
    forged = f'index = "{index.url}/right/simple"\n{wheels(index.url + wrong, index.files[wrong])}'
    lock = confirm(HEAD + SOURCE + block("victim", forged))
    assert [item.name for item in lock.packages] == ["sourced", "victim"]
    assert f"{index.url}{right}" in lock.text
    assert hashlib.sha256(index.files[right]).hexdigest() in lock.text
    assert wrong not in lock.text
    assert lock.parted()[1].blocks == [SOURCE]


def test_a_file_of_a_url_stays_that(confirm: Callable[[str], Lock], index: PackageIndex) -> None:
    place = "/wrong/files/victim-1.0-py3-none-any.whl"
    hashes = hashlib.sha256(index.files[place]).hexdigest()
    archive = f'archive = {{ url = "{index.url}{place}", hashes = {{ sha256 = "{hashes}" }} }}'
    lock = confirm(
        HEAD + block("victim", f'archive = {{ url = "{index.url}{place}", hashes = {{ sha256 = "0" }} }}')
    )
    assert archive in lock.text
    assert "index" not in lock.text.replace(index.url, "")


_VICTIM = block("victim", wheels("https://x.invalid/victim-1.0-py3-none-any.whl"))
_LOCAL = '{ path = "/home/somebody/secret-1.0-py3-none-any.whl", hashes = { sha256 = "0" } }'

_SECRETIVE = 'archive = { url = "https://x.invalid/${HF_TOKEN}/a.whl", hashes = { sha256 = "0" } }'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (block("unheard-of", wheels("https://x.invalid/a-1.0-py3-none-any.whl")), "unheard-of was not found"),
        (block("victim", f"archive = {_LOCAL}"), "what nobody asked for"),
        (
            block("victim\\n--index-url https://x.invalid/", wheels("https://x.invalid/a.whl")),
            "what nobody asked for",
        ),
        (
            block("--index-url=https://x.invalid/", wheels("https://x.invalid/a.whl"), ""),
            "what nobody asked for",
        ),
        (block("-r/etc/hosts", wheels("https://x.invalid/a.whl")), "what nobody asked for"),
        (
            block("victim", wheels("https://x.invalid/a.whl"), "1.0@https://x.invalid/a.whl"),
            "Invalid version",
        ),
        (block("victim", _SECRETIVE), "what nobody asked for"),
        (SOURCE + " " + _VICTIM, "means another"),
        (_VICTIM + SOURCE + " " + _VICTIM, "means another"),
        (f'x = """\n{_VICTIM}"""\n{SOURCE}', "sandbox cannot be used"),
    ],
    ids=[
        "another name",
        "a local file",
        "a line",
        "an option",
        "a file",
        "a version",
        "a secret",
        "in another part",
        "twice",
        "in a text",
    ],
)
def test_what_is_forged_is_an_error(confirm: Callable[[str], Lock], text: str, words: str) -> None:
    with pytest.raises(ResolveError, match=words):
        confirm(HEAD + text)


def test_there_may_be_nothing_but_sources(confirm: Callable[[str], Lock]) -> None:
    assert confirm(HEAD + SOURCE).text == HEAD + SOURCE
