"""The learned base: a learner that has learned a history in its order, and what of the log is passed over for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer_svc.backfill.history import History
from trainer_svc.batch import Batch
from trainer_svc.learner import Learner

Overlap = Literal["time", "prediction_id"]


@dataclass(frozen=True, slots=True)
class LearnedBase:
    """What came of a history.

    Attributes:
        examples: learned of it.
        since_us: the log's predictions from then on are learned; 0: the history has no time.
        known: uint64[n], ascending: XXH3-64 of the prediction ids that were learned; empty where time decides.
    """

    examples: int
    since_us: int
    known: npt.NDArray[np.uint64]


def learn_history(learner: Learner, history: Iterable[History], overlap: Overlap, before_us: int = 0) -> LearnedBase:
    """Learns a history.

    Where the log holds some of the same events, each is learned once. By `time` the history gives way to the log from
    `before_us` on (0: the log begins right behind the history's latest event); by `prediction_id` the log's predictions
    that stand in the history are passed over, whenever they were made.
    """
    examples, latest_us, known = 0, 0, list[npt.NDArray[np.uint64]]()
    for part in _cut(history, before_us if overlap == "time" else 0):
        learner.learn(part.batch, int(part.times_us.max()))
        examples += part.batch.size
        latest_us = max(latest_us, int(part.times_us.max()))
        known.append(part.predictions)
    if overlap == "prediction_id":
        named = np.unique(np.concatenate([np.empty(0, np.uint64), *known]))
        return LearnedBase(examples, 0, named[named != 0])
    return LearnedBase(examples, before_us or latest_us + 1, np.empty(0, np.uint64))


def _cut(history: Iterable[History], before_us: int) -> Iterator[History]:
    for part in history:
        chosen = np.flatnonzero(part.times_us < before_us) if before_us else np.arange(part.times_us.shape[0])
        if chosen.shape[0] == part.times_us.shape[0]:
            yield part
        elif chosen.shape[0]:
            yield History(_rows(part.batch, chosen), part.times_us[chosen], part.predictions[chosen])


def _rows(batch: Batch, chosen: npt.NDArray[np.int64]) -> Batch:
    block = batch.block
    users = block.row_of_user[chosen]
    kept = type(block)(
        block.user_ids[users],
        block.user_numbers[users],
        block.item_ids[chosen],
        block.item_numbers[chosen],
        np.arange(chosen.shape[0]),
    )
    return Batch(kept, batch.labels[chosen], batch.weights[chosen])
