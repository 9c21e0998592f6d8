"""Hostile bytes made of good ones: bits flipped, parts cut, doubled, spliced; numbers that are off by one or huge."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

LONGEST: Final = 1 << 16
_EDGES: Final = (
    *(b"\x00", b"\xff", b"\x7f", b"\x80", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\xff" * 9 + b"\x01"),
    *(b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00" * 8, b"\xff" * 8, b"\x00" * 7 + b"\x80"),
    *(b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x00\x00\x00\x00\xf8\x7f", b"nan", b"1e999", b"-1", b"null"),
    *(b"[" * 64, b"{", b'"', b"\n", b"\xed\xa0\x80", b"../", b"/etc/passwd", b"\xe2\x80\xae", b"9" * 400),
)


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A few edits of a seed; now and then nothing but noise."""
    data = bytearray(random.choice(seeds))
    if random.random() < 0.02:
        return random.randbytes(random.randrange(64))
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        random.choice(_EDITS)(random, data, seeds)
    return bytes(data[:LONGEST])


def _flip(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _cut(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start, end = _part(random, data)
    del data[start:end]


def _truncate(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def _double(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start, end = _part(random, data)
    data[end:end] = data[start:end] * random.choice((1, 1, 2, 16))


def _splice(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = random.choice(seeds)
    start, end = _part(random, bytearray(other))
    at = random.randrange(len(data) + 1)
    data[at : at + random.choice((0, end - start))] = other[start:end]


def _edge(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    edge = random.choice(_EDGES)
    at = random.randrange(len(data) + 1)
    data[at : at + random.choice((0, len(edge)))] = edge


def _part(random: Random, data: bytearray) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.randrange(1, 64))


_EDITS: Final[Sequence[Callable[[Random, bytearray, Sequence[bytes]], None]]] = (
    *(_flip, _set, _set, _cut, _truncate, _double, _splice, _edge, _edge),
)
