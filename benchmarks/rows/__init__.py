"""What is measured, by name."""

from __future__ import annotations

from benchmarks.findings import Measure
from benchmarks.rows.calls import measure_sent_back, measure_small_tensor, measure_trivial
from benchmarks.rows.memory import measure_memory
from benchmarks.rows.payloads import measure_round_trip, measure_sweep
from benchmarks.rows.pipelined import measure_generator, measure_pipelined
from benchmarks.rows.startup import measure_another_worker, measure_first_result
from benchmarks.rows.torch_host import measure_torch_host
from benchmarks.rows.workers import measure_many_workers

__all__ = ["ROWS"]

ROWS: dict[str, Measure] = {
    "trivial": measure_trivial,
    "small-tensor": measure_small_tensor,
    "round-trip": measure_round_trip,
    "sent-back": measure_sent_back,
    "pipelined": measure_pipelined,
    "generator": measure_generator,
    "another-worker": measure_another_worker,
    "first-result": measure_first_result,
    "memory": measure_memory,
    "many-workers": measure_many_workers,
    "torch-host": measure_torch_host,
    "sweep": measure_sweep,
}
"""In the order of the table; each name is one for the command line."""
