"""Vectors that were computed before, in one file for each encoder, by the content of their texts.

A record is the SHA-256 of the text, the vector (little-endian float32), and a CRC-32 of both. Records are only ever
appended. It is a cache: a record that is cut off or damaged is left out, and its text is encoded again.
"""

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.text.encoder import TextEncoder

Floats = npt.NDArray[np.float32]
_KEY: Final = 32
_CHECK: Final = 4


class CachedEncoder:
    """See `TextEncoder`: another's vectors, each computed once. Not thread-safe; one process writes a folder.

    Args:
        encoder: the other.
        folder: where the file `<digest>.vectors` stands; made if need be.

    Attributes:
        computed: texts that the other encoder was asked for.
    """

    def __init__(self, encoder: TextEncoder, folder: Path) -> None:
        self._encoder = encoder
        self.width, self.digest = encoder.width, encoder.digest
        self.computed = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{encoder.digest}.vectors"
        self._size = _KEY + 4 * encoder.width + _CHECK
        self._known = self._read()

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector for each text; those that are new are computed together, and kept."""
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            self._keep(list(new), self._encoder.encode(list(new.values())))
        return np.array([self._known[key] for key in keys], np.float32).reshape(len(texts), self.width)

    def _keep(self, keys: list[bytes], vectors: Floats) -> None:
        self.computed += len(keys)
        parts = [key + vector.astype("<f4").tobytes() for key, vector in zip(keys, vectors, strict=True)]
        with self._path.open("ab") as file:
            file.truncate(file.tell() - file.tell() % self._size)  # a record that a crash has cut off
            file.seek(0, 2)
            file.write(b"".join(part + zlib.crc32(part).to_bytes(_CHECK, "little") for part in parts))
        self._known.update(zip(keys, vectors, strict=True))

    def _read(self) -> dict[bytes, Floats]:
        data = self._path.read_bytes() if self._path.exists() else b""
        known = {}
        for start in range(0, len(data) - self._size + 1, self._size):
            part = data[start : start + self._size - _CHECK]
            check = data[start + self._size - _CHECK : start + self._size]
            if zlib.crc32(part) == int.from_bytes(check, "little"):
                known[part[:_KEY]] = np.frombuffer(part[_KEY:], "<f4").astype(np.float32)
        return known
