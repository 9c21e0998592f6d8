"""What a learner tells of itself: values, read between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer_svc.table.statistics import TableStatistics


@dataclass(frozen=True, slots=True)
class TableFigures:
    """One table.

    Attributes:
        memory: bytes of its arrays.
        spaces: names of the key spaces, in the order of the statistics'.
    """

    memory: int
    statistics: TableStatistics
    spaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LearnerFigures:
    """All of it.

    Attributes:
        skipped: batches left out because their loss or gradient was not finite.
        tables: by name.
    """

    skipped: int = 0
    tables: Mapping[str, TableFigures] = field(default_factory=dict)
