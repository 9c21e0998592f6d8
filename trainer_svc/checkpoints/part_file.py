"""The file of one part of a chain of checkpoints. Format 2.

The arrays' bytes, each at a multiple of 64, then the *head* as JSON, then a trailer: SHA-256 of the head, the head's
size (u64), and eight bytes (`MARTCKP` and the format number). Numbers are little-endian. The head names the body by its
tree digest (`martlet.digest`), so the head's SHA-256 names the file: that is the part's digest. A part that is no base
names the digest of the part that it follows.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

from martlet.decoding import UNREADABLE
from martlet.digest import CHUNK_SIZE, digest_of_tree
from martlet.durable import sync_folder
from martlet.errors import Corrupt
from trainer_svc.checkpoints.state import Array

CHECKPOINT_FORMAT: Final = 2
MAGIC: Final = b"MARTCKP" + bytes([CHECKPOINT_FORMAT])
READERS: Final = max(1, min(8, os.cpu_count() or 1))
_TRAILER: Final = struct.Struct("<32sQ8s")
_ALIGN: Final = 64


class ArrayEntry(msgspec.Struct, frozen=True, array_like=True):
    """An array of the body: what it is to the part, its name, numpy's name of its type, its shape."""

    role: str
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return np.dtype(self.dtype).itemsize * prod(self.shape)


class Head(msgspec.Struct, frozen=True):
    """What stands behind the body.

    Attributes:
        previous: digest of the part that this one follows; empty for a base.
        body: tree digest of the body.
        arrays: in the body's order.
    """

    journal_position: int
    step: int
    previous: str
    body: str
    body_size: int
    arrays: tuple[ArrayEntry, ...]


_HEADS: Final = msgspec.json.Decoder(Head)  # made once: several threads read heads


def write_part(
    path: Path, journal_position: int, step: int, previous: str, arrays: Mapping[tuple[str, str], Array]
) -> tuple[str, int]:
    """Writes a part, its arrays by role and name, durably; gives its digest and size in bytes."""
    beside = path.with_suffix(path.suffix + ".part")
    entries = tuple(ArrayEntry(*key, array.dtype.str, array.shape) for key, array in arrays.items())
    with beside.open("wb") as file:
        body = _TreeWriter(file)
        for array in arrays.values():
            body.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            body.write(memoryview(bytes(-body.size % _ALIGN)))
        head = msgspec.json.encode(Head(journal_position, step, previous, body.digest(), body.size, entries))
        digest = hashlib.sha256(head)
        file.write(head + _TRAILER.pack(digest.digest(), len(head), MAGIC))
        size = file.tell()
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
    return digest.hexdigest(), size


def read_head(path: Path) -> tuple[Head, str]:
    """A part's head, and its digest.

    Raises:
        Corrupt: damaged, cut short, or of another format.
        FileNotFoundError: it is gone.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if end < _TRAILER.size:
            raise Corrupt("cut short")
        file.seek(end - _TRAILER.size)
        digest, size, magic = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic[:7] != MAGIC[:7]:
            raise Corrupt("no checkpoint")
        if magic != MAGIC:
            raise Corrupt(f"checkpoint format {magic[7]} is not known here (known: {CHECKPOINT_FORMAT})")
        if size > end - _TRAILER.size:
            raise Corrupt("cut short")
        file.seek(end - _TRAILER.size - size)
        encoded = file.read(size)
    if hashlib.sha256(encoded).digest() != digest:
        raise Corrupt("its head does not match its digest")
    try:
        head = _HEADS.decode(encoded)
    except UNREADABLE as error:
        raise Corrupt(str(error)) from error
    if head.body_size != end - _TRAILER.size - size:
        raise Corrupt("its body has another size")
    return head, digest.hex()


def read_body(path: Path, head: Head) -> dict[tuple[str, str], Array]:
    """A part's arrays by role and name, read and verified by several threads. They lie in one buffer of their own.

    Raises:
        Corrupt: damaged.
        FileNotFoundError: it is gone.
    """
    buffer = np.empty(head.body_size, np.uint8)
    with path.open("rb") as file, ThreadPoolExecutor(READERS) as readers:
        chunks = range(0, head.body_size, CHUNK_SIZE)
        digests = list(readers.map(lambda start: _read_chunk(file.fileno(), buffer, start), chunks))
    if _tree_digest(digests, head.body_size) != head.body:
        raise Corrupt("its body does not match its digest")
    return dict(_arrays(head, buffer))


class _TreeWriter:
    """Writes a body, and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._chunk = hashlib.sha256()
        self._digests: list[bytes] = []
        self.size = 0

    def write(self, data: "memoryview[Any]") -> None:
        while data.nbytes:
            piece = data[: CHUNK_SIZE - self.size % CHUNK_SIZE]
            self._file.write(piece)
            self._chunk.update(piece)
            self.size += piece.nbytes
            data = data[piece.nbytes :]
            if self.size % CHUNK_SIZE == 0:
                self._end_chunk()

    def digest(self) -> str:
        if self.size % CHUNK_SIZE:
            self._end_chunk()
        return _tree_digest(self._digests, self.size)

    def _end_chunk(self) -> None:
        self._digests.append(self._chunk.digest())
        self._chunk = hashlib.sha256()


def _tree_digest(digests: Iterable[bytes], size: int) -> str:
    return digest_of_tree(f"martlet-tree 1 {size}\n".encode() + b"".join(digests))


def _read_chunk(handle: int, buffer: Array, start: int) -> bytes:
    view = buffer[start : start + CHUNK_SIZE].data
    done = 0
    while done < view.nbytes:
        count = os.preadv(handle, [view[done:]], start + done)
        if not count:
            raise Corrupt("cut short")
        done += count
    return hashlib.sha256(view).digest()


def _arrays(head: Head, buffer: Array) -> Iterator[tuple[tuple[str, str], Array]]:
    at = 0
    for entry in head.arrays:
        if at + entry.size > head.body_size:
            raise Corrupt("its body is too short for its arrays")
        array = buffer[at : at + entry.size].view(np.dtype(entry.dtype)).reshape(entry.shape)
        yield (entry.role, entry.name), array
        at += entry.size + -entry.size % _ALIGN
