"""Running one program to its end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from isohub.envs.process import run_program
from tests.workers import exists, until

DAEMON = """
import os, subprocess, sys
program = "import os, time\\nif os.fork() == 0:\\n    print(os.getpid(), flush=True)\\n    time.sleep(600)"
started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
print(started.stdout.readline().decode(), flush=True)
"""


def test_a_daemon_that_it_leaves_is_ended(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w+b") as output:
        arguments = [sys.executable, "-c", DAEMON]
        assert run_program(arguments, environ=os.environ, folder=tmp_path, output=output, limit=60) == 0
        output.seek(0)
        pid = int(output.read())
    until(lambda: not exists(pid))
