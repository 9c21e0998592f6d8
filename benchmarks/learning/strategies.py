"""`python -m benchmarks.learning.strategies`: update strategies on real and made-up logs: quality, time, freshness.

Each log is cut into a history and blocks behind it. After every block each strategy updates its model, and the next
block is scored by it: NDCG@10 of each user's items there, and log-loss. The old cohort is a tenth of the first half of
the history, which nobody learned: what an update forgets shows there. All read the log once, in its order.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.learning.liking import Liking, liking
from benchmarks.learning.publishing import Stream
from benchmarks.learning.retail import retail
from benchmarks.learning.strategy_race import MADE_UP, Result, Track, blocks_of, loss_of, made_up, race
from trainer_svc.evaluation.metrics.curves import roc_auc
from trainer_svc.evaluation.metrics.ranking import ndcg, ranked

Floats = npt.NDArray[np.float32]
K: Final = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        blocks: of 2 % of a real log each.
        seeds: of the made-up streams.
        retail: whether the retail log is measured, too.
    """

    blocks: int = 10
    seeds: int = 3
    retail: bool = True


QUICK: Final = Size(blocks=3, seeds=1, retail=False)
FULL: Final = Size()
_BLOCK: Final = 0.02


def strategies(figures: Figures, size: Size) -> None:
    """Figures of each log and strategy, then those that have a goal."""
    _made_up(figures, size.seeds)
    _real(figures, "movielens", liking, size.blocks)
    if size.retail:
        _real(figures, "retail", retail, size.blocks)


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


def _real(figures: Figures, name: str, log: Callable[[float, int], Liking | None], blocks: int) -> None:
    liked = log(_BLOCK * blocks, 0)
    if liked is None:
        return
    track = Track(liked.model, liked.stream, blocks_of(liked.stream.start, len(liked.users), blocks), liked.batch)
    results = race(track)
    held_out = np.arange(0, track.stream.start // 2, 10)
    for strategy, result in results.items():
        place = f"strategies.{name}.{strategy}"
        figures.add(f"{place}.new_block_ndcg", _ndcg(track, result, liked.users), "NDCG@10")
        figures.add(f"{place}.log_loss", loss_of(track, result), "nats")
        figures.add(f"{place}.old_cohort_auc", _auc(track.stream, held_out, result), "AUC")
        figures.add(f"{place}.cpu_s", result.cpu_s, "s")
        figures.add(f"{place}.freshness_s", result.freshest_s, "s of processor, until a model has a block")
    _goals(figures, name)


def _goals(figures: Figures, name: str) -> None:
    """Incremental against full retraining, and `auto` against the best that is fixed."""

    def value(strategy: str, figure: str) -> float:
        return float(figures.entries[f"strategies.{name}.{strategy}.{figure}"]["value"])

    own, other = "incremental", "full_retrain"
    gain = value(own, "new_block_ndcg") - value(other, "new_block_ndcg")
    drop = 1 - value(own, "old_cohort_auc") / value(other, "old_cohort_auc")
    share = value(own, "cpu_s") / value(other, "cpu_s")
    best = min(value(strategy, "log_loss") for strategy in ("frozen", own, other, "fine_tune"))
    figures.add(f"strategies.{name}.auto_over_best_fixed", value("auto", "log_loss") / best - 1, "share", at_most(0.05))
    part = "incremental" if name == "movielens" else f"incremental.{name}"
    figures.add(f"{part}.new_block_ndcg_over_full_retrain", gain, "NDCG@10", at_least(0.0))
    figures.add(f"{part}.old_cohort_drop", drop, "share of AUC", at_most(0.01))
    figures.add(f"{part}.cpu_share_of_full_retrain", share, "share of processor time", at_most(0.05))


def _ndcg(track: Track, result: Result, users: npt.NDArray[np.int64]) -> float:
    """Mean over users and blocks of those who have both kinds of labels there."""
    found: list[float] = []
    for block, logits in zip(track.blocks[1:], result.logits, strict=True):
        labels, groups = track.stream.examples.labels[block], users[block]
        found += _ndcg_of(groups, logits, labels)
    return float(np.mean(found))


def _ndcg_of(users: npt.NDArray[np.int64], logits: Floats, labels: Floats) -> list[float]:
    known, groups = np.unique(users, return_inverse=True)
    values = ndcg(ranked(logits, labels, groups, known.shape[0]), K)
    positives = np.bincount(groups, labels, known.shape[0])
    both = (positives > 0) & (positives < np.bincount(groups, minlength=known.shape[0]))
    return [float(value) for value in values[both]]


def _auc(stream: Stream, which: npt.NDArray[np.int64], result: Result) -> float:
    return roc_auc(result.old, stream.examples.labels[which])


def main() -> None:
    """Prints the figures and writes out/bench/learning-strategies.json."""
    figures = Figures()
    strategies(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-strategies.json"))


if __name__ == "__main__":
    main()
