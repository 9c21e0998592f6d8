"""Parsed predictions are the log's, whatever is kept; what is kept is bounded."""

import ctypes
import gc
from collections.abc import Callable

import pytest

from martlet.eventlog.erasure import erased
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.streams import prediction
from trainer_svc.event_source import Place
from trainer_svc.parsed_predictions import ParsedPredictions, memory_of


class Log:
    """Records by place, and how often each was fetched."""

    def __init__(self) -> None:
        self.records = {Place("p", at): encode_event(prediction(at)) for at in range(4)}
        self.fetched: list[int] = []

    def fetch(self, place: Place) -> bytes:
        self.fetched.append(place.start)
        return self.records[place]


class _Malloc(ctypes.Structure):
    """glibc's `struct mallinfo2`: two of its ten figures are named here."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (*"abcd", "mapped", *"fg", "heap", *"ij"))


@pytest.fixture
def memory_in_use() -> Callable[[], int]:
    """Bytes that are allocated outside of Python's own heap: parsed messages lie there."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Malloc

    def look() -> int:
        gc.collect()
        found = mallinfo()
        return int(found.heap + found.mapped)

    return look


def _kept(log: Log, room: int) -> ParsedPredictions:
    parsed = ParsedPredictions(log.fetch, room)
    for place, record in log.records.items():
        parsed.keep(place, RecordedPrediction(record), len(record))
        parsed.keep(place, RecordedPrediction(record), len(record))
    return parsed


def test_the_newest_stay_and_the_others_are_fetched() -> None:
    log = Log()
    parsed = _kept(log, 2 * memory_of(len(log.records[Place("p", 0)]), rows=3))
    names = [parsed.get(place).prediction_id for place in log.records]  # type: ignore[union-attr]
    assert names == ["p-0", "p-1", "p-2", "p-3"]
    assert log.fetched == [0, 1]


def test_an_erased_one_is_none() -> None:
    log = Log()
    log.records[Place("p", 1)] = erased(40)
    assert ParsedPredictions(log.fetch).get(Place("p", 1)) is None


@pytest.mark.parametrize("items", [1, 2, 5, 7, 20, 100, 300])
def test_what_is_kept_takes_no_more_memory_than_it_may(items: int, memory_in_use: Callable[[], int]) -> None:
    room, log = 4 << 20, Log()
    record = encode_event(prediction(1, items=[f"article-{n}" for n in range(items)]))
    parsed = ParsedPredictions(log.fetch, room)
    before = memory_in_use()
    for number in range(2 * room // len(record)):
        read = RecordedPrediction(record)
        parsed.keep(Place("p", number), read, len(record))
        read.row_of("article-0")
    assert room / 4 < memory_in_use() - before < room
