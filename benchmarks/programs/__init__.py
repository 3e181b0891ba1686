"""Programs that run in other processes, as ``python -m benchmarks.programs.NAME``, in the environment that they measure.

What they import of this package needs the standard library alone.
"""
