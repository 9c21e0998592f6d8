"""Units of evidence: blocks of one user's labels, and pairs of arms.

Labels of one user are not independent; fed one by one they turn a nominal error of 1 % into tens of percent. The strict
unit is a whole user session. A block of a few labels of one user is an approximation for sessions that never end.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unit:
    """One block's mean, and how full the block was (0..1]."""

    value: float
    weight: float


@dataclass(slots=True)
class BlockUnits:
    """Gathers labels into blocks of `size` per key (user, arm). Not thread-safe; deterministic in the order of labels.

    Attributes:
        size: labels of a full block.
        open_limit: most open blocks; beyond it the oldest is flushed as its user had left.
    """

    size: int
    open_limit: int = 100_000
    blocks: dict[Hashable, tuple[float, int]] = field(default_factory=dict)

    def add(self, key: Hashable, difference: float) -> list[Unit]:
        """One label's difference; returns the units this completes."""
        total, count = self.blocks.pop(key, (0.0, 0))
        total, count = total + difference, count + 1
        if count >= self.size:
            return [Unit(total / count, 1.0)]
        self.blocks[key] = (total, count)
        if len(self.blocks) > self.open_limit:
            return self.flush(next(iter(self.blocks)))
        return []

    def flush(self, key: Hashable) -> list[Unit]:
        """Closes a block early: its user has left. Decided without looking at labels."""
        block = self.blocks.pop(key, None)
        if block is None:
            return []
        total, count = block
        return [Unit(total / count, count / self.size)]


@dataclass(slots=True)
class ArmPairs:
    """Symmetrises arms against the winner's curse: emits the mean of one unit of each arm.

    Needed where the served arm chose the impressions; elsewhere it only starves the evidence.
    """

    waiting: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})

    def add(self, value: float, *, in_canary: bool) -> float | None:
        """One unit of an arm; the pair's mean when the other arm has one waiting."""
        other = self.waiting[not in_canary]
        if other:
            return (value + other.pop(0)) / 2.0
        self.waiting[in_canary].append(value)
        return None
