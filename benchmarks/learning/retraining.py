"""`python -m benchmarks.learning.retraining`: half a log is history; then ten blocks come, learned on and on, or anew.

Both ways begin with the same training on the history. Before each block a model ranks what its users meet in it; then
the block is learned. The one learner learns the block once and goes on; the other begins from nothing after every block
and learns everything so far, in as many passes as rank best. Both know the same examples, so what differs is what it
costs, and what is forgotten: a twentieth of the history is never learned, and is ranked again after every block.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.learning import intervals
from benchmarks.learning.liking import Liking, liking
from benchmarks.learning.ranking import ndcg_by_group
from benchmarks.learning.retail import retail
from trainer_svc.learner import Learner

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
BLOCKS: Final = 10
HISTORY: Final = 0.5
HELD_OUT: Final = 0.05
DEPTH: Final = 10
BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        seeds: how often.
        passes: of a full retraining; the number that ranks the new blocks best is taken.
        retail: whether the retail log is measured, too.
    """

    seeds: int = 5
    passes: tuple[int, ...] = (1, 2, 3, 4)
    retail: bool = True


QUICK: Final = Size(seeds=1, passes=(1, 2, 3), retail=False)
FULL: Final = Size()


@dataclass(slots=True)
class Course:
    """What one way of learning came to.

    Attributes:
        cpu: seconds of learning the blocks; what the history cost is the same for both.
        new: NDCG@10 of each user in each block, before it was learned; one array a block.
        users: whose.
        old: the AUC of what was held out of the history, after the history and after each block.
    """

    cpu: float = 0.0
    new: list[npt.NDArray[np.float64]] = field(default_factory=list)
    users: list[Int64s] = field(default_factory=list)
    old: list[float] = field(default_factory=list)

    @property
    def ndcg(self) -> float:
        """The mean over blocks of the mean over users."""
        return float(np.mean([block.mean() for block in self.new]))

    @property
    def drop(self) -> float:
        """How much worse the old examples are ranked at the end than when they were new, as a share."""
        return 1 - self.old[-1] / self.old[0]


def retraining(figures: Figures, size: Size) -> None:
    """CPU seconds, quality on new blocks, and what is forgotten, beside full retraining."""
    _measured(figures, "retraining", liking, size)
    if size.retail:
        _measured(figures, "retraining.retail", retail, size)


def _measured(figures: Figures, name: str, logs: Callable[[float, int], Liking | None], size: Size) -> None:
    ours, theirs, passes = list[Course](), list[Course](), size.passes[0]
    for seed in range(size.seeds):
        log = logs(1.0, seed)
        if log is None:
            return
        blocks = _Blocks(log, seed)
        if seed == 0:  # each seed tells the same of it
            tried = {count: blocks.from_nothing(count) for count in size.passes}
            passes = max(tried, key=lambda count: tried[count].ndcg)
            theirs.append(tried[passes])
            for count, course in tried.items():
                figures.add(f"{name}.ndcg_in_{count}_passes", course.ndcg, "NDCG@10")
        else:
            theirs.append(blocks.from_nothing(passes))
        ours.append(blocks.going_on(passes))
    share = sum(course.cpu for course in ours) / sum(course.cpu for course in theirs)
    gains = [our.ndcg - their.ndcg for our, their in zip(ours, theirs, strict=True)]
    low, high = _gain_interval(ours[0], theirs[0])
    figures.add(f"{name}.incremental_cpu_share", share, "", at_most(0.05))
    figures.add(f"{name}.incremental_cpu_s", float(np.mean([course.cpu for course in ours])), "s")
    figures.add(f"{name}.cpu_s", float(np.mean([course.cpu for course in theirs])), "s")
    figures.add(f"{name}.passes", passes, "")
    figures.add(f"{name}.incremental_ndcg", float(np.mean([course.ndcg for course in ours])), "NDCG@10")
    figures.add(f"{name}.ndcg", float(np.mean([course.ndcg for course in theirs])), "NDCG@10")
    figures.add(f"{name}.incremental_ndcg_gain", float(np.mean(gains)), "NDCG@10 over full retraining", at_least(0.0))
    figures.add(f"{name}.incremental_ndcg_gain_low", low, "2.5 % of users' bootstrap")
    figures.add(f"{name}.incremental_ndcg_gain_high", high, "97.5 %")
    drop = float(np.mean([course.drop for course in ours]))
    figures.add(f"{name}.incremental_old_cohort_drop", drop, "share of the AUC", at_most(0.01))
    figures.add(f"{name}.old_cohort_drop_of_retrained", float(np.mean([course.drop for course in theirs])), "share")


class _Blocks:
    """One log: its history, then blocks of equal size."""

    def __init__(self, log: Liking, seed: int) -> None:
        self._log, self._seed = log, seed
        n = len(log.stream.examples)
        bounds = np.linspace(int(n * HISTORY), n, BLOCKS + 1).astype(int)
        held = np.random.default_rng(seed).random(bounds[0]) < HELD_OUT
        self._held = np.flatnonzero(held)
        self._history = np.flatnonzero(~held)
        self._blocks = [np.arange(first, last) for first, last in pairwise(bounds)]

    def going_on(self, passes: int) -> Course:
        """Each block is learned once, after it was ranked; the history in passes."""
        course, learner = Course(), self._trained(0, passes)
        self._look_back(course, learner)
        for block in self._blocks:
            self._rank(course, learner, block)
            begun = time.process_time()
            self._learn(learner, block)
            course.cpu += time.process_time() - begun
            self._look_back(course, learner)
        return course

    def from_nothing(self, passes: int) -> Course:
        """After each block everything so far is learned by a newborn learner."""
        course, learner = Course(), self._trained(0, passes)
        self._look_back(course, learner)
        for number, block in enumerate(self._blocks, 1):
            self._rank(course, learner, block)
            begun = time.process_time()
            learner = self._trained(number, passes)
            course.cpu += time.process_time() - begun
            self._look_back(course, learner)
        return course

    def _trained(self, blocks: int, passes: int) -> Learner:
        """A newborn that has learned the history and so many blocks, shuffled but for the last pass."""
        known = np.concatenate([self._history, *self._blocks[:blocks]])
        learner, random = Learner(self._log.model), np.random.default_rng(self._seed)
        for _ in range(passes - 1):
            self._learn(learner, random.permutation(known))
        self._learn(learner, known)
        return learner

    def _learn(self, learner: Learner, places: Int64s) -> None:
        stream = self._log.stream
        for start in range(0, len(places), BATCH):
            which = places[start : start + BATCH]
            learner.learn(stream.examples.batch(which), int(stream.times[which[-1]]) * 1_000_000)

    def _rank(self, course: Course, learner: Learner, block: Int64s) -> None:
        examples, groups = self._log.stream.examples, self._log.groups[block]
        found, values = ndcg_by_group(groups, learner.predict(examples.block(block)), examples.labels[block], DEPTH)
        first = np.unique(groups, return_index=True)
        course.new.append(values)
        course.users.append(self._log.users[block][first[1][np.searchsorted(first[0], found)]])

    def _look_back(self, course: Course, learner: Learner) -> None:
        examples = self._log.stream.examples
        logits = learner.predict(examples.block(self._held))
        course.old.append(intervals.auc(examples.labels[self._held], logits))


def _gain_interval(ours: Course, theirs: Course) -> intervals.Interval:
    gains = np.concatenate([our - their for our, their in zip(ours.new, theirs.new, strict=True)])
    return intervals.of_mean(np.concatenate(ours.users), gains)


def main() -> None:
    """Prints the figures and writes out/bench/learning-retraining.json."""
    figures = Figures()
    retraining(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-retraining.json"))


if __name__ == "__main__":
    main()
