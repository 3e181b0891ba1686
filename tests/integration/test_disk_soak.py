"""Ten processes build, load, verify and prune one environment at once: each gets what it wants, or is told what to do.

For some seconds here; ``make soak`` does it for a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from isohub.envs.store import Environment
from isohub.hub import Hub

SECONDS = float(os.environ.get("ISOHUB_SOAK_SECONDS", "5"))
PROCESSES = 10

WORKER = """
import json, random, sys, time
from pathlib import Path
from isohub.errors import IsohubError
from isohub.hub import Hub

number, seconds, repo = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
chance = random.Random(number)
done = []

def load():
    with Hub() as hub:
        return hub.load(repo, "Net", source="local", verbose=False).one()

def build():
    with Hub() as hub:
        return len(hub.environment(repo, source="local", verbose=False).entry_points)

def verify():
    with Hub() as hub:
        return [[fault.path for fault in damage.faults] for damage in hub.verify(verbose=False)]

def prune():
    with Hub() as hub:
        return len(hub.prune(hub.plan_prune()).failed)

sys.stdin.readline()
end = time.monotonic() + seconds
while time.monotonic() < end:
    verbs = [load, load, build, verify, prune]
    what = chance.choice(verbs) if done else verbs[number % 5]
    try:
        done.append([what.__name__, what(), None])
    except IsohubError as error:
        done.append([what.__name__, None, f"{type(error).__name__}: {error}"])
print(json.dumps(done))
"""


def test_ten_processes_at_once(home: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "hubconf.py").write_text(
        "dependencies = ['six']\nimport six\nclass Net:\n    def one(self): return 1\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number), str(SECONDS), str(repo)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=SECONDS + 120) for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, [error for _, error in ended]
    done = [item for output, _ in ended for item in json.loads(output)]
    counted = Counter(name for name, _, error in done if error is None)
    errors = [f"{name}: {error}" for name, _, error in done if error is not None]
    print(f"{dict(counted)} in {SECONDS:.0f} s, {len(errors)} errors")
    assert errors == []
    assert counted.keys() == {"load", "build", "verify", "prune"}
    expected = {"load": 1, "build": 1, "verify": [], "prune": 0}
    assert [item for item in done if item[1] != expected[item[0]]] == []
    # What is left is whole or nothing.
    with Hub(home=home) as hub:
        assert all(isinstance(item, Environment) for item in hub.environments())
        assert hub.prune(hub.plan_prune()).failed == ()
        assert hub.environments() == []
    assert {path.suffix for path in (home / "envs-v1").iterdir()} == {".lock", ".users"}
    assert list(home.rglob("*.partial")) == []
    assert [path.name for path in (home / "logs").glob("build-*")] == []
