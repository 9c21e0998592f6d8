"""Rows by a feature's value, or by a number's quantile: a bounded handful of segments."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.events import Arm
from trainer_svc.evaluation.answers import Answers

VALUES: Final = 10  # the most frequent ones; the others together are one segment more
QUANTILES: Final = 5
ARM, POSITION, HOUR, VERSION = "arm", "position", "hour", "version"
BUILT_IN: Final = (ARM, POSITION, HOUR, VERSION)
OTHERS: Final = "others"
MISSING: Final = "missing"
_HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Rows in segments.

    Attributes:
        by: what they are told apart by.
        names: of the segments.
        segment: int64[n], the number of each row's segment.
    """

    by: str
    names: tuple[str, ...]
    segment: npt.NDArray[np.int64]


def segmented(answers: Answers, by: str) -> Segmentation:
    """All rows by one thing: an input that was kept, or one of `BUILT_IN` (the hour is UTC's).

    Raises:
        InvalidInput: neither.
    """
    if by in answers.features:
        column = answers.features[by]
        return by_quantile(by, column.values) if column.is_number else by_value(by, column.values)
    if by == POSITION:
        return by_value(by, answers.positions)
    if by not in BUILT_IN:
        raise InvalidInput(f"no segments by {by!r}: name an input of the model, or one of {', '.join(BUILT_IN)}")
    of_answer = {
        ARM: answers.arms.astype(np.int64),
        HOUR: answers.times_us // _HOUR_US % 24,
        VERSION: answers.versions,
    }[by]
    found = by_value(by, of_answer[answers.answer_of_row])
    if by != ARM:
        return found
    return Segmentation(by, tuple(_arm(name) for name in found.names), found.segment)


def by_value(by: str, values: npt.NDArray[np.integer], most: int = VALUES) -> Segmentation:
    """The most frequent values, of equally frequent ones the lower, in their order; the rest are one segment."""
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    number = np.full(distinct.shape[0], kept.shape[0])
    number[kept] = np.arange(kept.shape[0])
    names = tuple(str(value) for value in distinct[kept].tolist())
    return Segmentation(by, names if kept.shape[0] == distinct.shape[0] else (*names, OTHERS), number[inverse])


def by_quantile(by: str, values: npt.NDArray[np.floating], parts: int = QUANTILES) -> Segmentation:
    """Numbers in parts of about equal size; equal numbers stay together, missing ones are a part of their own.

    Of few distinct numbers each is a part.
    """
    held = values[np.isfinite(values)]
    distinct = np.unique(held)
    if distinct.shape[0] <= parts:
        edges, names = distinct[1:], [f"{value:g}" for value in distinct.tolist()]
    else:
        edges = np.unique(np.quantile(held, np.arange(1, parts) / parts, method="higher"))
        edges = edges[edges > distinct[0]]
        bounds = [float(distinct[0]), *edges.tolist(), float(distinct[-1])]
        names = [f"{low:g} to {high:g}" for low, high in pairwise(bounds)]
    segment = np.searchsorted(edges, values, side="right")
    missing = ~np.isfinite(values)
    if missing.any():
        segment = np.where(missing, len(names), segment)
        names.append(MISSING)
    return Segmentation(by, tuple(names), segment.astype(np.int64))


def _arm(name: str) -> str:
    number = int(name) if name.isdecimal() else 0
    return Arm(number).name.lower() if number in [arm.value for arm in Arm] else name
