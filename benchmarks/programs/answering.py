"""The other end of a companion: answers lines of JSON with the functions that it is given."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["answer"]


def answer(*functions: Callable[..., Any]) -> None:
    """Serve `functions`, by their names, until standard input ends."""
    named = {function.__name__: function for function in functions}
    # Whatever else is printed in this process, by whomever, must not look like an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            text = json.dumps({"value": named[name](*arguments)})
        except Exception as error:
            traceback.print_exc()
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        answers.write(text + "\n")
        answers.flush()
