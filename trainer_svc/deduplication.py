"""Each outcome once: event ids that were seen, remembered for a stretch of event time."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from trainer_svc.hash_set import HashSet

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
        self._slots: dict[int, HashSet] = {}

    def see(self, event_id: str, time_us: int, watermark_us: int) -> Sighting:
        """Looks an id up and remembers it."""
        if time_us < watermark_us - self._horizon_us:
            return Sighting.TOO_OLD
        name = xxhash.xxh3_64_intdigest(event_id.encode())
        for known in self._slots.values():
            if name in known:
                return Sighting.REPEATED
        slot = self._slots.get(time_us // self._slot_us)
        if slot is None:
            slot = self._slots[time_us // self._slot_us] = HashSet(np.zeros(0, np.uint64))
        slot.add(name)
        return Sighting.NEW

    def forget(self, watermark_us: int) -> None:
        """Drops the slots that lie wholly before the horizon."""
        first = (watermark_us - self._horizon_us) // self._slot_us
        for number in [number for number in self._slots if number < first]:
            del self._slots[number]

    @property
    def size(self) -> int:
        """Ids remembered."""
        return sum(len(slot) for slot in self._slots.values())

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that is remembered (not copies); equal ids that came in equal order give equal arrays."""
        return {str(number): slot.hashes for number, slot in self._slots.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._slots = {int(number): HashSet(np.array(names, np.uint64)) for number, names in state.items()}
