"""What a Hub is told of GPUs, and which of those that are there it means."""

from __future__ import annotations

import re
from typing import Any

import pytest

from isohub.errors import ConfigError, GpuNotFound
from isohub.supervise.gpus import MASKS, choose, masks, parse, usable, visible
from isohub.supervise.nvml import Device

GIB = 2**30
A, B = Device(0, "GPU-aaaa-1", "A100", 5 * GIB, 80 * GIB), Device(2, "GPU-aabb-2", "H100", GIB, 80 * GIB)
M, N = (
    Device(3, "MIG-aaaa-3", "3g.40gb", 9 * GIB, 40 * GIB),
    Device(3, "MIG-bbbb-4", "3g.40gb", 2 * GIB, 40 * GIB),
)
D = Device(3, "GPU-cccc-5", "H100", 11 * GIB, 80 * GIB, (M, N))
UNKNOWN = Device(4, "GPU-dddd-6", "GB10", None, None)
ALL = [A, B, D, UNKNOWN]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("auto", "auto"),
        ([], ()),
        ([0], (0,)),
        ((2, 0), (2, 0)),
        (["1", "GPU-aaaa-1"], (1, "GPU-aaaa-1")),
        (range(2), (0, 1)),
        (["MIG-GPU-aaaa-1/7/0"], ("MIG-GPU-aaaa-1/7/0",)),
        (["amd:0", "amd:1"], ("amd:0", "amd:1")),
        (["amd:GPU-0123abcd"], ("amd:GPU-0123abcd",)),
        (["intel:0", "intel:1.1"], ("intel:0", "intel:1.1")),
    ],
)
def test_what_a_hub_is_told(told: Any, meant: object) -> None:
    assert parse(told) == meant


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (0, "gpus is 0, not GPUs"),
        (True, "gpus is True, not GPUs"),
        ("0", "gpus is '0', not GPUs"),
        ("GPU-aaaa-1", "gpus is 'GPU-aaaa-1', not GPUs"),
        ({0: 1}, "gpus is {0: 1}, not GPUs"),
        ([True], "gpus has True, which names no GPU"),
        ([-1], "gpus has -1, which names no GPU"),
        ([0.0], "gpus has 0.0, which names no GPU"),
        ([None], "gpus has None, which names no GPU"),
        ([[0]], "gpus has [0], which names no GPU"),
        (["auto"], "gpus has 'auto', which names no GPU"),
        ([""], "gpus has '', which names no GPU"),
        (["GPU-a,GPU-b"], "gpus has 'GPU-a,GPU-b', which names no GPU"),
        (["GPU-a\n"], "gpus has 'GPU-a\\n', which names no GPU"),
        (["amd:"], "gpus has 'amd:', which names no GPU"),
        (["amd:0,1"], "gpus has 'amd:0,1', which names no GPU"),
        (["apple:0"], "gpus has 'apple:0', which names no GPU"),
        ([0, 0], "gpus names one twice: [0, 0]"),
        ([0, "0"], "gpus names one twice: [0, 0]"),
        ([0, "amd:0"], "gpus has more than one maker's: [0, 'amd:0']"),
    ],
)
def test_what_means_nothing(told: object, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        parse(told)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ([0], [A]),
        ([2, 0], [B, A]),
        (["GPU-aaaa-1"], [A]),
        (["GPU-aab"], [B]),
        (["MIG-b"], [N]),
        ([], []),
    ],
)
def test_which_are_meant(wanted: list[int | str], meant: list[Device]) -> None:
    assert choose(wanted, ALL) == meant


@pytest.mark.parametrize("wanted", [1, 5, "GPU-aa", "GPU-eeee", "MIG-aaaa-3x", "GPU-AAAA-1"])
def test_which_are_not_there(wanted: int | str) -> None:
    with pytest.raises(GpuNotFound, match="there is no GPU") as caught:
        choose([wanted], ALL)
    assert (caught.value.tail or "").splitlines() == [
        "0  GPU-aaaa-1  A100, 5.0 of 80.0 GiB used",
        "2  GPU-aabb-2  H100, 1.0 of 80.0 GiB used",
        "3  GPU-cccc-5  H100, 11.0 of 80.0 GiB used",
        "   MIG-aaaa-3  3g.40gb, 9.0 of 40.0 GiB used",
        "   MIG-bbbb-4  3g.40gb, 2.0 of 40.0 GiB used",
        "4  GPU-dddd-6  GB10",
    ]


def test_a_divided_gpu_has_to_be_named_by_its_parts() -> None:
    for name in (3, "GPU-cccc-5"):
        with pytest.raises(ConfigError, match="divided by MIG"):
            choose([name], ALL)
    with pytest.raises(ConfigError, match="divided by MIG"):
        choose([0], [Device(0, "GPU-a", "H100", 0, 1, ())])


def test_one_is_not_named_twice_by_two_names() -> None:
    with pytest.raises(ConfigError, match="names one twice"):
        choose([0, "GPU-aaaa-1"], ALL)


def test_the_least_used_comes_first_and_the_unknown_last() -> None:
    assert usable(ALL) == [B, N, A, M, UNKNOWN]
    assert usable([Device(1, "GPU-x", "", 0, 1), Device(0, "GPU-y", "", 0, 1)])[0].index == 1
    assert usable([Device(0, "GPU-a", "H100", 0, 1, ())]) == []


@pytest.mark.parametrize(
    ("mask", "left"),
    [
        (None, ALL),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", [A]),
        ("2, 0", [B, A]),
        ("0,9,2", [A]),
        ("GPU-aaaa-1,MIG-bbbb-4", [A, N]),
        ("GPU-aa", []),
    ],
)
def test_what_a_mask_leaves(mask: str | None, left: list[Device]) -> None:
    assert visible(ALL, mask) == left


def test_the_variables_of_each_maker() -> None:
    assert masks("nvidia", ["GPU-a", "GPU-b"]) == {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}
    assert masks("nvidia", []) == {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}
    assert masks("amd", ["3", "1"]) == {
        "ROCR_VISIBLE_DEVICES": "3,1",
        "HIP_VISIBLE_DEVICES": "0,1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    assert masks("intel", ["1.0"]) == {"ZE_AFFINITY_MASK": "1.0"}
    everything = [masks(maker, ids) for maker in ("nvidia", "amd", "intel") for ids in (["0"], [])]
    assert {name for each in everything for name in each} == MASKS
