"""Metrics of orders: how far up, in each answer, the items that were wanted stand by the scores.

Each function gives one figure for each answer, NaN where an answer has none, so that they can be averaged with any
weights and resampled by user. `groups` is int64[n], the answer of each row, 0 to `answers` - 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.metrics.curves import Doubles, Floats

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of answers, best first within each. Make it with `ranked`.

    Attributes:
        order: int64[n], the rows' places before.
        groups: int64[n], ascending.
        rank: int64[n], from 0 in each answer.
        gain: float64[n], what each row is worth; at least 0.
        tied: float64[n], the mean gain of the rows of the answer with the same score.
        answers: how many answers there are.
    """

    order: Groups
    groups: Groups
    rank: Groups
    gain: Doubles
    tied: Doubles
    answers: int

    @property
    def wanted(self) -> Doubles:
        """Items with a gain, of each answer: float64[answers]."""
        return totals(self.groups, self.gain > 0.0, self.answers)


def ranked(
    scores: Floats, gains: Floats, groups: Groups, answers: int, tie_break: npt.NDArray[np.generic] | None = None
) -> Ranked:
    """Orders rows by score within their answer; gains are floating[n], at least 0.

    Of equal scores the lower `tie_break` stands first; None: the earlier row. What was shown first was often clicked
    for that alone: an order that knows nothing of it does not flatter a score that says nothing.
    """
    ties = np.arange(scores.shape[0]) if tie_break is None else tie_break
    order = np.lexsort((ties, -scores, groups))
    own, ordered, gain = groups[order], scores[order], gains[order].astype(np.float64)
    first = np.searchsorted(own, own)
    starts = np.ones(own.shape[0], np.bool_)
    starts[1:] = (own[1:] != own[:-1]) | (ordered[1:] != ordered[:-1])
    block = np.cumsum(starts) - 1
    tied = (np.bincount(block, gain) / np.bincount(block))[block] if block.shape[0] else gain
    return Ranked(order, own, np.arange(own.shape[0]) - first, gain, tied, answers)


def ndcg(rows: Ranked, k: int) -> Doubles:
    """DCG@k over that of the best order, with gains as they are and discounts 1 / log2(rank + 2).

    Rows of equal scores get the mean over their orders (McSherry and Najork 2008). NaN without an item that is wanted.
    Järvelin and Kekäläinen 2002.
    """
    best = np.lexsort((-rows.gain, rows.groups))  # groups ascend already: ranks stay where they are
    top = rows.rank < k
    discount = np.where(top, 1.0 / np.log2(rows.rank + 2.0), 0.0)
    ideal = totals(rows.groups, rows.gain[best] * discount, rows.answers)
    return _over(totals(rows.groups, rows.tied * discount, rows.answers), ideal)


def hit_rate(rows: Ranked, k: int) -> Doubles:
    """1 if an item that is wanted is among the first k, else 0; NaN without one."""
    hits = totals(rows.groups, (rows.gain > 0.0) & (rows.rank < k), rows.answers) > 0.0
    return np.where(rows.wanted > 0.0, hits.astype(np.float64), math.nan)


def reciprocal_rank(rows: Ranked) -> Doubles:
    """1 / the rank (from 1) of the first item that is wanted; NaN without one. Its mean is the MRR."""
    inverse = np.zeros(rows.answers)
    wanted = rows.gain > 0.0
    np.maximum.at(inverse, rows.groups[wanted], 1.0 / (rows.rank[wanted] + 1.0))
    return np.where(rows.wanted > 0.0, inverse, math.nan)


def average_precision_at(rows: Ranked, k: int) -> Doubles:
    """The mean, over the first k ranks that hold a wanted item, of the precision there; over min(k, wanted items).

    NaN without an item that is wanted. Its mean over answers is MAP@k.
    """
    wanted = (rows.gain > 0.0).astype(np.float64)
    running = np.cumsum(wanted)
    before = np.where(rows.rank == 0, running - wanted, 0.0)
    hits = running - np.maximum.accumulate(before)
    precision = np.where(rows.rank < k, wanted * hits / (rows.rank + 1.0), 0.0)
    return _over(totals(rows.groups, precision, rows.answers), np.minimum(rows.wanted, float(k)))


def coverage(rows: Ranked, items: npt.NDArray[np.generic], k: int, catalogue: int) -> float:
    """Distinct items among the first k of all answers, over the number of items in the catalogue; NaN for 0.

    `items` is [n], the item of each row, in the order in which the rows were given to `ranked`.
    """
    shown = np.unique(items[rows.order[rows.rank < k]])
    return shown.shape[0] / catalogue if catalogue else math.nan


def totals(groups: Groups, values: npt.NDArray[np.generic], number: int) -> Doubles:
    """Sums of values by group, float64[number]."""
    return np.bincount(groups, values.astype(np.float64), number).astype(np.float64, copy=False)


def _over(part: Doubles, whole: Doubles) -> Doubles:
    return np.divide(part, whole, out=np.full_like(part, math.nan), where=whole > 0.0)
