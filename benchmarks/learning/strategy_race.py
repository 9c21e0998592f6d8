"""Update strategies side by side on one stream: after each block all update their models, then the next block comes.

All of them serve the next block with the model as it stood at its beginning, so they differ by how they updated alone,
not by how fresh they are. What an update costs is processor time of this process.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.learning.examples import Examples
from benchmarks.learning.publishing import Stream
from martlet.runtime.strategy_config import StrategyConfig
from trainer_svc.learner import Learner
from trainer_svc.prequential import log_losses
from trainer_svc.strategies.choice import Situation, choose
from trainer_svc.strategies.fine_tuning import slowed

Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

FIXED: Final = ("frozen", "incremental", "full_retrain", "fine_tune")
AUTO: Final = StrategyConfig("auto", every_hours=1.0, least_examples=1, drift_nats=0.02, budget_share=1.0)
_HOLD_OUT: Final = 11  # of the history's first half so many-th are kept for the old cohort; odd: labels may alternate


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What is raced on.

    Attributes:
        stream: its `start` is where the first block begins.
        blocks: of the examples behind it.
        batch: examples of one batch.
    """

    model: ml.Model
    stream: Stream
    blocks: Sequence[slice]
    batch: int


@dataclass(slots=True)
class Result:
    """One strategy's.

    Attributes:
        logits: of all blocks' examples but the first block's, each block by the model that was there at its beginning.
        old: logits of the old cohort, by the last model.
        cpu_s: of all updates; `freshest_s` of the last one, about how old a model is when it can be published.
        chosen: what `auto` chose, block by block.
    """

    logits: list[Floats] = field(default_factory=list)
    old: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    cpu_s: float = 0.0
    freshest_s: float = 0.0
    chosen: list[str] = field(default_factory=list)


class Racer:
    """One strategy's model. `name`: one of `FIXED`, or auto."""

    def __init__(self, name: str, track: Track, held_out: Int64s, auto: StrategyConfig = AUTO) -> None:
        self._name = name
        self._auto = auto
        self._track = track
        self._kept = np.setdiff1d(np.arange(track.stream.start), held_out)
        self._learner = self._from_nothing(0)
        self._usual = math.nan
        self.result = Result()

    def race(self, held_out: Int64s) -> Result:
        """All blocks, then the old cohort."""
        blocks, examples = self._track.blocks, self._track.stream.examples
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            began = time.process_time()
            self._update(block)
            self.result.freshest_s = time.process_time() - began
            self.result.cpu_s += self.result.freshest_s
            if following is not None:
                self.result.logits.append(self._learner.predict(examples.block(following)))
        self.result.old = self._learner.predict(examples.block(held_out))
        return self.result

    def _update(self, block: slice) -> None:
        name = self._choice(block) if self._name == "auto" else self._name
        if name == "full_retrain":
            self._learner = self._from_nothing(block.stop)
        elif name != "frozen":
            self._learn(self._learner, np.arange(block.start, block.stop))
        if name == "fine_tune":
            slow = Learner(slowed(self._track.model, AUTO.fine_tune_rate))
            slow.restore(self._learner.state())
            self._learn(slow, np.arange(block.start, block.stop))
            self._learner.restore(slow.state())

    def _choice(self, block: slice) -> str:
        """What `auto` does after a block; the rest of what it knows is as a trainer would know it."""
        examples = self._track.stream.examples
        recent = _loss(self._learner.predict(examples.block(block)), examples.labels[block])
        size = block.stop - block.start
        tuned = next((one for one in reversed(self.result.chosen) if one != "incremental"), "") == "fine_tune"
        at = Situation(1, 0, block.stop, size, size, recent, self._usual, tuned=tuned)
        chosen = choose(at, self._auto).strategy
        self._usual = recent if math.isnan(self._usual) else 0.5 * (self._usual + recent)
        self.result.chosen.append(chosen)
        return chosen

    def _from_nothing(self, end: int) -> Learner:
        learner = Learner(self._track.model)
        later = np.arange(self._track.stream.start, max(end, self._track.stream.start))
        self._learn(learner, np.concatenate([self._kept, later]))
        return learner

    def _learn(self, learner: Learner, which: Int64s) -> None:
        stream, batch = self._track.stream, self._track.batch
        for first in range(0, which.shape[0], batch):
            part = which[first : first + batch]
            learner.learn(stream.examples.batch(part), int(stream.times[part[-1]]) * 1_000_000)


def race(track: Track, names: Sequence[str] = (*FIXED, "auto"), auto: StrategyConfig = AUTO) -> dict[str, Result]:
    """All strategies on one track, each from the same beginning. `auto`: its settings."""
    held_out = held_out_of(track)
    return {name: Racer(name, track, held_out, auto).race(held_out) for name in names}


def held_out_of(track: Track) -> Int64s:
    """The old cohort, by place."""
    return np.arange(0, track.stream.start // 2, _HOLD_OUT)


def loss_of(track: Track, result: Result) -> float:
    """Mean log-loss over all blocks but the first, nats."""
    labels = [track.stream.examples.labels[block] for block in track.blocks[1:]]
    return _loss(np.concatenate(result.logits), np.concatenate(labels))


def blocks_of(start: int, end: int, count: int) -> list[slice]:
    """So many blocks of about one size."""
    edges = np.linspace(start, end, count + 1).astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def _loss(logits: Floats, labels: Floats) -> float:
    return float(log_losses(logits, labels).mean())


Drift = Callable[[float], float]
MADE_UP: Final[Mapping[str, Drift]] = {
    "stationary": lambda _: 0.0,
    "abrupt": lambda share: math.pi / 2 if share >= 0.5 else 0.0,  # noqa: PLR2004  the middle of the blocks
    "slow": lambda share: share * math.pi / 2,
}
"""How far tastes have turned, in radians, by the share of the blocks that has passed."""


def made_up(drift: Drift, seed: int, examples: int = 8000, blocks: int = 8) -> Track:
    """Users with a taste in the plane, which turns; items with a place there. Half of the stream is history."""
    random, users, items = np.random.default_rng(seed), 24, 16
    angles = random.uniform(0, 2 * math.pi, (2, max(users, items)))
    user, item = random.integers(users, size=examples), random.integers(items, size=examples)
    start = examples // 2
    share = np.clip((np.arange(examples) - start) / (examples - start), 0, 1)
    turned = np.array([drift(one) for one in share])
    logit = 2.5 * np.cos(angles[0][user] - angles[1][item] + turned)
    labels = (random.random(examples) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    model = ml.model_of(
        "made-up",
        ml.DeepFM,
        inputs={"user": ml.Id("user_id", space=f"user-{seed}"), "item": ml.Id("item_id", space=f"item-{seed}")},
        label=ml.Binary("click", window="60s"),
        dense=ml.Adam(1e-2),
        rows=ml.RowWiseAdaGrad(0.5),
        dim=4,
        hidden=(16,),
    )
    stream = Stream(Examples(model.spec, {"user": user, "item": item}, labels), np.arange(examples) * 60, start)
    return Track(model, stream, blocks_of(start, examples, blocks), 32)
