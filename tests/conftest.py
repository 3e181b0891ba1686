"""For all tests."""

from __future__ import annotations

import signal

# What starts the suite in the background of a shell has it ignore interrupts, and every program that a test starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
