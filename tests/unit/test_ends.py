"""How a process ended, in words."""

from __future__ import annotations

import pytest

from isohub.supervise.ends import how_it_ended, what_it_may_mean


@pytest.mark.parametrize(
    ("status", "oom_killed", "text"),
    [
        (None, False, "nobody knows how"),
        (3, False, "exited with status 3"),
        (3, True, "exited with status 3"),
        (-9, False, "was ended by SIGKILL"),
        (-9, True, "was ended by SIGKILL, probably by the kernel's OOM killer, for want of memory"),
        (-15, True, "was ended by SIGTERM"),
        (-200, False, "was ended by signal 200"),
    ],
)
def test_how_it_ended(status: int | None, oom_killed: bool, text: str) -> None:
    assert how_it_ended(status, oom_killed=oom_killed).endswith(text)


@pytest.mark.parametrize(
    ("status", "oom_killed", "max_memory", "text"),
    [
        (1, None, 1 << 20, "the log says"),
        (-9, None, None, "perhaps the kernel"),
        (-9, False, 1 << 20, "not the kernel"),
        (-9, True, None, "make more memory free"),
        (-11, None, None, "native code crashed"),
        (-6, None, 1 << 20, "max_memory, which is 1.0 MiB"),
        (-15, None, 1 << 20, "the log may say why"),
    ],
)
def test_what_it_may_mean(status: int, oom_killed: bool | None, max_memory: int | None, text: str) -> None:
    assert text in what_it_may_mean(status, oom_killed=oom_killed, max_memory=max_memory)
