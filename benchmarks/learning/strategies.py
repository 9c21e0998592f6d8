"""`python -m benchmarks.learning.strategies`: update strategies on real and made-up logs: quality, time, freshness.

Each log is cut into a history and blocks behind it. After every block each strategy updates its model, and the next
block is scored by it: NDCG@10 of each user's items there, and log-loss. The old cohort is an eleventh of the first half
of the history, which nobody learned: what an update forgets shows there. All read the log once, in its order.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.learning import intervals
from benchmarks.learning.liking import Liking, liking
from benchmarks.learning.retail import retail
from benchmarks.learning.strategy_race import MADE_UP, Result, Track, blocks_of, held_out_of, loss_of, made_up, race
from trainer_svc.evaluation.metrics.curves import roc_auc
from trainer_svc.evaluation.metrics.ranking import ndcg, ranked

Int64s = npt.NDArray[np.int64]
K: Final = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        blocks: of 2 % of a real log each.
        seeds: of each log: rows, and what is made up, begin otherwise.
        retail: whether the retail log is measured, too.
    """

    blocks: int = 10
    seeds: int = 3
    retail: bool = True


QUICK: Final = Size(blocks=3, seeds=1, retail=False)
FULL: Final = Size()
_BLOCK: Final = 0.02
_UNITS: Final = {
    "log_loss": "nats",
    "old_cohort_auc": "AUC",
    "cpu_s": "s",
    "freshness_s": "s of processor, until a model has a block",
}


def strategies(figures: Figures, size: Size) -> None:
    """Figures of each log and strategy, then those that have a goal."""
    _made_up(figures, size.seeds)
    _real(figures, "movielens", liking, size)
    if size.retail:
        _real(figures, "retail", retail, size)


def _made_up(figures: Figures, seeds: int) -> None:
    for name, drift in MADE_UP.items():
        tracks = [made_up(drift, seed) for seed in range(seeds)]
        found = [(track, race(track)) for track in tracks]
        losses = {
            strategy: float(np.mean([loss_of(track, results[strategy]) for track, results in found]))
            for strategy in found[0][1]
        }
        for strategy, loss in losses.items():
            figures.add(f"strategies.{name}.{strategy}.log_loss", loss, "nats")
        best = min(loss for strategy, loss in losses.items() if strategy != "auto")
        figures.add(f"strategies.{name}.auto_over_best_fixed", losses["auto"] / best - 1, "share", at_most(0.05))


@dataclass(frozen=True, slots=True)
class Measured:
    """One strategy on one log, by one seed.

    Attributes:
        users: int64[m], whose answers they are: a user's items in a block, where both kinds of labels are among them.
        ndcg: float64[m], NDCG@10 of each.
    """

    users: Int64s
    ndcg: npt.NDArray[np.float64]
    log_loss: float
    old_cohort_auc: float
    cpu_s: float
    freshness_s: float


def _real(figures: Figures, name: str, log: Callable[[float, int], Liking | None], size: Size) -> None:
    runs: list[dict[str, Measured]] = []
    for seed in range(size.seeds):
        liked = log(_BLOCK * size.blocks, seed)
        if liked is None:
            return
        runs.append(_measured(liked, size.blocks))
    for strategy in runs[0]:
        for figure, unit in _UNITS.items():
            mean = float(np.mean([getattr(run[strategy], figure) for run in runs]))
            figures.add(f"strategies.{name}.{strategy}.{figure}", mean, unit)
        ndcg_mean = float(np.mean([run[strategy].ndcg.mean() for run in runs]))
        figures.add(f"strategies.{name}.{strategy}.new_block_ndcg", ndcg_mean, "NDCG@10")
    _goals(figures, name, runs)


def _measured(liked: Liking, blocks: int) -> dict[str, Measured]:
    stream = liked.stream
    track = Track(liked.model, stream, blocks_of(stream.start, len(liked.users), blocks), liked.batch)
    old = stream.examples.labels[held_out_of(track)]
    return {
        strategy: Measured(
            *_ndcg(track, result, liked.users),
            loss_of(track, result),
            roc_auc(result.old, old),
            result.cpu_s,
            result.freshest_s,
        )
        for strategy, result in race(track).items()
    }


def _goals(figures: Figures, name: str, runs: Sequence[dict[str, Measured]]) -> None:
    """Incremental against full retraining, and `auto` against the best that is fixed."""

    def value(strategy: str, figure: str) -> float:
        return float(np.mean([getattr(run[strategy], figure) for run in runs]))

    own, other = "incremental", "full_retrain"
    users = np.concatenate([run[own].users for run in runs])
    gains = np.concatenate([run[own].ndcg - run[other].ndcg for run in runs])
    low, high = intervals.of_mean(users, gains)
    best = min(value(strategy, "log_loss") for strategy in ("frozen", own, other, "fine_tune"))
    figures.add(f"strategies.{name}.auto_over_best_fixed", value("auto", "log_loss") / best - 1, "share", at_most(0.05))
    part = "incremental" if name == "movielens" else f"incremental.{name}"
    drop = 1 - value(own, "old_cohort_auc") / value(other, "old_cohort_auc")
    share = value(own, "cpu_s") / value(other, "cpu_s")
    figures.add(f"{part}.new_block_ndcg_over_full_retrain", float(gains.mean()), "NDCG@10", at_least(0.0))
    figures.add(f"{part}.new_block_ndcg_over_full_retrain_low", low, "NDCG@10, 2.5 % of users' bootstrap")
    figures.add(f"{part}.new_block_ndcg_over_full_retrain_high", high, "NDCG@10, 97.5 %")
    figures.add(f"{part}.old_cohort_drop", drop, "share of AUC", at_most(0.01))
    figures.add(f"{part}.cpu_share_of_full_retrain", share, "share of processor time", at_most(0.05))


def _ndcg(track: Track, result: Result, users: Int64s) -> tuple[Int64s, npt.NDArray[np.float64]]:
    """Of each user and block with both kinds of labels there: the user, and NDCG@10."""
    whose: list[Int64s] = []
    found: list[npt.NDArray[np.float64]] = []
    for block, logits in zip(track.blocks[1:], result.logits, strict=True):
        labels = track.stream.examples.labels[block]
        known, groups, sizes = np.unique(users[block], return_inverse=True, return_counts=True)
        positives = np.bincount(groups, labels, known.shape[0])
        both = (positives > 0) & (positives < sizes)
        whose.append(known[both])
        found.append(ndcg(ranked(logits, labels, groups, known.shape[0]), K)[both])
    return np.concatenate(whose), np.concatenate(found)


def main() -> None:
    """Prints the figures and writes out/bench/learning-strategies.json."""
    figures = Figures()
    strategies(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-strategies.json"))


if __name__ == "__main__":
    main()
