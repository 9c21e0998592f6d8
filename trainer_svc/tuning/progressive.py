"""One pass over the log as a trainer and a server would have made it together: score, then join, then learn.

An answer of the log is scored by the model as it stood when the answer was given, before anything of its step is
learned: what users would have been told. Its labels come from a joiner of the judge's kind with the label as it is
without the settings that are searched, so that settings of the label (how late outcomes or negatives are learned) are
compared by the same truth.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from martlet.wire.recorded import RecordedPrediction
from trainer_svc.event_source import Cut, EventSource, Range
from trainer_svc.intake import Intake
from trainer_svc.journal import Stepped
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.training_state import TrainingState
from trainer_svc.tuning.folds import FoldRows


@dataclass(frozen=True, slots=True)
class Course:
    """What is passed over.

    Attributes:
        ends: partition → position where the pass ends; the log may go on.
        now_us: the time at which the log is read: windows that end before it are over at the end.
        from_us: answers from then on are tested.
        window_us: the attribution window of the label that judges.
        records, weight: of one step, as in `EventSource.cut`.
    """

    ends: Mapping[str, int]
    now_us: int
    from_us: int
    window_us: int
    records: int
    weight: int


@dataclass(slots=True)
class _Scored:
    """What was said of an answer."""

    number: int
    time_us: int
    logits: npt.NDArray[np.float32]


@dataclass(slots=True)
class _Labelled:
    times_us: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    logits: list[npt.NDArray[np.float32]] = field(default_factory=list)
    labels: list[npt.NDArray[np.float32]] = field(default_factory=list)


class ProgressivePass:
    """See the module's docstring. Use it once; not thread-safe.

    Args:
        state: what learns; at its beginning.
        judge: joins with the label that judges, mature.
        source: the state's, whose cuts are taken.
        again: reads the same log for the judge.
    """

    def __init__(self, state: TrainingState, judge: Intake, source: EventSource, again: EventSource) -> None:
        self._state = state
        self._judge = judge
        self._source = source
        self._again = again
        self._scored: dict[str, _Scored] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._found = _Labelled()
        self._number = 0

    def run(self, course: Course) -> FoldRows:
        """All of it.

        Raises:
            Corrupt: the log is damaged.
        """
        while (cut := self._cut(course)).ranges:
            self._score(self._read(cut, course))
            self._state.take_step(Stepped(cut, course.now_us))
            for group in self._judge.finish(cut, course.now_us).examples:
                self._label(group)
            self._forget(course)
        return self._tested()

    def _cut(self, course: Course) -> Cut:
        """The next step, none of it behind the end. What stands behind the end holds nothing back."""
        cut = self._source.cut(self._state.positions, course.records, course.weight)
        ranges = tuple(
            Range(one.partition, one.start, min(one.end, end))
            for one in cut.ranges
            if (end := course.ends.get(one.partition, 0)) > one.start
        )
        at = {**self._state.positions, **{one.partition: one.end for one in ranges}}
        return Cut(ranges, tuple(name for name in cut.behind if at.get(name, 0) < course.ends.get(name, 0)))

    def _read(self, cut: Cut, course: Course) -> list[RecordedPrediction]:
        """The answers of a cut that are to be tested; the judge takes all of it in."""
        found = []
        for wanted in cut.ranges:
            for place, payload in self._again.records(wanted):
                prediction = self._judge.take_in(place, payload, course.now_us)
                if prediction is not None and prediction.time_us >= course.from_us:
                    found.append(prediction)
        return found

    def _score(self, predictions: Sequence[RecordedPrediction]) -> None:
        if not predictions:
            return
        logits = self._state.predict(predictions)
        ends = np.cumsum([prediction.rows for prediction in predictions])
        for prediction, own in zip(predictions, np.split(logits, ends[:-1]), strict=True):
            self._scored[prediction.prediction_id] = _Scored(self._number, prediction.time_us, own)
            self._order.append((prediction.time_us, prediction.prediction_id))
            self._number += 1

    def _label(self, group: LabelledRows) -> None:
        """The first label of an item counts; of several tasks the first."""
        scored = self._scored.get(group.prediction.prediction_id)
        if scored is None or not group.judged:
            return
        labels = group.labels if group.labels.ndim == 1 else group.labels[:, 0]
        self._found.times_us += [scored.time_us] * len(group)
        self._found.answers += [scored.number] * len(group)
        self._found.logits.append(scored.logits[group.rows])
        self._found.labels.append(labels)

    def _forget(self, course: Course) -> None:
        """What no label can come for any more."""
        while self._order and self._order[0][0] + course.window_us < self._judge.watermark_us:
            self._scored.pop(self._order.popleft()[1], None)

    def _tested(self) -> FoldRows:
        found = self._found
        logits, labels = (
            np.concatenate(parts).astype(np.float64) if parts else np.zeros(0) for parts in (found.logits, found.labels)
        )
        held = np.isfinite(labels)
        times, answers = np.array(found.times_us, np.int64), np.array(found.answers, np.int64)
        return FoldRows(times[held], answers[held], logits[held], labels[held])
