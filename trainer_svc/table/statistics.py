"""What a table counts for each key space."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

Counters = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SpaceStatistics:
    """Of one key space in one table; but for `rows`, all since the lineage began.

    Attributes:
        rows: rows held now.
        admitted: ids that got a row.
        refused: occurrences, in learning, of ids that had not occurred often enough for a row.
        evicted: rows that went for lack of use or of room.
        collisions: occurrences, in learning, of ids whose key another space holds.
        defaulted: occurrences, in learning, that were answered with the default row: those refused, and collisions.
    """

    rows: int
    admitted: int
    refused: int
    evicted: int
    collisions: int
    defaulted: int


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """Of one table.

    Attributes:
        rows: rows held.
        slots: rows it has room for.
        grown: times it grew.
        spaces: by the number of the key space.
    """

    rows: int
    slots: int
    grown: int
    spaces: tuple[SpaceStatistics, ...]


# Columns of the counters, int64[spaces, COLUMNS], in the order of SpaceStatistics.
ROWS: Final = 0
ADMITTED: Final = 1
REFUSED: Final = 2
EVICTED: Final = 3
COLLISIONS: Final = 4
DEFAULTED: Final = 5
COLUMNS: Final = len(fields(SpaceStatistics))


def with_space(counters: Counters, space: int) -> Counters:
    """The counters, with room for a space: the same array if it has that already."""
    if space < counters.shape[0]:
        return counters
    grown = np.zeros((space + 1, COLUMNS), np.int64)
    grown[: counters.shape[0]] = counters
    return grown


def count_occurrences(counters: Counters, spaces: npt.NDArray[np.uint16], columns: tuple[int, ...]) -> None:
    """Adds one to columns for each occurrence of a space."""
    times = np.bincount(spaces, minlength=counters.shape[0])
    for column in columns:
        counters[:, column] += times


def statistics_of(counters: Counters) -> tuple[SpaceStatistics, ...]:
    """The counters as values."""
    return tuple(SpaceStatistics(*(int(count) for count in row)) for row in counters)
