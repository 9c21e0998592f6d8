"""Units of evidence: blocks of one user's labels, and pairs of arms.

Labels of one user are not independent; fed one by one they turn a nominal error of 1 % into tens of percent. The strict
unit is a whole user session. A block of a few labels of one user is an approximation for sessions that never end.
"""

from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True, slots=True)
class Unit:
    """One block's mean, and how full the block was (0..1]."""

    value: float
    weight: float


class Block(msgspec.Struct, array_like=True):
    """An open block: its sum, how many labels, and when the last was answered (event time, microseconds)."""

    total: float = 0.0
    count: int = 0
    time_us: int = 0


@dataclass(slots=True)
class BlockUnits:
    """Gathers labels into blocks of `size` per user. Not thread-safe; deterministic in the order of labels.

    A block closes when it is full, when its user has left, or when too many are open; never by what a label says.

    Attributes:
        size: labels of a full block.
        idle_us: a user without a label for so long has left.
        open_limit: most open blocks; beyond it the oldest is closed as its user had left.
        blocks: by user, the one that was touched last at the end.
    """

    size: int
    idle_us: int
    open_limit: int
    blocks: dict[int, Block] = field(default_factory=dict)

    def add(self, user: int, time_us: int, value: float) -> list[Unit]:
        """One label's value; returns the units that are complete now, those of users who have left first."""
        units = self._left(time_us)
        block = self.blocks.pop(user, None) or Block()
        block.total += value
        block.count += 1
        block.time_us = max(time_us, block.time_us)
        if block.count >= self.size:
            units.append(self._unit(block))
        else:
            self.blocks[user] = block
            if len(self.blocks) > self.open_limit:
                units.append(self._unit(self._take_oldest()))
        return units

    def _left(self, now_us: int) -> list[Unit]:
        units = []
        while self.blocks and next(iter(self.blocks.values())).time_us + self.idle_us < now_us:
            units.append(self._unit(self._take_oldest()))
        return units

    def _take_oldest(self) -> Block:
        return self.blocks.pop(next(iter(self.blocks)))

    def _unit(self, block: Block) -> Unit:
        return Unit(block.total / block.count, block.count / self.size)


@dataclass(slots=True)
class ArmPairs:
    """Symmetrises arms against the winner's curse: emits the mean of one unit of each arm.

    Needed where the served arm chose the impressions; elsewhere it only starves the evidence.

    Attributes:
        limit: most units of one arm that wait for the other; beyond it the oldest is dropped, unread.
    """

    limit: int = 512
    served: list[Unit] = field(default_factory=list)
    other: list[Unit] = field(default_factory=list)

    def add(self, unit: Unit, *, served: bool) -> list[Unit]:
        """One unit of the judged version's own arm, or of its comparator's; the pair if one was waiting."""
        waiting, mine = (self.other, self.served) if served else (self.served, self.other)
        if waiting:
            first = waiting.pop(0)
            return [Unit((first.value + unit.value) / 2.0, (first.weight + unit.weight) / 2.0)]
        mine.append(unit)
        del mine[: -self.limit]
        return []
