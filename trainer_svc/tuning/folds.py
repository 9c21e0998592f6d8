"""Rolling-origin folds in event time: learn what came before, test on what comes next (Tashman 2000).

Fold i learns from [0, t_i) and tests on [t_i, t_(i+1)). Its test is prequential: each answer is scored by what was
learned until then, and then learned. So the model of fold i + 1 at t_(i+1) is that of fold i at its end, and one pass
over the log does all folds; nothing is learned from the future of what it is tested on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from trainer_svc.evaluation.metrics.calibration import (
    expected_calibration_error,
    log_loss,
    mean,
    normalised_entropy,
    probabilities,
)
from trainer_svc.evaluation.metrics.curves import average_precision, roc_auc
from trainer_svc.evaluation.metrics.ranking import ndcg, ranked
from trainer_svc.evaluation.metrics.regression import regression_errors

NDCG: Final = "ndcg@10"
_K: Final = 10
# Figures to tune by, and whether more is better.
OF_CHANCES: Final[Mapping[str, bool]] = {
    "logloss": False, "normalised_entropy": False, "ece": False, "roc_auc": True, "pr_auc": True, NDCG: True,
}  # fmt: skip
OF_NUMBERS: Final[Mapping[str, bool]] = {"rmse": False, "mae": False, "r2": True}


@dataclass(frozen=True, slots=True)
class FoldRows:
    """Tested items of answers, in the order in which their labels came.

    Attributes:
        times_us: int64[n], event time of the answer.
        answers: int64[n], the number of the answer.
        logits, labels: float64[n].
    """

    times_us: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]


def fold_edges(times_us: npt.NDArray[np.int64], folds: int) -> tuple[int, ...]:
    """t_0, ..., t_folds: `folds` + 1 parts of about as many answers each, of which the first is learned alone.

    Raises:
        InvalidInput: there are too few answers, or too many at one moment.
    """
    if folds < 1:
        raise InvalidInput(f"there must be 1 fold at least, not {folds}")
    if times_us.shape[0] <= folds:
        raise InvalidInput(f"the log holds {times_us.shape[0]} answers: too few for {folds} folds")
    ordered = np.sort(times_us)
    at = np.arange(1, folds + 1) * ordered.shape[0] // (folds + 1)
    edges = [*ordered[at].tolist(), int(ordered[-1]) + 1]
    if len(set(edges)) < len(edges):
        raise InvalidInput(f"too many answers stand at one moment for {folds} folds")
    return tuple(int(edge) for edge in edges)


def fold_figures(tested: FoldRows, edges: Sequence[int], *, numbers: bool) -> list[dict[str, float]]:
    """The figures of each fold, NaN where it has none."""
    fold = np.searchsorted(np.array(edges), tested.times_us, side="right") - 1
    return [_figures(tested, fold == number, numbers=numbers) for number in range(len(edges) - 1)]


def direction(metric: str, *, numbers: bool) -> bool:
    """Whether more of a metric is better.

    Raises:
        InvalidInput: there is no such metric for this label.
    """
    known = OF_NUMBERS if numbers else OF_CHANCES
    if metric not in known:
        raise InvalidInput(f"no tuning by {metric!r} with this label: take one of {', '.join(known)}")
    return known[metric]


def _figures(tested: FoldRows, rows: npt.NDArray[np.bool_], *, numbers: bool) -> dict[str, float]:
    z, y = tested.logits[rows], tested.labels[rows]
    size = {"examples": float(z.shape[0])}
    if numbers:
        errors = regression_errors(z, y)
        return size | {"rmse": errors.rmse, "mae": errors.mae, "r2": errors.r2}
    distinct, group = np.unique(tested.answers[rows], return_inverse=True)
    orders = ndcg(ranked(z, y, group.astype(np.int64), distinct.shape[0]), _K)
    return size | {
        "logloss": log_loss(z, y),
        "normalised_entropy": normalised_entropy(z, y),
        "ece": expected_calibration_error(probabilities(z), y),
        "roc_auc": roc_auc(z, y),
        "pr_auc": average_precision(z, y),
        NDCG: mean(orders[np.isfinite(orders)]),
    }
