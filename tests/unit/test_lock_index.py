"""Each distribution of a lock that comes from the web gets an index, and nothing else does."""

from __future__ import annotations

from isohub.envs.lock_index import with_index

_LOCK = """\
lock-version = "1.0"

[[packages]]
name = "numpy"
version = "2.2.6"
sdist = { url = "https://files.example/numpy-2.2.6.tar.gz", hashes = { sha256 = "00" } }
wheels = [{ url = "https://files.example/numpy-2.2.6-cp311.whl", hashes = { sha256 = "01" } }]

[[packages]]
name = "six"
version = "1.16.0"
index = "https://elsewhere.example/simple"
wheels = [{ url = "https://files.example/six-1.16.0.whl", hashes = { sha256 = "02" } }]

[[packages]]
name = "torch"
version = "2.13.0+cpu"
wheels = [{ url = "file:///wheels/torch.whl", hashes = { sha256 = "03" } }]

[[packages]]
name = "mine"
archive = { url = "https://files.example/mine.zip", hashes = { sha256 = "04" } }

[[packages]]
name = "tool"
version = "1.0"
vcs = { type = "git", url = "https://code.example/tool", commit-id = "05" }
"""


def test_only_what_has_none_and_comes_from_an_index_gets_one() -> None:
    named = with_index(_LOCK, "https://index.example/simple")
    added = 'version = "2.2.6"\nindex = "https://index.example/simple"\n'
    assert named == _LOCK.replace('version = "2.2.6"\n', added)


def test_it_is_given_once() -> None:
    once = with_index(_LOCK, "https://index.example/simple")
    assert with_index(once, "https://index.example/simple") == once


def test_a_lock_without_packages_stays_as_it_is() -> None:
    assert with_index('lock-version = "1.0"\n', "https://index.example/simple") == 'lock-version = "1.0"\n'
