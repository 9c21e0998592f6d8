"""From labels to units: blocks of users, and pairs of arms where the served arm chose what was seen."""

from dataclasses import dataclass, field
from enum import IntEnum

from registry_svc.evidence.units import ArmPairs, BlockUnits, Unit


class Chooser(IntEnum):
    """Who chose what a label is about, as far as it matters. ANYONE: it does not matter, and nothing is paired."""

    ANYONE = 0
    JUDGED = 1
    COMPARATOR = 2


@dataclass(slots=True)
class UnitStream:
    """One comparison's labels become units. Not thread-safe; deterministic in the order of labels.

    Attributes:
        size, idle_us, open_limit: see BlockUnits.
        labels, total: how many labels came, and the sum of their values, for the eye: nothing decides by them.
        units: how many units were emitted.
    """

    size: int
    idle_us: int
    open_limit: int
    labels: int = 0
    total: float = 0.0
    units: int = 0
    blocks: dict[Chooser, BlockUnits] = field(default_factory=dict)
    pairs: ArmPairs = field(default_factory=ArmPairs)

    def add(
        self, user: int, time_us: int, value: float, chooser: Chooser = Chooser.ANYONE, allowed: float = 0.0
    ) -> list[Unit]:
        """One label's value (finite); returns the units that are complete now, in order.

        `allowed` is taken off the value in its unit: a margin that is this label's own.
        """
        self.labels += 1
        self.total += value
        blocks = self.blocks.get(chooser)
        if blocks is None:
            blocks = self.blocks[chooser] = BlockUnits(self.size, self.idle_us, self.open_limit)
        units = blocks.add(user, time_us, value - allowed)
        if chooser is not Chooser.ANYONE:
            own = chooser is Chooser.JUDGED
            units = [pair for unit in units for pair in self.pairs.add(unit, served=own)]
        self.units += len(units)
        return units

    @property
    def mean(self) -> float:
        """Mean value of all labels; 0 before the first."""
        return self.total / self.labels if self.labels else 0.0
