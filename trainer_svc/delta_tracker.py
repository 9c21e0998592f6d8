"""What changed since the last publish that was acknowledged, slot by slot, and since the last checkpoint.

Nothing is forgotten before the acknowledgement: what was taken for a publish stays marked until it is acknowledged, and
what changed again in the meantime stays marked after it. The same holds for checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ROW: Final = 0x0001  # of the bucket's first slot; the others' bits follow
KEY: Final = 0x0010
CHANGED: Final = 0x00FF
ANY: Final = 0xFFFF
IN_FLIGHT_SHIFT: Final = 8
ALL_ROWS: Final = 0x0F

UNSAVED: Final = 1
BEING_SAVED: Final = 2
SINCE_GROWTH: Final = 4

WORD: Final = np.dtype(np.uint64)


def marked(array: npt.NDArray[np.unsignedinteger[Any]], bits: int) -> npt.NDArray[np.int64]:
    """Where a long array has one of these bits, which is rare, ascending: `np.flatnonzero(array & bits)`, but faster.

    It looks at eight bytes at once: how much of a table changed decides what finding it costs, hardly the table's size.

    >>> marked(np.array([0, 3, 4, 0, 0, 0, 0, 0, 0, 1], np.uint8), 0b11).tolist()
    [1, 9]
    """
    a_word = WORD.itemsize // array.itemsize
    words = array.shape[0] // a_word
    wanted = np.full(a_word, bits, array.dtype)
    found = np.flatnonzero(array[: words * a_word].view(WORD) & wanted.view(WORD) != 0)
    near = (found[:, None] * a_word + np.arange(a_word)).reshape(-1)
    places: npt.NDArray[np.int64] = np.concatenate([near, np.arange(words * a_word, array.shape[0])])
    chosen: npt.NDArray[np.int64] = places[array[places] & wanted[0] != 0]
    return chosen


@dataclass(frozen=True, slots=True)
class Touched:
    """Slots that changed.

    Attributes:
        buckets: int32[m], ascending.
        rows: uint8[m], bit p says that the row in place p changed.
        keys: uint8[m], bit p says that the key in place p did: placed, displaced or cleared.
    """

    buckets: npt.NDArray[np.int32]
    rows: npt.NDArray[np.uint8]
    keys: npt.NDArray[np.uint8]


class DeltaTracker:
    """Three bytes a bucket. One publish, one checkpoint and one growth are under way at a time. Not thread-safe.

    Attributes:
        marks: uint16[n]. Bits 0-3: the row in place 0-3 changed; bits 4-7: the key did. Bits 8-15: the same of the
            publish in flight. Part of the state.
        unsaved: uint8[n]. Bit 0: the bucket changed since the last copy for a checkpoint; bit 1: that checkpoint is
            being written. No part of the state, which must not depend on when checkpoints were made. Bit 2: the bucket
            changed since the table last began to grow.
    """

    def __init__(self, buckets: int) -> None:
        self.marks: npt.NDArray[np.uint16] = np.zeros(buckets, np.uint16)
        self.unsaved: npt.NDArray[np.uint8] = np.zeros(buckets, np.uint8)

    @property
    def touched(self) -> int:
        """How many buckets a publish would carry now."""
        return int(np.count_nonzero(self.marks))

    def take(self) -> Touched:
        """Everything not acknowledged, an earlier publish in flight included."""
        buckets = marked(self.marks, ANY)
        marks = self.marks[buckets]
        taken = (marks | marks >> IN_FLIGHT_SHIFT) & CHANGED
        self.marks[buckets] = taken << IN_FLIGHT_SHIFT
        rows, keys = taken & ALL_ROWS, taken // KEY
        return Touched(buckets.astype(np.int32), rows.astype(np.uint8), keys.astype(np.uint8))

    def acknowledge(self) -> None:
        """The last publish that was taken has arrived: forgets it, unless it was touched again."""
        self.marks[marked(self.marks, ANY)] &= np.uint16(CHANGED)

    def take_unsaved(self) -> npt.NDArray[np.int32]:
        """The buckets that no finished checkpoint holds as they are, for one to be written: int32[m], ascending."""
        buckets = marked(self.unsaved, UNSAVED | BEING_SAVED)
        self.unsaved[buckets] = self.unsaved[buckets] & SINCE_GROWTH | BEING_SAVED
        return buckets.astype(np.int32)

    def saved(self) -> None:
        """The checkpoint that was being written is durable."""
        self.unsaved &= np.uint8(UNSAVED | SINCE_GROWTH)

    def unsaved_failed(self) -> None:
        """The checkpoint that was being written is not to be had: what it held counts as changed."""
        self.unsaved |= self.unsaved >> 1 & np.uint8(UNSAVED)
        self.unsaved &= np.uint8(UNSAVED | SINCE_GROWTH)

    def growth_began(self) -> None:
        """What changes from now on has to be carried over to the larger table."""
        self.unsaved &= np.uint8(UNSAVED | BEING_SAVED)

    def growth_resumed(self, buckets: npt.NDArray[np.int32]) -> None:
        """A state was restored in which these had changed since its growth began."""
        self.growth_began()
        self.unsaved[buckets] |= SINCE_GROWTH

    def since_growth_began(self) -> npt.NDArray[np.int32]:
        """The buckets that changed since then: int32[m], ascending."""
        return marked(self.unsaved, SINCE_GROWTH).astype(np.int32)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What publishes depend on, as an array (not a copy)."""
        return {"marks": self.marks}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies). Every bucket counts as unsaved; whoever knows better says `saved`."""
        self.marks = np.array(state["marks"], np.uint16)
        self.unsaved = np.full(self.marks.shape[0], UNSAVED, np.uint8)

    def resize(self, buckets: int) -> None:
        """The table was rebuilt: every slot has changed."""
        self.marks = np.full(buckets, CHANGED, np.uint16)
        self.unsaved = np.full(buckets, UNSAVED, np.uint8)
