"""Predictions wait for their outcomes, outcomes for their predictions; together they are examples.

All time here is event time: nothing depends on when an event was read, so a replay joins the same.
"""

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from martlet.events import Outcome, Prediction


class Label(Protocol):
    """What the joiner needs to know of a label (`martlet.learn.Binary`)."""

    @property
    def event(self) -> str:
        """The outcome's type."""
        ...

    @property
    def window_us(self) -> int:
        """The attribution window in microseconds."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether only an outcome gives a label."""
        ...

    @property
    def threshold(self) -> float:
        """The least value of a positive outcome."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a prediction with its label."""

    prediction: Prediction
    item: int
    label: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An outcome that cannot be used, and why."""

    outcome: Outcome
    reason: str


class Counts(msgspec.Struct):
    """Where outcomes ended; with those pending, each is in exactly one place."""

    learned: int = 0
    excluded: int = 0
    dead_lettered: int = 0
    duplicates: int = 0
    expired_predictions: int = 0


@dataclass(slots=True)
class _Open:
    """A prediction in its window: its payload (for the checkpoint), and the label of each item that has one."""

    prediction: Prediction
    payload: bytes
    labels: dict[int, float] = field(default_factory=dict)
    outcomes: int = 0


class JoinerState(msgspec.Struct, frozen=True):
    """What a checkpoint keeps: payloads of open predictions with their labels, and outcomes that wait."""

    open: list[tuple[bytes, dict[int, float], int]]
    waiting: list[Outcome]
    watermark_us: int
    counts: Counts


class Joiner:
    """Joins. Deterministic in the order of calls; not thread-safe.

    Attributes:
        watermark_us: event time has come so far.
        counts: where outcomes ended.
    """

    def __init__(self, label: Label) -> None:
        self._label = label
        self._open: dict[str, _Open] = {}
        self._waiting: dict[str, list[Outcome]] = {}
        self._dead_letters: list[DeadLetter] = []
        self.watermark_us = 0
        self.counts = Counts()

    @property
    def waits(self) -> bool:
        """Whether the passing of time alone would change something."""
        return bool(self._open or self._waiting)

    @property
    def pending(self) -> int:
        """Outcomes that are neither learned nor given up."""
        waiting = sum(len(outcomes) for outcomes in self._waiting.values())
        return waiting + sum(opened.outcomes for opened in self._open.values())

    def add_prediction(self, prediction: Prediction, payload: bytes) -> list[Example]:
        """A prediction opens; outcomes that waited for it may complete examples."""
        if prediction.prediction_id in self._open:
            return []
        self.watermark_us = max(self.watermark_us, prediction.time_us)
        self._open[prediction.prediction_id] = _Open(prediction, payload)
        waited = self._waiting.pop(prediction.prediction_id, [])
        return [example for outcome in waited for example in self.add_outcome(outcome)]

    def add_outcome(self, outcome: Outcome) -> list[Example]:
        """An outcome (not a repeated one); explicit labels give their example at once."""
        if outcome.type != self._label.event:
            self.counts.excluded += 1
            return []
        opened = self._open.get(outcome.prediction_id)
        if opened is None:
            self._waiting.setdefault(outcome.prediction_id, []).append(outcome)
            return []
        if outcome.item_id not in opened.prediction.item_ids:
            return self._dead(outcome, "the prediction has no such item")
        if outcome.time_us > opened.prediction.time_us + self._label.window_us:
            return self._dead(outcome, "after the attribution window")
        item = opened.prediction.item_ids.index(outcome.item_id)
        label = float(outcome.value >= self._label.threshold)
        if self._label.explicit:
            return self._explicit(opened, item, label, outcome)
        opened.labels[item] = max(opened.labels.get(item, 0.0), label)
        opened.outcomes += 1
        return []

    def advance(self, now_us: int) -> list[Example]:
        """Time has come to `now_us` (0: only as far as events say): closes windows that are over."""
        self.watermark_us = max(self.watermark_us, now_us)
        examples: list[Example] = []
        for opened in self._closing():
            if not self._label.explicit:
                items = range(len(opened.prediction.item_ids))
                examples += [Example(opened.prediction, item, opened.labels.get(item, 0.0)) for item in items]
                self.counts.learned += opened.outcomes
            elif not opened.labels:
                self.counts.expired_predictions += 1
        self._give_up()
        return examples

    def take_dead_letters(self) -> list[DeadLetter]:
        """The dead letters since the last call."""
        taken, self._dead_letters = self._dead_letters, []
        return taken

    def state(self) -> JoinerState:
        """Everything, for a checkpoint."""
        return JoinerState(
            [(opened.payload, dict(opened.labels), opened.outcomes) for opened in self._open.values()],
            [outcome for outcomes in self._waiting.values() for outcome in outcomes],
            self.watermark_us,
            self.counts,
        )

    def restore(self, state: JoinerState, predictions: list[Prediction]) -> None:
        """Takes a state over; `predictions` are its payloads, decoded, in order."""
        self._open = {
            prediction.prediction_id: _Open(prediction, payload, dict(labels), outcomes)
            for prediction, (payload, labels, outcomes) in zip(predictions, state.open, strict=True)
        }
        self._waiting = {}
        for outcome in state.waiting:
            self._waiting.setdefault(outcome.prediction_id, []).append(outcome)
        self.watermark_us = state.watermark_us
        self.counts = state.counts

    def _explicit(self, opened: _Open, item: int, label: float, outcome: Outcome) -> list[Example]:
        if item in opened.labels:
            return self._dead(outcome, "the item has its label already")
        opened.labels[item] = label
        self.counts.learned += 1
        return [Example(opened.prediction, item, label)]

    def _dead(self, outcome: Outcome, reason: str) -> list[Example]:
        self.counts.dead_lettered += 1
        self._dead_letters.append(DeadLetter(outcome, reason))
        return []

    def _closing(self) -> list[_Open]:
        """Takes out predictions whose window is over, in the order of arrival (replicas' clocks differ a little)."""
        oldest = self.watermark_us - self._label.window_us
        closing: list[str] = []
        for prediction_id, opened in self._open.items():
            if opened.prediction.time_us >= oldest:
                break
            closing.append(prediction_id)
        return [self._open.pop(prediction_id) for prediction_id in closing]

    def _give_up(self) -> None:
        """Outcomes whose prediction never came: after two windows it will not come any more."""
        oldest = self.watermark_us - 2 * self._label.window_us
        for prediction_id in list(self._waiting):
            if self._waiting[prediction_id][0].time_us >= oldest:
                break
            for outcome in self._waiting.pop(prediction_id):
                self._dead(outcome, "no such prediction, or its window is over")
