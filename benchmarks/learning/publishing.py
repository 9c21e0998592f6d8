"""One learner, published at several intervals at once: what each example was told by the version that served it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.learning.examples import Examples
from trainer_svc.learner import Learner

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
NEVER: Final = 1 << 40
"""An interval, in seconds, in which nothing is published: the model is frozen."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Examples that come one after the other.

    Attributes:
        times: int64[n], seconds, not falling.
        start: the place where serving, and the test, begin; what stands before was learned by then.
    """

    examples: Examples
    times: Int64s
    start: int

    def windows(self, seconds: int) -> Iterator[slice]:
        """The examples from `start` on by windows of time that begin at multiples of `seconds`."""
        return cut(self.times // seconds, self.start)


def cut(windows: Int64s, start: int) -> Iterator[slice]:
    """Runs of one number, from a place on."""
    edges = start + 1 + np.flatnonzero(windows[start + 1 :] != windows[start:-1])
    bounds = [start, *edges.tolist(), windows.shape[0]]
    for first, last in pairwise(bounds):
        yield slice(first, last)


def learn_history(learner: Learner, stream: Stream, end: int, batch: int, epochs: int = 1, seed: int = 0) -> None:
    """The examples before a place, in batches: once in their order, or several times, shuffled but for the last."""
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = np.arange(end) if epoch == epochs - 1 else random.permutation(end)
        for first in range(0, end, batch):
            which = order[first : first + batch]
            learner.learn(stream.examples.batch(which), int(stream.times[which[-1]]) * 1_000_000)


def served(learner: Learner, stream: Stream, tick: int, intervals: Sequence[int]) -> dict[int, Floats]:
    """Learns tick by tick, and scores each example as every interval's latest version would: logits from `start` on.

    What came in a tick is learned at its end, in one batch. At each multiple of an interval the learner as it stands is
    published, and answers until the next; all intervals share the learner, so they differ by age alone. Every interval
    is a multiple of the tick, in seconds.
    """
    due = {interval: stream.windows(interval) for interval in intervals}
    logits = {interval: np.empty(len(stream.examples) - stream.start, np.float32) for interval in intervals}
    upcoming = {interval: next(windows) for interval, windows in due.items()}
    for now in stream.windows(tick):
        for interval in intervals:
            window = upcoming[interval]
            if window.start != now.start:
                continue
            places = slice(window.start - stream.start, window.stop - stream.start)
            logits[interval][places] = learner.predict(stream.examples.block(window))
            upcoming[interval] = next(due[interval], slice(-1, -1))
        learner.learn(stream.examples.batch(now), int(stream.times[now.start]) * 1_000_000)
    return logits
