"""Each outcome once: event ids that were seen, remembered for a stretch of event time."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

_SLOTS: Final = 8


class Sighting(Enum):
    """What is known of an event id."""

    NEW = "new"
    REPEATED = "repeated"
    TOO_OLD = "too old"  # older than what is remembered: nobody can tell any more


class Deduplication:
    """Event ids by slots of event time; whole slots are forgotten. Not thread-safe.

    Ids are kept as XXH3-64: among 50 million of them, two share a hash with probability 1e-4.

    Args:
        horizon_us: an id is remembered at least so long, in event time.
    """

    def __init__(self, horizon_us: int) -> None:
        self._horizon_us = horizon_us
        self._slot_us = max(1, horizon_us // _SLOTS)
        self._slots: dict[int, set[int]] = {}

    def see(self, event_id: str, time_us: int, watermark_us: int) -> Sighting:
        """Looks an id up and remembers it."""
        if time_us < watermark_us - self._horizon_us:
            return Sighting.TOO_OLD
        name = xxhash.xxh3_64_intdigest(event_id.encode())
        if any(name in slot for slot in self._slots.values()):
            return Sighting.REPEATED
        self._slots.setdefault(time_us // self._slot_us, set()).add(name)
        return Sighting.NEW

    def forget(self, watermark_us: int) -> None:
        """Drops the slots that lie wholly before the horizon."""
        first = (watermark_us - self._horizon_us) // self._slot_us
        for slot in [slot for slot in self._slots if slot < first]:
            del self._slots[slot]

    @property
    def size(self) -> int:
        """Ids remembered."""
        return sum(len(slot) for slot in self._slots.values())

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that is remembered, in one order for equal content."""
        return {str(slot): np.sort(np.fromiter(names, np.uint64, len(names))) for slot, names in self._slots.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self._slots = {int(slot): set(np.asarray(names, np.uint64).tolist()) for slot, names in state.items()}
