"""What turns texts into vectors."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput

Floats = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """Frozen: the same text has the same vector for as long as the digest is the same."""

    @property
    def width(self) -> int:
        """Components of a vector."""
        ...

    @property
    def digest(self) -> str:
        """Of everything that a vector depends on beside the text, as hexadecimal digits."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector for each text: float32[n, width]."""
        ...


class NarrowedEncoder:
    """See `TextEncoder`: another's vectors, projected to fewer components by a random orthonormal basis.

    Distances and angles are kept within about 1 / √width of themselves (Johnson and Lindenstrauss 1984), whatever the
    texts: nothing is fitted, so that items which come later need no other basis.

    Args:
        encoder: the other.
        width: components that are left, at most as many as it has.

    Raises:
        InvalidInput: a width that it does not have.
    """

    def __init__(self, encoder: TextEncoder, width: int) -> None:
        if not 1 <= width <= encoder.width:
            raise InvalidInput(f"the encoder's vectors have {encoder.width} components, not {width} or more")
        self._encoder = encoder
        self.width = width
        self.digest = hashlib.sha256(f"{encoder.digest} narrowed to {width}".encode()).hexdigest()
        self._basis = _orthonormal(encoder.width, width)

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector for each text."""
        return np.asarray(self._encoder.encode(texts) @ self._basis, np.float32)


def _orthonormal(rows: int, columns: int) -> Floats:
    """Float32[rows, columns], scaled so that lengths are kept on average."""
    basis, _ = np.linalg.qr(np.random.default_rng(rows).normal(size=(rows, columns)))
    return np.asarray(basis * np.sqrt(rows / columns), np.float32)
