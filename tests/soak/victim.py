"""A program that says which process its worker is, and calls it until it is killed: ``python -m tests.soak.victim HOME``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.soak.place import Place

things = Place("victim", Path(sys.argv[1])).load("things")
print(things.pid(), flush=True)
while True:
    things.add(1, 2)
