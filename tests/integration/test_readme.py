"""The README's code runs as it is printed, against repositories that offer what the real ones do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import GitHubServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# As the real one: it imports what it does not declare, and answers a model and five functions.
HUBCONF = """\
dependencies = ["numpy"]
import numpy
import packaging

class Model:
    def __call__(self, chunk, sampling_rate):
        return numpy.full((1, 1), THRESHOLD, numpy.float32)

def get_speech_timestamps(audio, model, sampling_rate=16000):
    return [{"start": 0, "end": len(audio)}] if model(audio, sampling_rate)[0, 0] > 0.5 else []

def silero_vad(onnx=False):
    return Model(), (get_speech_timestamps, print, print, Model, print)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith("isohub ")]


@pytest.fixture
def folder(github: GitHubServer, tmp_path: Path) -> Path:
    """A working folder, in a world where the repositories of the README are."""
    repository = github.create("snakers4/silero-vad", {"hubconf.py": f"THRESHOLD = 0.25\n{HUBCONF}"})
    repository.tag("v4.0")
    repository.commit({"hubconf.py": f"THRESHOLD = 0.75\n{HUBCONF}"})
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_start_runs_as_printed(folder: Path) -> None:
    (script,) = blocks("python")
    (folder / "quick_start.py").write_text(script)
    assert run([sys.executable, "quick_start.py"], folder).splitlines() == [
        "speech, says the newest: [[0.75]]",
        "speech, says v4.0: [[0.25]]",
        "from, to: [{'start': 0, 'end': 16000}]",
    ]


def test_the_commands_run_as_printed(folder: Path) -> None:
    program = Path(sys.executable).with_name("isohub")
    printed = [run([str(program), *shlex.split(line)[1:]], folder) for line in commands()]
    listed, explained, *_ = printed
    assert "silero_vad" in listed.split()
    assert re.search(r"packaging.*\n.*hubconf\.py:\d", explained)


def test_the_files_that_are_named_are_there() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    rules = re.findall(r"`make (\w+)`", README)
    makefile = (ROOT / "Makefile").read_text()
    assert rules
    assert all(re.search(rf"^{rule}:", makefile, re.MULTILINE) for rule in rules)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
