"""The trainer's state, and what each journalled entry does to it: a function of the state, the entry and the event log.

Nothing here decides, waits or writes, apart from dead letters.
"""

import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from martlet.answer_shift import logit_shifts, number_shifts
from martlet.eventlog.erasure import is_erased
from martlet.feature_encoding import ItemId
from martlet.manifest import Learned, Lineage, Provenance, canonical_json
from martlet.measurement import MeasurementBatch
from martlet.runtime.learning_config import learning_of
from martlet.wire.projected import RecordReader
from martlet.wire.recorded import RecordedPrediction, user_key_of
from trainer_svc.batch import Batch
from trainer_svc.batch_treatment import BatchTreatment, Treated, TreatmentFigures
from trainer_svc.drift.old_cohort import OldCohort
from trainer_svc.event_source import EventSource, Place
from trainer_svc.example_batch import batch_of, whole_block
from trainer_svc.hygiene.screening import screening_of
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.journal import (
    Acknowledged,
    Began,
    Erased,
    Forgot,
    Published,
    PublishResult,
    Readmitted,
    Refused,
    Rewound,
    Stepped,
)
from trainer_svc.labelled_rows import Examples, LabelledRows, count, in_batches
from trainer_svc.late_outcomes import late_outcomes_of
from trainer_svc.outcome_account import Excluded
from trainer_svc.prequential import Prequential, log_losses
from trainer_svc.replaying.stored_examples import origins_of
from trainer_svc.scoreboard import Scoreboard, ScoreboardState
from trainer_svc.table_shipping import TableShipping
from trainer_svc.training_ports import (
    Arrays,
    AsTheyAre,
    ExamplePreparation,
    Floats,
    GraphPort,
    LearnerPort,
    LetterPort,
    TrackerPort,
)
from trainer_svc.version_builder import VersionPayload
from trainer_svc.version_cursor import VersionCursor

QUALITY_WINDOW: Final = 4096
REPORT_INTERVAL_US: Final = 1_000_000
EVICT_INTERVAL_US: Final = 3_600_000_000
SHIFT_ROWS: Final = 2048


class _Progress(msgspec.Struct):
    """What is counted, and the ring of recent predictions."""

    step: int
    examples: int
    positions: dict[str, int]
    evicted_us: int
    recent: list[Place]
    scoreboard: ScoreboardState
    rewinds: int = 0
    forgotten: list[Forgot] = []


@dataclass(frozen=True, slots=True)
class Suspect:
    """A range that was taken back: its examples in batches as they were learned, and how many outcomes they are of."""

    batches: Sequence[Examples]
    outcomes: int


@dataclass(frozen=True, slots=True)
class Stepping:
    """What one step did. `traces`: of the predictions that it learned of, each once; it decides nothing."""

    examples: int
    letters: int
    report: MeasurementBatch | None
    step: int = 0
    traces: tuple[str, ...] = ()


class TrainingState:
    """See the module's docstring. Not thread-safe.

    Attributes:
        step: steps taken.
        examples: examples learned.
        positions: partition → offset up to which the log is learned.
        rewinds: how often learning went back.
        cursor: where publishing stands.
        intake: where the events stand.
    """

    def __init__(
        self,
        began: Began,
        rules: IntakeRules,
        learner: LearnerPort,
        graph: GraphPort,
        source: EventSource,
        letters: LetterPort,
        preparation: ExamplePreparation | None = None,
    ) -> None:
        self._preparation: ExamplePreparation = preparation or AsTheyAre()
        self._began = began
        self._rules = rules
        self._learner = learner
        self._graph = graph
        self._source = source
        self._letters = letters
        learning = learning_of(began.learning)
        layout = rules.spec.layout
        self._cohort = OldCohort(learning.drift, layout, rules.label.window_us) if learning.drift.cohort_share else None
        screening = screening_of(learning, None if self._cohort is None else self._cohort.choice)
        self._treatment = BatchTreatment(learning, rules.spec)
        self._tasks = rules.label.tasks
        self._late = late_outcomes_of(rules.label, rules.spec)
        self._read = RecordReader(rules.spec, rules.earlier)
        self.intake = Intake(rules, source.payload, screening=screening)
        self.cursor = VersionCursor()
        self._shipping = TableShipping(began.delta_encoding, began.exact_repair_every)
        self._prequential = Prequential(QUALITY_WINDOW, rules.label.link)
        self._scoreboard = Scoreboard(began.model, f"trainer/{began.lineage}", REPORT_INTERVAL_US, rules.label.link)
        self._recent: deque[Place] = deque(maxlen=began.recent_requests)
        self.step = 0
        self.examples = 0
        self.positions: dict[str, int] = {}
        self._evicted_us = 0
        self.rewinds = 0
        self.forgotten: dict[int, Forgot] = {}

    @property
    def generation(self) -> int:
        """The learner's."""
        return self._learner.generation

    def take_step(self, entry: Stepped) -> Stepping:
        """Reads a cut, joins, tests, learns."""
        for wanted in entry.cut.ranges:
            for place, payload in self._source.records(wanted):
                if self.intake.take_in(place, payload, entry.now_us) is not None:
                    self._recent.append(place)
            self.positions[wanted.partition] = wanted.end
        joined = self.intake.finish(entry.cut, entry.now_us)
        self._prequential.advance(self.intake.watermark_us)
        for examples in self.batches(self._hold_out(joined.examples)):
            self._test_and_learn(examples)
        self._judge(joined.unlearned)
        self._score_cohort()
        self._evict()
        self.step += 1
        self._letters.write(self.step, joined.letters)
        report = self._scoreboard.report(self.intake.watermark_us)
        traces = tuple(dict.fromkeys(joined.traces))
        return Stepping(count(joined.examples), len(joined.letters), report, self.step, traces)

    def take_off(self, entry: Published) -> VersionPayload:
        """Copies what a version is made of."""
        self.cursor.take_off(entry.number, self.examples, self.generation)
        began, at = self._began, self.cursor.at
        head = None if at.head is None else at.head.tables
        tables = self._shipping.cut(self._learner.tables.values(), head, entry.kind)
        return VersionPayload(
            number=entry.number,
            kind=entry.kind,
            lineage=Lineage(began.lineage, at.parent, at.epoch, at.sequence + 1),
            learned=Learned(dict(sorted(self.positions.items())), self.step, self.examples, self.intake.watermark_us),
            provenance=Provenance(entry.martlet, began.model_ref, config_digest(began)),
            graph=self._graph(),
            dense=self._learner.dense_weights(),
            tables=tables,
            metrics=self.quality() | self._shift(),
        )

    def found(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Begins as another lineage's state; what that one published is not this one's. For a fresh state.

        Every bucket counts as changed: the first version is a snapshot anyway.
        """
        self.restore(state)
        self.cursor.begin_anew()
        self._scoreboard = Scoreboard(self._began.model, f"trainer/{self._began.lineage}", REPORT_INTERVAL_US)

    def land(self, entry: PublishResult) -> None:
        """The version under way was answered. What an acknowledged one carried need not travel again."""
        if isinstance(entry, Acknowledged):
            self.cursor.acknowledged(entry)
            for table in self._learner.tables.values():
                table.tracker.acknowledge()
            if self.cursor.at.head is not None:
                self._shipping.acknowledged(self.cursor.at.head.tables)
        elif isinstance(entry, Refused):
            self.cursor.refused(entry)
        else:
            self.cursor.overtaken(entry)

    def rewind(self, entry: Rewound, restored: "TrainingState") -> None:
        """Learning goes back to a version's state. What was read and joined stays; only its learning is undone."""
        learner, prequential, shipping, preparation, treatment = restored.learning()
        self._learner.restore(learner)
        self._preparation.restore(preparation)
        self._treatment.restore(treatment)
        self._shipping.restore(shipping)
        self._prequential.restore(prequential)
        self.cursor.rewound(entry, restored.cursor.at, self.examples)
        for forgot in self.forgotten.values():  # the version may be older than the word
            self._learner.forget(forgot.user_id)
            self._treatment.forget(forgot.user_id)
            self.cursor.rebase()
        reason = Excluded.REFUSED if entry.refused else Excluded.REWOUND
        self.intake.account.unlearn(restored.intake.account.learned, reason)
        self.rewinds += 1

    def forget(self, entry: Forgot) -> int:
        """A user is forgotten; gives the rows that went.

        The next version is a snapshot: no chain of deltas may begin at a base that knows the user.
        """
        self.forgotten[entry.start] = entry
        self._pass_over()
        self.intake.forget(entry.user_id)
        theirs = {place for place in self._recent if self._user_at(place) == entry.user_id}
        self._recent = deque((place for place in self._recent if place not in theirs), self._recent.maxlen)
        self.cursor.rebase()
        self._treatment.forget(entry.user_id)
        if self._cohort is not None:
            self._cohort.forget(user_key_of(entry.user_id))
        return self._learner.forget(entry.user_id)

    def erased(self, entry: Erased) -> None:
        """The log holds nothing of that user any more, nor does a version that learning may go back to."""
        self.forgotten.pop(entry.start, None)
        self._pass_over()

    def _pass_over(self) -> None:
        users: dict[ItemId, dict[str, int]] = {}
        for forgot in self.forgotten.values():
            known = users.setdefault(forgot.user_id, {})
            known |= {name: max(end, known.get(name, 0)) for name, end in forgot.until.items()}
        self.intake.pass_over(users)

    def _user_at(self, place: Place) -> ItemId | None:
        payload = self._source.payload(place)
        return None if is_erased(payload) else RecordedPrediction(payload).user_id

    def batches(self, examples: Examples) -> list[list[LabelledRows]]:
        """As they are learned together."""
        return list(in_batches(examples, self._began.batch_examples))

    def collect(self, entry: Stepped) -> list[LabelledRows]:
        """Reads and joins a cut, and learns nothing: the examples that learning it would have taken."""
        for wanted in entry.cut.ranges:
            for place, payload in self._source.records(wanted):
                self.intake.take_in(place, payload, entry.now_us)
            self.positions[wanted.partition] = wanted.end
        joined = self.intake.finish(entry.cut, entry.now_us).examples
        return joined if self._cohort is None else self._cohort.split(joined)[0]

    def learn_again(self, suspect: "Suspect") -> None:
        """Learns examples that were taken back; they were tested when they came."""
        for examples in suspect.batches:
            prepared = self._preparation.prepare(examples, self.examples)
            self._learner.learn(self._treated(prepared, self._batch(prepared)).batch, self.intake.watermark_us)
            self.examples += count(examples)
        self.intake.account.relearn(suspect.outcomes)

    def readmit(self, entry: Readmitted, suspect: "Suspect") -> None:
        """A version that had learned a suspect range was promoted: this state learns it too."""
        self.learn_again(suspect)
        self.cursor.readmitted(entry)

    def learning(self) -> tuple[Arrays, Arrays, Arrays, Arrays, Arrays]:
        """What a rewind takes back, not copied.

        The learner's state, the quality of its tests, what was shipped how exactly, the states of the preparation and
        of the treatment.
        """
        return (
            self._learner.state(),
            self._prequential.state(),
            self._shipping.state(),
            self._preparation.state(),
            self._treatment.state(),
        )

    def quality(self) -> dict[str, float]:
        """Prequential quality over the recent window, and on the old cohort if there is one."""
        return self._prequential.get() | ({} if self._cohort is None else self._cohort.figures())

    @property
    def treatment(self) -> TreatmentFigures:
        """What was done about values, events and drift."""
        return self._treatment.figures()

    def running_quality(self) -> dict[str, float]:
        """Prequential quality over a window of event time, and fading; no part of a version's manifest."""
        return self._prequential.running()

    def predict(self, predictions: Sequence[RecordedPrediction]) -> Floats:
        """The learner's logits for all rows of recorded predictions."""
        return self._learner.predict(whole_block(predictions, self._rules.spec.layout))

    def predict_as_published(self, predictions: Sequence[RecordedPrediction]) -> Floats:
        """The same, as the version that was taken off just now answers: with the rows that arrive."""
        with self._shipping.as_published(self._learner.tables.values()):
            return self.predict(predictions)

    def state(self) -> Arrays:
        """Everything, as arrays of which some are not copies: encode or copy them before going on."""
        progress = _Progress(
            self.step,
            self.examples,
            self.positions,
            self._evicted_us,
            list(self._recent),
            self._scoreboard.state(),
            self.rewinds,
            [self.forgotten[start] for start in sorted(self.forgotten)],
        )
        parts: dict[str, Mapping[str, npt.NDArray[np.generic]]] = {
            "learner": self._learner.state(),
            "intake": self.intake.state(),
            "prequential": self._prequential.state(),
            "cursor": self.cursor.state(),
            "shipping": self._shipping.state(),
            "preparation": self._preparation.state(),
            "late": self._late.state(),
            "treatment": self._treatment.state(),
            "cohort": {} if self._cohort is None else self._cohort.state(),
            "progress": {"": np.frombuffer(msgspec.json.encode(progress, order="sorted"), np.uint8)},
        }
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def trackers(self) -> dict[str, TrackerPort]:
        """What tells which buckets changed, by the prefix of each table's arrays in `state`."""
        return {f"learner/rows/{name}/": table.tracker for name, table in self._learner.tables.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit."""
        parts: dict[str, Arrays] = {}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        progress = msgspec.json.decode(parts["progress"][""].tobytes(), type=_Progress)
        self.step, self.examples, self.positions = progress.step, progress.examples, progress.positions
        self._evicted_us, self.rewinds = progress.evicted_us, progress.rewinds
        self._recent.extend(progress.recent)
        self.forgotten = {forgot.start: forgot for forgot in progress.forgotten}
        self._pass_over()
        self._scoreboard.restore(progress.scoreboard)
        self._learner.restore(parts["learner"])
        self.intake.restore(parts["intake"])
        self._prequential.restore(parts["prequential"])
        self.cursor.restore(parts["cursor"])
        self._shipping.restore(parts.get("shipping", {}))
        self._preparation.restore(parts.get("preparation", {}))
        self._late.restore(parts.get("late", {}))
        self._treatment.restore(parts.get("treatment", {}))
        if self._cohort is not None and "cohort" in parts:
            self._cohort.restore(parts["cohort"])

    def _test_and_learn(self, examples: Examples) -> None:
        """Each example is scored before it is learned."""
        batch = self._batch(examples)
        prepared = self._preparation.prepare(examples, self.examples)
        treated = self._treated(prepared, batch if prepared is examples else self._batch(prepared))
        if prepared is examples and treated.as_given:
            logits = self._learner.test_and_learn(treated.batch, self.intake.watermark_us)[: batch.size]
        else:
            logits = self._learner.predict(batch.block)
            self._learner.learn(treated.batch, self.intake.watermark_us)
        judged = np.repeat([group.judged for group in examples], [len(group) for group in examples])
        main, labels = (values if values.ndim == 1 else values[:, 0] for values in (logits, batch.labels))
        self._prequential.update(main[judged], labels[judged], self._shares(labels[judged]))
        if self._treatment.watches:
            self._treatment.tested(log_losses(main[judged], labels[judged]))
        self._scoreboard.update(examples)
        self.examples += batch.size

    def _judge(self, ended: Examples) -> None:
        """Final labels of rows that were learned otherwise, or not at all: by the scores that were served.

        The learner's own score would be of one that has learned the row by now.
        """
        if not ended:
            return
        self._scoreboard.update(ended)
        if self._tasks[0].judged_at_end:
            logits = np.concatenate([group.prediction.logits_at(group.rows) for group in ended])
            labels = np.concatenate([group.labels for group in ended])
            self._prequential.update(logits, labels)
            if self._treatment.watches:
                self._treatment.tested(log_losses(logits, labels))
        self._late.learn(ended)

    def _batch(self, examples: Examples) -> Batch:
        return self._late.weigh(batch_of(examples, self._rules.spec.layout, len(self._tasks)))

    def _shares(self, labels: Floats) -> Floats | None:
        """What tested rows stand for: a negative for those that were not chosen to be learned, too."""
        share = self._tasks[0].keep
        return None if share == 1 else np.where(labels > 0, np.float32(1), np.float32(1 / share))

    def _treated(self, examples: Examples, batch: Batch) -> Treated:
        return self._treatment.treat(examples, batch, self.intake.watermark_us)

    def _hold_out(self, examples: list[LabelledRows]) -> list[LabelledRows]:
        """What is to be learned; what is held out to measure with goes there."""
        if self._cohort is None:
            return examples
        learned, held = self._cohort.split(examples)
        for number, groups in groupby(held, self._cohort_number):
            own = list(groups)
            self._cohort.hold(self._batch(own), origins_of(own), number)
        return learned

    def _cohort_number(self, group: LabelledRows) -> int:
        return -1 if self._cohort is None else self._cohort.choice.number(group.prediction)

    def _score_cohort(self) -> None:
        batch = None if self._cohort is None else self._cohort.due(self.intake.watermark_us)
        if self._cohort is not None and batch is not None:
            self._cohort.scored(batch, self._learner.predict(batch.block))

    def _evict(self) -> None:
        due = self.intake.watermark_us // EVICT_INTERVAL_US
        if due > self._evicted_us // EVICT_INTERVAL_US:
            self._learner.evict(self.intake.watermark_us)
            self._evicted_us = self.intake.watermark_us

    def _shift(self) -> dict[str, float]:
        """How far the head's recent answers would move: the version's logits against those that it gave."""
        predictions = list(self._recent_predictions())
        if not predictions:
            return {"recent_requests": 0.0, "mean_abs_logit_shift": 0.0, "max_abs_logit_shift": 0.0}
        given = np.concatenate([prediction.lane_logits() for prediction in predictions])
        shifts = number_shifts if self._rules.label.link == "identity" else logit_shifts
        moved = shifts(given, self.predict_as_published(predictions))
        return {
            "recent_requests": float(len(predictions)),
            "mean_abs_logit_shift": _finite(float(moved.mean())),
            "max_abs_logit_shift": _finite(float(moved.max())),
        }

    def _recent_predictions(self) -> Iterator[RecordedPrediction]:
        """The newest first, as many as make enough rows: scoring them is part of every version's cost."""
        rows = 0
        for place in reversed(self._recent):
            if rows >= SHIFT_ROWS:
                return
            prediction = self._read(self._source.payload(place))
            if prediction.spec_digest == self._read.digest:
                rows += prediction.rows
                yield prediction


def config_digest(began: Began) -> str:
    """Names the settings of a lineage, whatever the lineage's name: 16 hex digits.

    Settings of learning that are all defaults are left out, as versions of older releases have no others.
    """
    plain = msgspec.to_builtins(msgspec.structs.replace(began, lineage=""))
    if not began.learning:
        del plain["learning"]
    return hashlib.sha256(canonical_json(plain)).hexdigest()[:16]


def _finite(figure: float) -> float:
    """JSON has no NaN; a figure that is none must not look small."""
    return figure if np.isfinite(figure) else sys.float_info.max
