"""Deadlines of single calls."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import isohub
from isohub.errors import CallTimeout, ConfigError
from tests.workers import PATIENCE, PYTHONS, WIRE, Remote, environment, start


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(PYTHONS[-1], *WIRE)


@pytest.fixture
def remote(python: Path, tmp_path: Path) -> Iterator[Remote]:
    with start(python, "objects", tmp_path, threads=4) as remote:
        yield remote


def test_a_call_may_have_a_timeout_of_its_own(remote: Remote) -> None:
    keeper = remote.load("gate_keeper")
    began = time.monotonic()
    with pytest.raises(CallTimeout, match=r"did not answer within 0.2 s \(method\)"):
        isohub.options(timeout=0.2)(keeper.wait)()
    assert time.monotonic() - began < PATIENCE
    assert isohub.options(timeout=PATIENCE)(keeper.same)(7) == 7
    caller = isohub.options(timeout=PATIENCE)(remote.load("caller"))
    assert caller(1, turn=2) == ((1,), {"turn": 2})
    keeper.open()


def test_it_holds_for_futures_and_awaited_calls(remote: Remote) -> None:
    keeper = remote.load("gate_keeper")
    limited = isohub.options(timeout=0.2)(keeper.wait)
    future = isohub.submit(limited)
    with pytest.raises(CallTimeout, match=r"within 0.2 s"):
        future.result(PATIENCE)
    with pytest.raises(CallTimeout, match=r"within 0.2 s"):
        asyncio.run(_awaited(limited))
    assert isohub.submit(isohub.options(timeout=PATIENCE)(keeper.same), 3).result() == 3
    assert asyncio.run(_awaited(isohub.options(timeout=PATIENCE)(keeper.same), 4)) == 4
    keeper.open()


async def _awaited(fn: Any, *args: Any) -> Any:
    return await isohub.acall(fn, *args)


def test_it_goes_before_that_of_all_calls(python: Path, tmp_path: Path) -> None:
    with start(python, "objects", tmp_path, timeout=0.2) as remote:
        patient = isohub.options(timeout=None)(remote.load("gate_keeper").sleep)
        assert patient(0.5) == 0.5
        assert isohub.submit(patient, 0.5).result() == 0.5
        assert asyncio.run(_awaited(patient, 0.5)) == 0.5
        # The one that is said last.
        with pytest.raises(CallTimeout, match=r"within 0.1 s"):
            isohub.options(timeout=0.1)(patient)(0.5)


def test_what_is_no_timeout_or_no_callable_is_refused(remote: Remote) -> None:
    wrong: list[Any] = [0, -1, math.nan, math.inf, "2", True]
    for timeout in wrong:
        with pytest.raises(ConfigError, match="number of seconds"):
            isohub.options(timeout=timeout)
    others: list[Any] = [remote.load("thing"), len, None, 3]
    for what in others:
        with pytest.raises(TypeError, match="remote callable"):
            isohub.options(timeout=1)(what)
