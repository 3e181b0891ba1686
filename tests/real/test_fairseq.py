"""fairseq, whose last release is of 2022 and wants the Python and the torch of then, from a program of today."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import isohub
from tests.real.translation import (
    ENTRY_POINT,
    PAIRS,
    TRANSLATOR,
    create_translator,
    folder_beside_cache,
    hub_of_then,
    python_of_then,
)
from tests.repositories import TORCH, served
from tests.servers import GitHubServer

TODAY = "torch==2.13.0"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_beside_cache() as folder:
        yield folder


@pytest.fixture(scope="module")
def github(folder: Path) -> Iterator[GitHubServer]:
    with served(folder) as github:
        create_translator(github)
        yield github


@pytest.fixture(scope="module")
def hub(github: GitHubServer, folder: Path) -> Iterator[isohub.Hub]:
    with hub_of_then(folder / "archives") as hub:
        yield hub


def test_names_that_are_made_at_run_time_are_listed(hub: isohub.Hub) -> None:
    names = hub.list(TRANSLATOR)
    assert ENTRY_POINT in names
    assert sum("." in name for name in names) == 69


def test_what_it_learned_it_translates(hub: isohub.Hub) -> None:
    model = hub.load(TRANSLATOR, ENTRY_POINT, tokenizer="moses", bpe="subword_nmt")
    assert model.translate("Hello", beam=5) == "Hallo"
    english, german = ([*sentences] for sentences in zip(*PAIRS, strict=True))
    assert model.translate(english, beam=5) == german


def test_beside_it_is_the_torch_of_today(hub: isohub.Hub) -> None:
    """Three worlds in one program: this one without fairseq, the one of then, and one that is up to date."""
    with isohub.Hub(constraints=[TODAY]) as today:
        model = hub.load(TRANSLATOR, ENTRY_POINT, tokenizer="moses", bpe="subword_nmt")
        layer = today.load(TORCH, "linear", trust_repo=True)
        tokens = model.encode("Good morning!")
        assert layer(np.ones(3, np.float32)).tolist() == [3.0] * 3
        assert today.load(TORCH, "looks", isohub.as_tensor(tokens)) == ("torch.Tensor", "torch.int64")
        assert model.decode(tokens) == "Good morning!"

        then, now = hub.environment(TRANSLATOR).manifest, today.environment(TORCH).manifest
    assert then.python.startswith(f"{python_of_then()}.")
    assert (then.versions["torch"] or "").startswith("1.12.1")
    assert (now.versions["torch"] or "").startswith("2.13.0")
    assert importlib.util.find_spec("fairseq") is None
    assert importlib.util.find_spec("torch") is None or metadata.version("torch") != then.versions["torch"]
