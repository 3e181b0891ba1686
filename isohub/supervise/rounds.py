"""The rounds: once a second somebody looks at every worker of this process. No call waits for that, or pays for it.

It is one thread for all workers, which is there while there are any.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from isohub.supervise.memory import oom_kills

__all__ = ["SECONDS", "oom_killed_lately", "start_looking", "stop_looking"]

SECONDS = 1.0
# What happened before so many rounds is no explanation for what happens now.
_LATELY = 3


class _Rounds:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: list[Callable[[float], None]] = []
        self._running = False
        self.oom_kills: deque[int | None] = deque(maxlen=_LATELY)

    def start(self, look: Callable[[float], None]) -> None:
        with self._lock:
            self._looks.append(look)
            if not self._running:
                self._running = True
                self.oom_kills.clear()
                self.oom_kills.append(oom_kills())
                threading.Thread(target=self._run, name="isohub-rounds", daemon=True).start()

    def stop(self, look: Callable[[float], None]) -> None:
        with self._lock:
            self._looks.remove(look)

    def _run(self) -> None:
        while True:
            time.sleep(SECONDS)
            with self._lock:
                looks = [*self._looks]
                if not looks:
                    self._running = False
                    return
            self.oom_kills.append(oom_kills())
            now = time.monotonic()
            for look in looks:
                look(now)


def start_looking(look: Callable[[float], None]) -> None:
    """Call `look` with the time, once a round from now on; it must neither wait nor raise."""
    _rounds.start(look)


def stop_looking(look: Callable[[float], None]) -> None:
    """Call it no more; a call that has begun may go on."""
    _rounds.stop(look)


def oom_killed_lately() -> bool | None:
    """Whether the kernel has killed somebody lately, for want of memory; None if it does not tell, or nobody looks."""
    now, before = oom_kills(), next(iter(_rounds.oom_kills), None)
    return None if now is None or before is None else now > before


def _after_fork_in_child() -> None:
    global _rounds
    _rounds = _Rounds()


_rounds = _Rounds()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
