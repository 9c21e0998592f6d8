"""The examples of a recent stretch of event time, joined again from the log: what a fine-tuning learns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from martlet.errors import Corrupt, InvalidInput
from martlet.eventlog.port import EventReader
from martlet.wire.recorded import RecordedPrediction, RecordKind, record_kind
from trainer_svc.event_source import EventSource
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.journal import Entry, Stepped
from trainer_svc.labelled_rows import LabelledRows

_EVERY: Final = 64  # steps of a journal between two places at which a window may begin
_LOOK_BYTES: Final = 1 << 16
_RECORDS: Final = 4096

Positions = Mapping[str, int]


def step_starts(entries: Iterable[Entry]) -> list[dict[str, int]]:
    """Positions of the log at which steps of a journal began: some of them, in their order, the first among them."""
    starts: list[dict[str, int]] = []
    positions: dict[str, int] = {}
    for number, entry in enumerate(one for one in entries if isinstance(one, Stepped)):
        for wanted in entry.cut.ranges:
            positions.setdefault(wanted.partition, wanted.start)
        if number % _EVERY == 0:
            starts.append(dict(positions))
        positions |= {wanted.partition: wanted.end for wanted in entry.cut.ranges}
    return starts


def start_before(starts: Sequence[Positions], reader: EventReader, time_us: int) -> dict[str, int]:
    """The last of these places whose next predictions are all older than a time; the log's beginning, if there is none.

    Event time need not rise strictly: what is older than the window is left out later, so too early a place costs time
    alone.
    """
    low, high = 0, len(starts)
    while low < high:
        middle = (low + high) // 2
        if _time_at(reader, starts[middle]) < time_us:
            low = middle + 1
        else:
            high = middle
    return dict(starts[low - 1]) if low else {}


def recent_examples(
    rules: IntakeRules, source: EventSource, start: Positions, since_us: int, now_us: int
) -> Iterator[list[LabelledRows]]:
    """What the log gives from a place up to the source's end: examples of predictions made since a time, by steps."""
    intake, positions = Intake(rules, source.payload), dict(start)
    while True:
        cut = source.cut(positions, _RECORDS)
        if not cut.ranges:
            return
        for wanted in cut.ranges:
            for place, payload in source.records(wanted):
                intake.take_in(place, payload, now_us)
            positions[wanted.partition] = wanted.end
        found = [one for one in intake.finish(cut, now_us).examples if one.prediction.time_us >= since_us]
        if found:
            yield found


def _time_at(reader: EventReader, positions: Positions) -> int:
    """The latest among the partitions' next predictions; 0 if there is none."""
    return max((_next_time(reader, name, start) for name, start in positions.items()), default=0)


def _next_time(reader: EventReader, partition: str, start: int) -> int:
    while records := reader.read(partition, start, _LOOK_BYTES):
        for record in records:
            if record_kind(record.payload) is RecordKind.PREDICTION:
                try:
                    return RecordedPrediction(record.payload).time_us
                except (Corrupt, InvalidInput):
                    continue
        start = records[-1].end
    return 0
