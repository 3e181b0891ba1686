"""The random numbers of a fork: as different from those of its siblings as the numbers of separate processes are."""

from __future__ import annotations

import sys

__all__ = ["begin_anew"]

# A seed that somebody chose is smaller, one that torch drew for itself is not, but once in four thousand million processes.
_DRAWN = 1 << 32
# The constant that is the seed where torch draws none.
_TORCH_CONSTANT = 67280421310721


def begin_anew() -> None:
    """Seed the generators that every process seeds by chance; to be called in a fork.

    Python's own has seen to that by itself. Torch's is left alone if the hubconf has seeded it. Python's and NumPy's do not tell
    whether somebody has.
    """
    numpy_random = sys.modules.get("numpy.random")
    if hasattr(numpy_random, "seed"):
        numpy_random.seed()  # type: ignore[union-attr]
    torch = sys.modules.get("torch")
    generator = getattr(torch, "default_generator", None)
    if generator is not None:
        seed = generator.initial_seed()
        if seed >= _DRAWN and seed != _TORCH_CONSTANT:
            generator.seed()
