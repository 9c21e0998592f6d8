"""Joins outcomes to the predictions they are about, in event time, whichever comes first.

Predictions stay in the event log; what is kept of one is where it stands. An example is one item row of a prediction
with its label; those of one prediction travel together (`LabelledRows`). What examples come of an outcome, and of the
end of a wait or a window, is each task's own (`trainer_svc.task_reader`). With an explicit label, each outcome of the
label's type gives one, and a prediction without outcome expires; otherwise the first such outcome within the
attribution window gives a positive one at once, and the end of the window gives a negative one for every other item.

A *mature* joiner, whose labels are to be judged by, gives the positive ones at the end of the window too: labels that
come as soon as they are positive would make positives overcounted. So it does with numbers that outcomes tell, of which
large ones may come later. It reads the main task alone.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from martlet.events import Outcome
from martlet.learn.labels import LabelRule, TaskRule, Wait
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Place
from trainer_svc.held_predictions import HeldPredictions, Standing
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.outcome_account import DeadReason, Excluded, OutcomeAccount
from trainer_svc.task_reader import Made, Marks, TaskReader, by_type, marks_of

Arrays = dict[str, npt.NDArray[np.generic]]


# Outcomes of these predictions are sound, and not for this learner.
_PASSED_OVER: Final[Mapping[int, Excluded]] = {
    Standing.FORGOTTEN: Excluded.FORGOTTEN,
    Standing.OTHER_MODEL: Excluded.OTHER_MODEL,
    Standing.BACKFILLED: Excluded.BACKFILLED,
}


class OutcomeScreen(Protocol):
    """What is asked before an outcome counts (see `trainer_svc.hygiene.screening`)."""

    def turns_away(self, prediction: RecordedPrediction, outcome: Outcome, /) -> DeadReason | Excluded | None:
        """Why an outcome is not learned, if so."""
        ...

    def holds_out(self, prediction: RecordedPrediction, /) -> bool:
        """Whether a prediction's examples are kept to measure with."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that cannot be used."""

    reason: DeadReason
    text: str
    place: Place


class Waiting(msgspec.Struct, array_like=True):
    """An outcome without its prediction."""

    outcome: Outcome
    place: Place
    due_us: int


class _Rest(msgspec.Struct):
    """What a joiner holds beside predictions, in one order for equal content."""

    waiting: dict[str, list[Waiting]]
    expired: int


# Made once, at import: two threads must not learn a type at the same moment (see `trainer_svc.journal`).
_REST: Final = msgspec.msgpack.Decoder(_Rest)
_TOLD: Final = msgspec.msgpack.Decoder(dict[int, dict[int, float]])


@dataclass(slots=True)
class Joined:
    """What came of the events since it was last taken. Examples of one prediction that came together stand together.

    Attributes:
        examples: to be learned, and judged where they say so.
        unlearned: with final labels, to be judged alone.
    """

    examples: list[LabelledRows] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)  # of the predictions that got a label, where they were traced
    unlearned: list[LabelledRows] = field(default_factory=list)


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """A time that a label appoints to each prediction: a task's rows enter, or its window ends."""

    at_us: int
    ends: bool
    task: int


class Joiner:
    """See the module's docstring. Not thread-safe.

    Args:
        label: what makes a label.
        fetch: reads a prediction from the log again; None: it was erased there.
        account: where each outcome is counted.
        mature: see the module's docstring.
        screening: which outcomes teach nothing; None: all teach.
    """

    def __init__(
        self,
        label: LabelRule,
        fetch: Callable[[Place], RecordedPrediction | None],
        account: OutcomeAccount,
        *,
        mature: bool = False,
        screening: OutcomeScreen | None = None,
    ) -> None:
        self._screening = screening
        self._fetch = fetch
        self._account = account
        rules = [replace(label.tasks[0], delayed=Wait())] if mature else label.tasks
        self._window_us = max(rule.window_us for rule in rules)
        self._stages = _stages(rules)
        self._ends = {stage.task: number for number, stage in enumerate(self._stages) if stage.ends}
        self._entries = {stage.task: number for number, stage in enumerate(self._stages) if not stage.ends}
        marks = _marks(rules)
        earlier_us = [stage.at_us for stage in self._stages[:-1]]
        self._held = HeldPredictions(self._window_us, earlier_us, marks[-1].end)
        self._readers = [
            TaskReader(rule, task, own, self._held, mature=mature)
            for task, (rule, own) in enumerate(zip(rules, marks, strict=True))
        ]
        self._readers_of = by_type(self._readers)
        self._waiting: dict[str, list[Waiting]] = {}
        self._waiting_dues: list[tuple[int, str]] = []
        self._made = Made()
        self._traces: list[str] = []
        self._letters: list[DeadLetter] = []
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
        while self._waiting_dues and not self._waits(*self._waiting_dues[0]):
            heapq.heappop(self._waiting_dues)
        dues = [due for due, _ in self._waiting_dues[:1]]
        if self._held.next_due_us is not None:
            dues.append(self._held.next_due_us)
        return min(dues, default=None)

    def add_prediction(self, prediction: RecordedPrediction, place: Place, standing: Standing) -> bool:
        """Takes a prediction in, and the outcomes that waited for it. False: it was known already."""
        slot = self._held.add(prediction.prediction_id, place, prediction.time_us, standing)
        if slot < 0:
            return False
        for waiting in self._waiting.pop(prediction.prediction_id, ()):
            self._join(slot, waiting.outcome, waiting.place)
        return True

    def add_outcome(self, outcome: Outcome, place: Place, watermark_us: int) -> None:
        """Takes an outcome in. It waits a window long for its prediction."""
        if outcome.type not in self._readers_of:
            self._account.excluded[Excluded.OTHER_TYPE] += 1
            return
        slot = self._held.find(outcome.prediction_id)
        if slot >= 0:
            self._join(slot, outcome, place)
            return
        due = max(watermark_us, outcome.time_us) + self._window_us
        self._waiting.setdefault(outcome.prediction_id, []).append(Waiting(outcome, place, due))
        heapq.heappush(self._waiting_dues, (due, outcome.prediction_id))

    def advance(self, watermark_us: int) -> None:
        """Event time has come so far: closes windows."""
        while self._waiting_dues and self._waiting_dues[0][0] <= watermark_us:
            due_us, prediction_id = heapq.heappop(self._waiting_dues)
            self._give_up(prediction_id, due_us)
        while due := self._held.due(watermark_us):  # one whose window ended long ago is due a second time
            for slot in due:
                self._pass(slot)
            self._held.tidy()

    def forget(self, is_theirs: Callable[[RecordedPrediction], bool]) -> None:
        """Disowns the open predictions of a user. Reads all open ones from the log again."""
        for slot in self._held.open():
            prediction = self._fetch(self._held.place(slot))
            if prediction is None or is_theirs(prediction):
                self._held.disown(slot)
        self._held.tidy()

    def take(self) -> Joined:
        """What came since the last call."""
        joined = Joined(self._made.learned, self._letters, self._traces, self._made.unlearned)
        self._made, self._letters, self._traces = Made(), [], []
        return joined

    def state(self) -> Arrays:
        """For a checkpoint, between two steps. Arrays of their own."""
        rest = msgspec.msgpack.encode(_Rest(dict(sorted(self._waiting.items())), self.expired))
        held = {f"held/{name}": array for name, array in self._held.state().items()}
        told = self._readers[0].told  # labels that wait are the main task's, in a mature joiner
        extra = {} if told is None else {"told": np.frombuffer(_packed_told(told), np.uint8)}
        return held | {"rest": np.frombuffer(rest, np.uint8)} | extra

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        rest = _REST.decode(state["rest"].tobytes())
        self._waiting, self.expired = rest.waiting, rest.expired
        self._waiting_dues = [(one.due_us, name) for name, waiting in self._waiting.items() for one in waiting]
        heapq.heapify(self._waiting_dues)
        if "told" in state:
            self._readers[0].told = _TOLD.decode(state["told"].tobytes())
        held = {name.removeprefix("held/"): array for name, array in state.items() if name.startswith("held/")}
        self._held.restore(held)

    def _waits(self, due: int, prediction_id: str) -> bool:
        """Whether an entry of the heap still means something: an outcome's ends when its prediction comes."""
        return any(one.due_us == due for one in self._waiting.get(prediction_id, ()))

    def _join(self, slot: int, outcome: Outcome, place: Place) -> None:
        standing = self._held.standing(slot)
        if standing in _PASSED_OVER:
            self._account.excluded[_PASSED_OVER[standing]] += 1
        elif standing == Standing.BOT:
            self._bury(DeadReason.BOT, "its prediction was made for a bot", place)
        elif standing == Standing.OTHER_SPEC:
            self._bury(DeadReason.OTHER_SPEC, "its prediction was laid out by another feature spec", place)
        elif standing == Standing.CLOSED or outcome.time_us > self._held.time_us(slot) + self._window_us:
            self._account.excluded[Excluded.LATE] += 1
        else:
            self._label_row(slot, outcome, place)

    def _label_row(self, slot: int, outcome: Outcome, place: Place) -> None:
        prediction = self._fetch(self._held.place(slot))
        if prediction is None:
            self._held.disown(slot)
            self._account.excluded[Excluded.FORGOTTEN] += 1
            return
        if prediction.prediction_id != outcome.prediction_id:  # two ids share a hash
            self._bury(DeadReason.UNKNOWN_PREDICTION, f"no prediction {outcome.prediction_id} is kept", place)
            return
        row = prediction.row_of(outcome.item_id)
        if row < 0:
            self._bury(DeadReason.UNKNOWN_ITEM, f"prediction {outcome.prediction_id} has no such item", place)
            return
        if self._screening is not None and self._turned_away(prediction, outcome, place):
            return
        self._read(slot, prediction, row, outcome)

    def _read(self, slot: int, prediction: RecordedPrediction, row: int, outcome: Outcome) -> None:
        """Each task whose window is open reads the outcome; it counts once: as learned, if one of them uses it."""
        stage, delay_us = self._held.stage(slot), outcome.time_us - prediction.time_us
        fates: list[Excluded | None] = []
        for reader in self._readers_of[outcome.type]:
            if delay_us > reader.window_us or stage > self._ends[reader.task]:
                fates.append(Excluded.LATE)
            else:
                entered = stage > self._entries.get(reader.task, stage)
                fates.append(reader.read(slot, prediction, row, outcome, entered=entered, made=self._made))
        if None in fates:
            self._count_learned(prediction)
            if prediction.trace:
                self._traces.append(prediction.trace)
        elif fates[0] is not None:
            self._account.excluded[fates[0]] += 1

    def _pass(self, slot: int) -> None:
        """One of a prediction's times is over: it is remembered for a second window, then dropped."""
        if self._held.standing(slot) != Standing.OPEN:
            for reader in self._readers:
                reader.drop(slot)
            self._held.forget(slot)
            return
        stage = self._stages[self._held.pass_stage(slot)]
        reader = self._readers[stage.task]
        if stage.ends and reader.expires:
            self.expired += stage.task == 0 and not reader.labelled(slot)
            return
        prediction = self._fetch(self._held.place(slot))
        if prediction is not None:
            (reader.end if stage.ends else reader.enter)(slot, prediction, self._made)
        else:
            reader.drop(slot)

    def _give_up(self, prediction_id: str, due: int) -> None:
        waiting = self._waiting.get(prediction_id, [])
        over = [one for one in waiting if one.due_us <= due]
        for one in over:
            self._bury(DeadReason.UNKNOWN_PREDICTION, f"no prediction {prediction_id} within the window", one.place)
        if len(over) == len(waiting):
            self._waiting.pop(prediction_id, None)
        else:
            self._waiting[prediction_id] = [one for one in waiting if one.due_us > due]

    def _turned_away(self, prediction: RecordedPrediction, outcome: Outcome, place: Place) -> bool:
        reason = self._screening.turns_away(prediction, outcome) if self._screening is not None else None
        if isinstance(reason, DeadReason):
            self._bury(reason, "of a user with more events than a person makes", place)
        elif reason is not None:
            self._account.excluded[reason] += 1
        return reason is not None

    def _count_learned(self, prediction: RecordedPrediction) -> None:
        if self._screening is not None and self._screening.holds_out(prediction):
            self._account.excluded[Excluded.HELD_OUT] += 1
        else:
            self._account.learned += 1

    def _bury(self, reason: DeadReason, text: str, place: Place) -> None:
        self._letters.append(DeadLetter(reason, text, place))
        self._account.dead_lettered[reason] += 1


def _packed_told(told: Mapping[int, Mapping[int, float]]) -> bytes:
    """In one order for equal content."""
    return msgspec.msgpack.encode({name: dict(sorted(told[name].items())) for name in sorted(told)})


def _stages(rules: Sequence[TaskRule]) -> list[Stage]:
    """In the order in which they come."""
    ends = [Stage(rule.window_us, True, task) for task, rule in enumerate(rules)]
    entries = [Stage(rule.wait_us, False, task) for task, rule in enumerate(rules) if rule.wait_us is not None]
    return sorted(entries + ends)


def _marks(rules: Sequence[TaskRule]) -> list[Marks]:
    marks: list[Marks] = []
    for rule in rules:
        marks.append(marks_of(rule, marks[-1].end if marks else 0))
    return marks
