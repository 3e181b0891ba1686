"""Sound messages made unsound, in ways that know what a message is made of, and in ways that do not."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

import msgpack
from msgpack import ExtType

from isohub_worker.forms import LENT_TENSOR, OBJECT, REFERENCE, SMALL_TENSOR
from isohub_worker.packets import pack
from tests.fuzz.corpus import Sample, tree

__all__ = ["Mutator"]

_CODES = [*range(10), *range(32, 42), *range(48, 53), 64, 65, -1, 10, 31, 127]
_NUMBERS = [
    0,
    1,
    -1,
    2,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    4095,
    4096,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
]
_NUMBERS += [2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63), 16, 17, 18, 19, 20, 21, 22]
_WORDS = """
    os system subprocess Popen eval exec __import__ __class__ __reduce__ __globals__ __del__ __getattribute__ __array_interface__
    __iter__ __len__ __index__ __eq__ __call__ __getitem__ __next__ !__hash__ torch.onnx torch.hub torch.float32 cuda:0 meta cpu
    builtins.eval antigravity float32 bfloat16 complex32 <f8 |O8 <U0 <U9999999999 <M8[25s] |V3 <f16 float8_e5m2 RGB P I;16 1
    UnicodeDecodeError UnicodeEncodeError OSError StopIteration SystemExit KeyError SyntaxError ExceptionGroup
    call method load special getattr stream open
""".split()
_SCALARS: list[Any] = [
    None,
    True,
    False,
    0.0,
    -0.0,
    float("inf"),
    float("nan"),
    1e300,
    b"",
    "",
    (),
    {},
    *_NUMBERS,
    *_WORDS,
]
_HEADERS = bytes([0x80, 0x8F, 0x90, 0x9F, *range(0xC0, 0xE0), 0xFF, 0xA1])
_LENGTHS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\0\1\0\0"]


class Mutator:
    """Makes mutated frames.

    Args:
        samples: what they are made of.
        seed: the same seed makes the same frames.
    """

    def __init__(self, samples: Sequence[Sample], seed: int) -> None:
        self._samples = samples
        self._subtrees: list[Any] = []
        for sample in samples:
            self._collect(sample.body)
            self._collect(sample.table)
        self._random = random.Random(seed)
        self._chance = self._random.random
        self._packer = msgpack.Packer(unicode_errors="surrogatepass")

    def begin(self, seed: int) -> None:
        """From here on make the frames of this seed."""
        self._random.seed(seed)

    def unchanged(self, sample: Sample) -> list[bytes]:
        """The parts of a sound message."""
        tables = () if sample.table is None else (self._packed(sample.table), *sample.buffers)
        return [self._packed(sample.body), *tables]

    def _collect(self, node: Any) -> None:
        self._subtrees.append(node)
        if type(node) is tuple:
            for item in node:
                self._collect(item)
        elif type(node) is dict:
            for item in node.values():
                self._collect(item)

    def below(self, count: int) -> int:
        return int(self._chance() * count)

    def one_of(self, items: Sequence[Any]) -> Any:
        return items[int(self._chance() * len(items))]

    def frames(self, number: int | None = None) -> list[bytes]:
        """The frames of one to three messages, of which most have something wrong.

        Args:
            number: of the call or stream that the messages speak of, most often; None leaves them as they are.
        """
        packed = [self.parts(number)]
        while self._chance() < 0.1 and len(packed) < 3:
            packed.append(self.parts(number))
        frames = [bytes(frame) for frame in pack(*packed)]
        if self._chance() < 0.08:
            self._break_frames(frames)
        return frames

    def parts(self, number: int | None) -> list[bytes]:
        """The parts of one message."""
        body, table, buffers = self.one_of(self._samples)
        where = self._chance()
        if where < 0.7 or table is None:
            for _ in range(1 + self.below(2)):
                body = self._changed_message(body)
        if table is not None and where > 0.4:
            for _ in range(1 + self.below(2)):
                table = self._changed(table)
        if number is not None and type(body) is tuple and len(body) > 1 and self._chance() < 0.9:
            body = (body[0], number, *body[2:])
        elif self._chance() < 0.05:
            table = self.one_of(self._samples).table
        parts = [self._packed(body)]
        if table is not None:
            parts += (self._packed(table), *buffers)
            if self._chance() < 0.05:
                del parts[1 + self.below(len(parts) - 1) :]
        if self._chance() < 0.15:
            at = self.below(len(parts))
            parts[at] = self._scrambled(parts[at])
        return parts

    def _packed(self, node: Any) -> bytes:
        try:
            return self._packer.pack(node)  # type: ignore[no-any-return]
        except (OverflowError, ValueError):
            self._packer.reset()
            return b"\xc0"  # more than msgpack can say

    # ---- trees

    def _changed_message(self, body: Any) -> Any:
        """The body with something changed: most often in what it carries, since the rest is soon refused."""
        if type(body) is not tuple or len(body) < 3 or self._chance() < 0.1:
            return self._changed(body)
        at = 2 + self.below(len(body) - 2)
        return (*body[:at], self._changed(body[at]), *body[at + 1 :])

    def _changed(self, node: Any) -> Any:
        """The tree with something in it changed."""
        if type(node) is tuple and node and self._chance() < 0.8:
            at = self.below(len(node))
            return (*node[:at], self._changed(node[at]), *node[at + 1 :])
        if type(node) is dict and node and self._chance() < 0.7:
            key = self.one_of(list(node))
            return {**node, key: self._changed(node[key])}
        how = self._chance()
        if how < 0.12:
            return self.one_of(_SCALARS)
        if how < 0.27:
            return self.one_of(self._subtrees)
        if how < 0.37:
            return self._wrapped(node)
        return self._varied(node)

    def _wrapped(self, node: Any) -> Any:
        how = self.below(6)
        if how == 0:
            return (ExtType(self.below(12), b""), node)
        if how == 1:
            return (ExtType(self.below(12), b""), *(node if type(node) is tuple else (node, node)))
        if how == 2:
            try:
                return {node: node, self.one_of(_WORDS): node}
            except TypeError:
                return {"key": node}
        if how == 3:
            for _ in range(self.below(600) if self._chance() < 0.1 else self.below(5)):
                node = (node,)
            return node
        if how == 4:
            return (node,) * self.below(40)
        return (node, self.one_of(self._subtrees))

    def _varied(self, node: Any) -> Any:
        kind = type(node)
        if kind is int:
            return self._varied_number(node)
        if kind is ExtType:
            return self._varied_extension(node)
        if kind is tuple:
            return self._varied_items(node)
        if kind is str:
            word = self.one_of(_WORDS)
            return self.one_of(
                (
                    word,
                    node + word,
                    node[: self.below(len(node) + 1)],
                    node * self.below(50),
                    node.encode("utf-8", "replace"),
                )
            )
        if kind is bytes:
            return self._scrambled(node)
        return self.one_of(_SCALARS)

    def _varied_number(self, node: int) -> Any:
        how = self.below(6)
        if how == 0:
            return node ^ (1 << self.below(63)) if node >= 0 else -node
        if how == 1:
            return self.one_of(_NUMBERS)
        if how == 2:
            # An integer of any size.
            return ExtType(
                32,
                self._random.randbytes(self.below(12))
                if self._chance() < 0.9
                else b"\x7f" * self.below(3000),
            )
        return max(-(2**63), min(2**64 - 1, (node + 1, node - 1, node * 2)[how - 3]))

    def _varied_items(self, node: tuple[Any, ...]) -> Any:
        how = self.below(6)
        at = self.below(len(node) + 1)
        if how == 0:
            return node[:at]
        if how == 1:
            return (*node[:at], *node[at + 1 :])
        if how == 2:
            return (*node[:at], self.one_of(self._subtrees), *node[at:])
        if how == 3:
            return (*node[:at], *node[max(0, at - 1) :])
        if how == 4:
            return node[::-1]
        return (ExtType(self.one_of(_CODES) % 128, b""), *node[1:])

    def _varied_extension(self, node: ExtType) -> ExtType:
        code, payload = node
        how = self._chance()
        if how < 0.25:
            return ExtType(self.one_of(_CODES) % 128, payload)
        if how < 0.7 and code in (SMALL_TENSOR, LENT_TENSOR) and len(payload) > 2:
            length = int.from_bytes(payload[:2], "little")
            head = self._within(payload[2:length])
            length = len(head) + 2 if self._chance() < 0.9 else self.below(65536)
            return ExtType(code, length.to_bytes(2, "little") + head + payload[length:])
        if how < 0.7 and code == OBJECT and len(payload) > REFERENCE.size:
            return ExtType(code, payload[: REFERENCE.size] + self._within(payload[REFERENCE.size :]))
        if how < 0.75:
            return ExtType(code, self.one_of(_WORDS).encode())
        if how < 0.85:
            other = self.one_of(self._subtrees)
            return ExtType(code, other.data if type(other) is ExtType else b"")
        return ExtType(code, self._scrambled(payload))

    def _within(self, packed: bytes) -> bytes:
        """msgpack inside of a payload, changed."""
        try:
            return self._packed(self._changed(tree(packed)))[:60000]
        except (TypeError, ValueError):
            return packed

    # ---- bytes

    def _scrambled(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(1 + self.below(4)):
            how, at = self.below(8), self.below(len(changed) + 1)
            if how <= 1 and at < len(changed):
                changed[at] ^= 1 << self.below(8)
            elif how == 2 and at < len(changed):
                changed[at] = self.one_of(_HEADERS)
            elif how == 3:
                changed[at : at + 4] = self.one_of(_LENGTHS)
            elif how == 4:
                del changed[at:]
            elif how == 5:
                del changed[at : at + 1 + self.below(4)]
            elif how == 6:
                changed[at:at] = self._random.randbytes(1 + self.below(8))
            else:
                changed[at:at] = changed[self.below(len(changed) + 1) :][:1000]
        return bytes(changed)

    def _break_frames(self, frames: list[bytes]) -> None:
        """Make the frames of a message something that does not fit together."""
        how = self.below(7)
        if how == 0:
            del frames[self.below(len(frames)) + 1 :]
        elif how == 1:
            frames.append(self.one_of(frames))
        elif how == 2:
            self._random.shuffle(frames)
        elif how == 3:
            frames[0] = self._scrambled(frames[0])
        elif how == 4:
            frames[0] = b"\xc1" + frames[0][1:]
        elif how == 5:
            numbers = [
                self.one_of((0, 1, 2, len(frames[0]), 0xFFFFFFFF, 65536, 2**31)) for _ in range(self.below(8))
            ]
            count = len(numbers) if self._chance() < 0.8 else self.one_of((0, 2**16, 2**32 - 1))
            frames[0] = (
                struct.pack(f"<BBxxI{len(numbers)}I", 0xC1, self.below(3), count, *numbers) + frames[0]
            )
        else:
            first = bytearray(frames[0])
            if first[:1] == b"\xc1" and len(first) > 12:
                at = 8 + 4 * self.below(min(8, len(first) // 4 - 2))
                first[at : at + 4] = struct.pack(
                    "<I", self.one_of((0, 1, 2, 16, 2**32 - 1, 2**32 - 2, self.below(300)))
                )
                frames[0] = bytes(first)
