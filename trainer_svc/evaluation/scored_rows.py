"""The rows that one scorer scored, ready to be measured many times with other weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.answers import Answers
from trainer_svc.evaluation.bootstrap import Counts
from trainer_svc.evaluation.metrics.calibration import (
    bias,
    expected_calibration_error,
    log_loss,
    mean,
    normalised_entropy,
    probabilities,
)
from trainer_svc.evaluation.metrics.curves import at_threshold, average_precision, best_f1, roc_auc
from trainer_svc.evaluation.metrics.ranking import (
    average_precision_at,
    coverage,
    hit_rate,
    ndcg,
    ranked,
    reciprocal_rank,
    totals,
)
from trainer_svc.evaluation.metrics.regression import regression_errors

THRESHOLD: Final = 0.5
_LEAST_ITEMS: Final = 2  # one item alone is in order whatever its score


@dataclass(frozen=True, slots=True)
class Measure:
    """What is asked of the figures.

    Attributes:
        numbers: the label is a number, not yes or no.
        k: how far down orders are looked at.
        threshold: the probability from which a row is called positive.
    """

    numbers: bool = False
    k: int = 10
    threshold: float = THRESHOLD


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Labelled rows, the highest logit first, so that sorting them again costs little.

    Attributes:
        logits, labels: float64[n].
        users: int64[n], numbers of users from 0.
        orders: for each figure of an order, float64[m]: one value for each answer with two items or more, all scored.
        order_users: int64[m], whose answers these are.
        coverage: share of the items seen that stand among the first k of an answer.
    """

    logits: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]
    users: npt.NDArray[np.int64]
    orders: Mapping[str, npt.NDArray[np.float64]]
    order_users: npt.NDArray[np.int64]
    coverage: float

    @property
    def rows(self) -> int:
        """Number of rows, n."""
        return int(self.labels.shape[0])


def user_numbers(answers: Answers) -> tuple[npt.NDArray[np.int64], int]:
    """Each answer's user as a number from 0, int64[p]; and how many users there are."""
    distinct, numbers = np.unique(answers.users, return_inverse=True)
    return numbers.astype(np.int64), distinct.shape[0]


def scored_rows(
    answers: Answers, logits: npt.NDArray[np.float32], keep: npt.NDArray[np.bool_], measure: Measure
) -> ScoredRows:
    """The rows that have a logit and a label, of those to keep: bool[n]. Orders look at whole answers."""
    users, _ = user_numbers(answers)
    rows = np.flatnonzero(keep & np.isfinite(logits) & np.isfinite(answers.labels))
    rows = rows[np.argsort(-logits[rows], kind="stable")]
    orders, order_users, covered = _orders(answers, logits, keep, users, measure)
    return ScoredRows(
        logits[rows].astype(np.float64),
        answers.labels[rows].astype(np.float64),
        users[answers.answer_of_row[rows]],
        orders,
        order_users,
        covered,
    )


def figures_of(rows: ScoredRows, measure: Measure, counts: Counts | None = None) -> dict[str, float]:
    """All figures, NaN where there is none. `counts`: how often each user counts."""
    weights = None if counts is None else counts[rows.users]
    own = _of_numbers(rows, weights) if measure.numbers else _of_chances(rows, measure, weights)
    share = None if counts is None else counts[rows.order_users]
    return own | {name: _mean_order(values, share) for name, values in rows.orders.items()}


def _of_numbers(rows: ScoredRows, weights: Counts | None) -> dict[str, float]:
    errors = regression_errors(rows.logits, rows.labels, weights)
    return {"mse": errors.mse, "rmse": errors.rmse, "mae": errors.mae, "r2": errors.r2, "bias": errors.bias}


def _of_chances(rows: ScoredRows, measure: Measure, weights: Counts | None) -> dict[str, float]:
    z, y, p = rows.logits, rows.labels, probabilities(rows.logits)
    called, best = at_threshold(p, y, measure.threshold, weights), best_f1(p, y, weights)
    return {
        "logloss": log_loss(z, y, weights),
        "normalised_entropy": normalised_entropy(z, y, weights),
        "roc_auc": roc_auc(z, y, weights),
        "pr_auc": average_precision(z, y, weights),
        "ece": expected_calibration_error(p, y, weights),
        "bias": bias(p, y, weights),
        "accuracy": called.accuracy,
        "precision": called.precision,
        "recall": called.recall,
        "f1": called.f1,
        "best_f1": math.nan if best is None else best.f1,
        "best_threshold": math.nan if best is None else best.threshold,
    }


def _orders(
    answers: Answers,
    logits: npt.NDArray[np.float32],
    keep: npt.NDArray[np.bool_],
    users: npt.NDArray[np.int64],
    measure: Measure,
) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.int64], float]:
    """An item without label has no gain: nothing came of it."""
    group, k = answers.answer_of_row, measure.k
    fit = totals(group, keep & np.isfinite(logits), len(answers)) == answers.lengths
    whole = fit & answers.mature & (answers.lengths >= _LEAST_ITEMS)
    rows, place = whole[group], np.cumsum(whole) - 1
    gains = np.maximum(np.nan_to_num(answers.labels[rows]), 0.0)
    order = ranked(logits[rows], gains, place[group[rows]], int(whole.sum()), answers.chance[rows])
    covered = coverage(order, answers.items[rows], k, np.unique(answers.items).shape[0])
    figures = {f"ndcg@{k}": ndcg(order, k)}
    if not measure.numbers:
        figures |= {
            f"hr@{k}": hit_rate(order, k),
            "mrr": reciprocal_rank(order),
            f"map@{k}": average_precision_at(order, k),
        }
    return figures, users[whole], covered


def _mean_order(values: npt.NDArray[np.float64], weights: Counts | None) -> float:
    held = np.isfinite(values)
    return mean(values[held], None if weights is None else weights[held])
