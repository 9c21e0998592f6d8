"""Reads the event log through the joiner, as the judge does: from its beginning to where it ends now.

Nothing is written; a trainer may run beside it. What counts is what counts as evidence elsewhere: scores are those of
the prediction's own record, a label is the first of its item, taken when it is mature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trainer_svc.evaluation.answer_columns import AnswerColumns
from trainer_svc.evaluation.answers import Answers
from trainer_svc.event_source import EventSource
from trainer_svc.intake import Intake, IntakeRules

RECORDS: Final = 4096  # of one cut
_KEY_SPACE: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class LogReading:
    """What to keep of the log.

    Attributes:
        features: inputs whose values are kept, for segments.
        share: of the users (and of anonymous sessions), chosen by the hash of their ids; above 0, at most 1.
    """

    features: Sequence[str] = ()
    share: float = 1.0


def read_answers(
    rules: IntakeRules,
    source: EventSource,
    now_us: int,
    wanted: LogReading,
    progress: Callable[[float], None] = lambda _: None,
) -> Answers:
    """The log's answers with their labels.

    `now_us`: windows that end before it are over once the log is read; `progress` is told the share that is read.

    Raises:
        InvalidInput: the model has no such input.
        Corrupt: the log is damaged.
    """
    intake, columns = Intake(rules, source.payload, mature=True), AnswerColumns(rules.spec, wanted.features)
    limit = wanted.share * _KEY_SPACE
    ends, positions = source.ends(), dict[str, int]()
    while any(positions.get(name, 0) < end for name, end in ends.items()):
        cut = source.cut(positions, RECORDS)
        if not cut.ranges:  # a damaged partition stands still
            break
        for range_ in cut.ranges:
            for place, payload in source.records(range_):
                prediction = intake.take_in(place, payload, now_us)
                if prediction is not None and prediction.user_key < limit:
                    columns.answered(prediction)
            positions[range_.partition] = range_.end
        for group in intake.finish(cut, now_us).examples:
            columns.labelled(group)
        progress(sum(positions.values()) / max(1, sum(ends.values())))
    return columns.take(intake.watermark_us - rules.label.window_us)
