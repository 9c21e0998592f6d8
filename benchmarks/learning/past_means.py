"""What the ratings before each rating say of its user and item: means of the past, brought up to date by each event.

A feature store keeps such numbers, and a request carries them: they are as fresh as the events, whatever the version
of the model that reads them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.table.compiling import kernel

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NO_KEY: Final = -1
_STRENGTH: Final = 5.0
_FIRST_LEVEL, _FIRST_COUNT = 3.5, 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A way to look at the past: an event belongs to some keys, and each key has a mean of its past residuals.

    Attributes:
        name: of the number that it gives.
        keys: int64[n, m], each event's keys; `NO_KEY` fills up. The number is the mean over them.
        strength: how many events without a residual count beside the real ones.
        kept: what share of a key's past is left when one more event comes; 1: all of it.
    """

    name: str
    keys: Int64s
    strength: float
    kept: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What was known before each event.

    Attributes:
        base: float64[n], level and the deviations of user and item: a guess at the rating.
        numbers: float32[n] by name.
    """

    base: Floats
    numbers: dict[str, npt.NDArray[np.float32]]


def past_of(users: Int64s, items: Int64s, ratings: Floats, slices: list[Slice]) -> Past:
    """In one pass over the events in their order."""
    starts = np.cumsum([0, *(int(one.keys.max()) + 1 for one in slices)])
    keys = [np.where(one.keys == NO_KEY, NO_KEY, one.keys + start) for one, start in zip(slices, starts, strict=False)]
    widths = np.array([one.keys.shape[1] for one in slices], np.int64)
    strengths, kept = (np.array([getattr(one, name) for one in slices]) for name in ("strength", "kept"))
    base, means = np.empty(users.shape[0]), np.empty((len(slices), users.shape[0]), np.float32)
    _walk(
        users, items, ratings, np.ascontiguousarray(np.concatenate(keys, 1)), widths, strengths, kept,
        np.zeros((int(starts[-1]), 2)), base, means,
    )  # fmt: skip
    return Past(base, {one.name: column for one, column in zip(slices, means, strict=True)})


@kernel
def _walk(
    users: Int64s,
    items: Int64s,
    ratings: Floats,
    keys: Int64s,
    widths: Int64s,
    strengths: Floats,
    kept: Floats,
    sums: Floats,
    base: Floats,
    means: npt.NDArray[np.float32],
) -> None:
    of_user, of_item = np.zeros((users.max() + 1, 2)), np.zeros((items.max() + 1, 2))
    total, count = _FIRST_LEVEL * _FIRST_COUNT, _FIRST_COUNT
    for k in range(users.shape[0]):
        at_user, at_item, level = of_user[users[k]], of_item[items[k]], total / count
        user, item = at_user[0] / (at_user[1] + _STRENGTH), at_item[0] / (at_item[1] + _STRENGTH)
        base[k] = level + user + item
        residual = ratings[k] - base[k]
        _slice(keys[k], widths, strengths, kept, sums, residual, means[:, k])
        at_user[0] += ratings[k] - level - item
        at_item[0] += ratings[k] - level - user
        at_user[1] += 1.0
        at_item[1] += 1.0
        total += ratings[k]
        count += 1.0


@kernel
def _slice(
    keys: Int64s,
    widths: Int64s,
    strengths: Floats,
    kept: Floats,
    sums: Floats,
    residual: float,
    means: npt.NDArray[np.float32],
) -> None:
    """The means of one event's keys; then they are brought up to date."""
    column = 0
    for one in range(widths.shape[0]):
        own, mean, found = keys[column : column + widths[one]], 0.0, 0
        column += widths[one]
        for key in own:
            if key != NO_KEY:
                mean += sums[key, 0] / (sums[key, 1] + strengths[one])
                found += 1
        means[one] = mean / max(found, 1)
        for key in own:  # only now: an event may have a key twice
            if key != NO_KEY:
                sums[key, 0] = kept[one] * sums[key, 0] + residual
                sums[key, 1] = kept[one] * sums[key, 1] + 1.0
