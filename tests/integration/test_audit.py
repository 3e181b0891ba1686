"""The audit of what isohub is installed with: it fails over a vulnerability, and over nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"
WHOLE = {"name": "six", "version": "1.0", "vulns": []}
BAD = {"name": "yaml", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "zmq", "skip_reason": "not found"}


def audit(
    folder: Path, report: list[dict[str, Any]] | None, said: str = "", status: int = 0
) -> tuple[int, str]:
    """What it makes of a pip-audit that writes this report and says this."""
    program = folder / "pip-audit"
    (folder / "report").write_text(json.dumps({"dependencies": report, "fixes": []}))
    write = f'for last; do :; done; cp "{folder}/report" "$last"; ' if report is not None else ""
    program.write_text(f"#!/bin/sh\n{write}echo '{said}' >&2; exit {status}\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, AUDIT, program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_vulnerability_fails(tmp_path: Path) -> None:
    code, out = audit(tmp_path, [WHOLE, BAD, UNKNOWN], "Found 1 known vulnerability", 1)
    assert (code, out) == (1, "audit: yaml 2.0: PYSEC-1, fixed in 2.1\n")


def test_what_is_in_order_passes(tmp_path: Path) -> None:
    assert audit(tmp_path, [WHOLE, UNKNOWN]) == (0, "audit: no known vulnerability in 1 of 2 distributions\n")


@pytest.mark.parametrize("report", [[], [UNKNOWN], [UNKNOWN, {**BAD, "name": "pip"}]])
def test_no_advisories_for_anything_is_said_and_passes(tmp_path: Path, report: list[dict[str, Any]]) -> None:
    code, out = audit(tmp_path, report)
    assert code == 0
    assert out.startswith("audit: skipped: there are advisories for none of the ")
    assert out.count("\n") == 1


def test_a_service_that_cannot_be_reached_is_said_and_passes(tmp_path: Path) -> None:
    code, out = audit(tmp_path, None, "ERROR: ConnectionError: Max retries exceeded", 1)
    assert code == 0
    assert out.startswith("audit: skipped: the advisories cannot be reached")


def test_an_audit_that_fails_otherwise_fails(tmp_path: Path) -> None:
    code, out = audit(tmp_path, None, "usage: no such option", 2)
    assert code == 1
    assert "no such option" in out
