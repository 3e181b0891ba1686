"""The same targets, driven by atheris: it keeps what reaches code that nothing has reached yet, and goes on from there.

``python -m tests.fuzz.guided --target NAME [--runs N] [--seconds N] [--corpus FOLDER]``. It needs the extra ``fuzz``. It is many
times slower for each input than ``python -m tests.fuzz``, whose mutator it shares.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["isohub_worker", "isohub.rpc"]):
    from isohub_worker.packets import pack
    from tests.fuzz.guard import Guard
    from tests.fuzz.mutator import Mutator
    from tests.fuzz.targets import TARGETS

# After so many inputs a target begins anew, so that what it keeps, as it should, is no growth.
_BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--target", choices=sorted(TARGETS), required=True)
    parser.add_argument(
        "--runs", type=int, default=-1, help="how many inputs; as many as there is time for if not given"
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="where what was found is kept for the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isohub-fuzz-") as scratch:
        corpus = options.corpus or Path(scratch)
        _run(options, corpus)


def _run(options: argparse.Namespace, corpus: Path) -> None:
    target: Any = TARGETS[options.target](Guard())
    samples = target.samples()
    target.renew()
    sound = Mutator(samples, 0)
    for number, sample in enumerate(samples):
        (corpus / f"sound-{number}").write_bytes(_joined(list(pack(sound.unchanged(sample)))))
    fed = 0

    def feed(data: bytes) -> None:
        nonlocal fed
        fed += 1
        if fed % _BATCH == 0:
            target.renew()
        target.feed(_split(data) or [b""])

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        sound.begin(seed)
        return _joined(sound.frames())[:most]

    arguments = [
        f"-max_total_time={options.seconds}",
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        "-max_len=65536",
    ]
    arguments += ["-timeout=30", "-rss_limit_mb=2048", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], feed, custom_mutator=mutate)
    atheris.Fuzz()


def _joined(frames: list[Any]) -> bytes:
    """Frames as one text of bytes, each after its length."""
    return b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)


def _split(data: bytes) -> list[bytes]:
    """The frames of any text of bytes; a length that leads out of it ends at its end."""
    frames = []
    while len(data) > 4:
        (size,) = struct.unpack_from("<I", data)
        frames.append(data[4 : 4 + size])
        data = data[4 + size :]
    return frames


if __name__ == "__main__":
    main()
