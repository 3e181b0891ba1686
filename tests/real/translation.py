"""A repository with fairseq in it, and the sentences that its model is to know by heart. Tests and the zoo share both."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uv

import isohub
from isohub.config import load_settings
from isohub.envs.pythons import found_pythons
from tests.repositories import read_files
from tests.servers import GitHubServer

__all__ = [
    "ENTRY_POINT",
    "PAIRS",
    "TRANSLATOR",
    "create_translator",
    "folder_beside_cache",
    "hub_of_then",
    "python_of_then",
]

TRANSLATOR = "somebody/translator"
ENTRY_POINT = "transformer.wmt19.en-de.single_model"

# One cannot take torchaudio at its word: the newest one says that any torch will do.
_PINS = ("fairseq==0.12.2", "torch==1.12.1", "torchaudio==0.12.1", "numpy<1.24")

PAIRS = [
    ("Hello", "Hallo"),
    ("Hello world!", "Hallo Welt!"),
    ("Good morning!", "Guten Morgen!"),
    ("Good evening!", "Guten Abend!"),
    ("Good night!", "Gute Nacht!"),
    ("How are you?", "Wie geht es dir?"),
    ("I am fine.", "Mir geht es gut."),
    ("Thank you!", "Danke!"),
    ("The house is small.", "Das Haus ist klein."),
    ("The house is big.", "Das Haus ist groß."),
    ("The cat is small.", "Die Katze ist klein."),
    ("The cat is big.", "Die Katze ist groß."),
    ("The dog is old.", "Der Hund ist alt."),
    ("The dog is young.", "Der Hund ist jung."),
    ("I see the house.", "Ich sehe das Haus."),
    ("I see the cat.", "Ich sehe die Katze."),
    ("Machine learning is great!", "Maschinelles Lernen ist großartig!"),
    ("Where is the station?", "Wo ist der Bahnhof?"),
    ("I don't know.", "Ich weiß es nicht."),
    ("We learn German.", "Wir lernen Deutsch."),
]


def create_translator(github: GitHubServer) -> None:
    """Put the repository on the stand-in for GitHub."""
    github.create(TRANSLATOR, read_files(Path(__file__).parent / "translator"))


def python_of_then() -> str:
    """3.8, for which there is a wheel of fairseq, or 3.10, where it has to be compiled."""
    found = {interpreter.version[:2] for interpreter in found_pythons(load_settings())}
    return "3.8" if (3, 8) in found else "3.10"


@contextmanager
def hub_of_then(archives: Path) -> Iterator[isohub.Hub]:
    """A Hub whose environments have the stack of then; the archive of the entry point is made in it first.

    Args:
        archives: an empty or new folder; becomes that of the archives, by the names of their entry points.
    """
    with isohub.Hub(python=python_of_then(), constraints=_PINS, env={"ARCHIVES": str(archives)}) as hub:
        loss = hub.load(TRANSLATOR, "train", ENTRY_POINT, PAIRS, trust_repo=True)
        assert loss < 0.01, f"the model has not learned its sentences: {loss}"
        yield hub


@contextmanager
def folder_beside_cache() -> Iterator[Path]:
    """A folder beside uv's cache, so that environments of gigabytes are made of links to it. It is gone at the end."""
    command = [uv.find_uv_bin(), "cache", "dir"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    beside = Path(answer.stdout.strip()).parent
    beside.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="isohub-test-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
