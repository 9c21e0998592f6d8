"""A record's kind is known from its first byte."""

import pytest

from martlet.errors import Corrupt
from martlet.events import Event, ItemDelete, ItemUpsert, Outcome
from martlet.v1 import events_pb2
from martlet.wire.events import EventKind, decode_event, encode_event, kind_of
from tests.unit.wire.samples import prediction

EVENTS: dict[EventKind, Event] = {
    EventKind.PREDICTION: prediction(8),
    EventKind.OUTCOME: Outcome("e", "p", 1, "click", 1.0, 5),
    EventKind.ITEM_UPSERT: ItemUpsert("shop", 7, {"item.price": 2.0}, 5),
    EventKind.ITEM_DELETE: ItemDelete("shop", 7, 5),
}


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_is_told_without_decoding(kind: EventKind) -> None:
    assert kind_of(encode_event(EVENTS[kind])) is kind


def test_the_kinds_are_those_of_the_message() -> None:
    """A kind added to the proto must be added here too."""
    names = [field.name for field in events_pb2.LogRecord.DESCRIPTOR.oneofs_by_name["event"].fields]
    assert names == [kind.value for kind in EventKind]


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x2a\x00"])
def test_what_is_no_record_has_no_kind_and_is_refused(payload: bytes) -> None:
    assert kind_of(payload) is None
    with pytest.raises(Corrupt):
        decode_event(payload)
