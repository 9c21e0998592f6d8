"""Parsed predictions are the log's, whatever is kept; what is kept is bounded."""

from martlet.eventlog.erasure import erased
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.streams import prediction
from trainer_svc.event_source import Place
from trainer_svc.parsed_predictions import ParsedPredictions


class Log:
    """Records by place, and how often each was fetched."""

    def __init__(self) -> None:
        self.records = {Place("p", at): encode_event(prediction(at)) for at in range(4)}
        self.fetched: list[int] = []

    def fetch(self, place: Place) -> bytes:
        self.fetched.append(place.start)
        return self.records[place]


def _kept(log: Log, room: int) -> ParsedPredictions:
    parsed = ParsedPredictions(log.fetch, room)
    for place, record in log.records.items():
        parsed.keep(place, RecordedPrediction(record), len(record))
        parsed.keep(place, RecordedPrediction(record), len(record))
    return parsed


def test_the_newest_stay_and_the_others_are_fetched() -> None:
    log = Log()
    parsed = _kept(log, 2 * len(log.records[Place("p", 0)]))
    names = [parsed.get(place).prediction_id for place in log.records]  # type: ignore[union-attr]
    assert names == ["p-0", "p-1", "p-2", "p-3"]
    assert log.fetched == [0, 1]


def test_an_erased_one_is_none() -> None:
    log = Log()
    log.records[Place("p", 1)] = erased(40)
    assert ParsedPredictions(log.fetch).get(Place("p", 1)) is None
