"""Joins outcomes to the predictions they are about, in event time, whichever comes first.

Predictions stay in the event log; what is kept of one is where it stands. An example is one item row of a prediction
with its label. With an explicit label, each outcome of the label's type gives one, and a prediction without outcome
expires; otherwise the first such outcome within the attribution window gives a positive one at once, and the end of the
window gives a negative one for every other item.

A *mature* joiner, whose labels are to be judged by, gives the positive ones at the end of the window too: labels that
come as soon as they are positive would make positives overcounted.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import msgspec

from martlet.events import Outcome
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Place
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount


class LabelRule(Protocol):
    """What the joiner asks of a label (see `martlet.learn.Binary`)."""

    @property
    def event(self) -> str:
        """The outcome's type."""
        ...

    @property
    def window_us(self) -> int:
        """The attribution window."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether only an outcome gives a label."""
        ...

    @property
    def threshold(self) -> float:
        """The least value of a positive explicit label."""
        ...


class Standing(IntEnum):
    """What a prediction is to this trainer."""

    OPEN = 0
    CLOSED = 1  # its window is over
    OTHER_MODEL = 2
    OTHER_SPEC = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One item row with its label. `judged`: its first label, so that it may be evidence too."""

    prediction: RecordedPrediction
    row: int
    label: float
    judged: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that cannot be used."""

    reason: DeadReason
    text: str
    place: Place


class Held(msgspec.Struct, array_like=True):
    """What is kept of a prediction. `labelled` are the item rows that have a label, as they got it."""

    place: Place
    time_us: int
    standing: int
    labelled: tuple[int, ...] = ()


class Waiting(msgspec.Struct, array_like=True):
    """An outcome without its prediction."""

    outcome: Outcome
    place: Place
    due_us: int


class JoinerState(msgspec.Struct):
    """All that a joiner holds, in one order for equal content."""

    held: dict[str, Held]
    waiting: dict[str, list[Waiting]]
    expired: int


@dataclass(slots=True)
class Joined:
    """What came of the events since it was last taken."""

    examples: list[Example] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class Joiner:
    """See the module's docstring. Not thread-safe.

    Args:
        label: what makes a label.
        fetch: reads a prediction from the log again.
        account: where each outcome is counted.
        mature: see the module's docstring.
    """

    def __init__(
        self,
        label: LabelRule,
        fetch: Callable[[Place], RecordedPrediction],
        account: OutcomeAccount,
        *,
        mature: bool = False,
    ) -> None:
        self._mature = mature and not label.explicit
        self._label = label
        self._window_us = label.window_us
        self._fetch = fetch
        self._account = account
        self._held: dict[str, Held] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self._dues: list[tuple[int, str]] = []
        self._joined = Joined()
        self.expired = 0

    @property
    def pending(self) -> int:
        """Outcomes that wait for their prediction."""
        return sum(len(waiting) for waiting in self._waiting.values())

    @property
    def held(self) -> int:
        """Predictions kept."""
        return len(self._held)

    @property
    def next_due_us(self) -> int | None:
        """When, in event time, something here is over."""
        while self._dues and not self._is_due(*self._dues[0]):
            heapq.heappop(self._dues)
        return self._dues[0][0] if self._dues else None

    def add_prediction(self, prediction: RecordedPrediction, place: Place, standing: Standing) -> bool:
        """Takes a prediction in, and the outcomes that waited for it. False: it was known already."""
        prediction_id = prediction.prediction_id
        if prediction_id in self._held:
            return False
        held = self._held[prediction_id] = Held(place, prediction.time_us, standing)
        heapq.heappush(self._dues, (self._due_of(held), prediction_id))
        for waiting in self._waiting.pop(prediction_id, ()):
            self._join(held, waiting.outcome, waiting.place)
        return True

    def add_outcome(self, outcome: Outcome, place: Place, watermark_us: int) -> None:
        """Takes an outcome in. It waits a window long for its prediction."""
        if outcome.type != self._label.event:
            self._account.excluded[Excluded.OTHER_TYPE] += 1
            return
        held = self._held.get(outcome.prediction_id)
        if held is not None:
            self._join(held, outcome, place)
            return
        due = max(watermark_us, outcome.time_us) + self._window_us
        self._waiting.setdefault(outcome.prediction_id, []).append(Waiting(outcome, place, due))
        heapq.heappush(self._dues, (due, outcome.prediction_id))

    def advance(self, watermark_us: int) -> None:
        """Event time has come so far: closes windows."""
        while self._dues and self._dues[0][0] <= watermark_us:
            due, prediction_id = heapq.heappop(self._dues)
            held = self._held.get(prediction_id)
            if held is None:
                self._give_up(prediction_id, due)
            elif due == self._due_of(held):
                self._end(prediction_id, held)

    def take(self) -> Joined:
        """What came since the last call."""
        joined, self._joined = self._joined, Joined()
        return joined

    def state(self) -> JoinerState:
        """For a checkpoint, between two steps. Not a copy: encode it before going on."""
        held = dict(sorted(self._held.items()))
        return JoinerState(held, dict(sorted(self._waiting.items())), self.expired)

    def restore(self, state: JoinerState) -> None:
        """Takes a state over."""
        self._held, self._waiting, self.expired = dict(state.held), dict(state.waiting), state.expired
        dues = [(self._due_of(held), prediction_id) for prediction_id, held in self._held.items()]
        dues += [(one.due_us, name) for name, waiting in self._waiting.items() for one in waiting]
        heapq.heapify(dues)
        self._dues = dues

    def _due_of(self, held: Held) -> int:
        """When a held prediction's next change is due. After its window it is remembered for a second one."""
        return held.time_us + self._window_us * (1 if held.standing == Standing.OPEN else 2)

    def _is_due(self, due: int, prediction_id: str) -> bool:
        """Whether an entry of the heap still means something: an outcome's ends when its prediction comes."""
        held = self._held.get(prediction_id)
        if held is not None:
            return due == self._due_of(held)
        return any(one.due_us == due for one in self._waiting.get(prediction_id, ()))

    def _join(self, held: Held, outcome: Outcome, place: Place) -> None:
        if held.standing == Standing.OTHER_MODEL:
            self._account.excluded[Excluded.OTHER_MODEL] += 1
        elif held.standing == Standing.OTHER_SPEC:
            self._bury(DeadReason.OTHER_SPEC, "its prediction was laid out by another feature spec", place)
        elif held.standing == Standing.CLOSED or outcome.time_us > held.time_us + self._window_us:
            self._account.excluded[Excluded.LATE] += 1
        else:
            self._label_row(held, outcome, place)

    def _label_row(self, held: Held, outcome: Outcome, place: Place) -> None:
        prediction = self._fetch(held.place)
        row = prediction.row_of(outcome.item_id)
        if row < 0:
            self._bury(DeadReason.UNKNOWN_ITEM, f"prediction {outcome.prediction_id} has no such item", place)
            return
        first = row not in held.labelled
        if not first and not self._label.explicit:
            self._account.excluded[Excluded.REPEATED_LABEL] += 1
            return
        if first:
            held.labelled = (*held.labelled, row)
        self._account.learned += 1
        if not self._mature:
            positive = not self._label.explicit or outcome.value >= self._label.threshold
            self._joined.examples.append(Example(prediction, row, float(positive), first))

    def _end(self, prediction_id: str, held: Held) -> None:
        if held.standing != Standing.OPEN:
            del self._held[prediction_id]
            return
        held.standing = Standing.CLOSED
        heapq.heappush(self._dues, (self._due_of(held), prediction_id))
        if self._label.explicit:
            self.expired += not held.labelled
            return
        prediction = self._fetch(held.place)
        for row in range(prediction.rows):
            positive = row in held.labelled
            if self._mature or not positive:
                self._joined.examples.append(Example(prediction, row, float(positive), judged=True))

    def _give_up(self, prediction_id: str, due: int) -> None:
        waiting = self._waiting.get(prediction_id, [])
        over = [one for one in waiting if one.due_us <= due]
        for one in over:
            self._bury(DeadReason.UNKNOWN_PREDICTION, f"no prediction {prediction_id} within the window", one.place)
        if len(over) == len(waiting):
            self._waiting.pop(prediction_id, None)
        else:
            self._waiting[prediction_id] = [one for one in waiting if one.due_us > due]

    def _bury(self, reason: DeadReason, text: str, place: Place) -> None:
        self._joined.letters.append(DeadLetter(reason, text, place))
        self._account.dead_lettered[reason] += 1
