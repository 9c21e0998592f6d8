"""Events from clients: acknowledged when durable, written once."""

import asyncio
from contextlib import suppress

import pytest

from martlet.clock import ManualClock
from martlet.errors import InvalidInput, OverCapacity, Unavailable
from martlet.events import Event, ItemDelete, ItemUpsert, LogPosition, Outcome
from martlet.wire.events import decode_event, encode_event
from serving_svc.event_intake import EventIntake
from serving_svc.item_store import ItemStore
from tests.unit.serving.fakes import MODEL, MemoryWriter


class Stage:
    def __init__(self, *, limit: int = 1000, recent_ids: int = 100) -> None:
        self.writer = MemoryWriter(limit)
        self.items = ItemStore()
        self.clock = ManualClock(1_000_000)
        self.intake = EventIntake(self.writer, encode_event, self.items, self.clock, recent_ids)

    @property
    def written(self) -> list[Event]:
        return [decode_event(payload) for payload in self.writer.payloads]


def outcome(event_id: str) -> Outcome:
    return Outcome(event_id, "p", 1, "click", 1.0, 5)


async def test_outcomes_are_acknowledged_only_when_durable() -> None:
    stage = Stage()
    stage.writer.hold = True
    task = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a"), outcome("b")]))
    await asyncio.sleep(0.01)
    assert not task.done()
    stage.writer.release()
    assert await task == LogPosition("memory", 2)
    assert stage.written == [outcome("a"), outcome("b")]


async def test_a_repeated_outcome_is_written_once_and_waits_for_the_first() -> None:
    stage = Stage()
    stage.writer.hold = True
    first = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a")]))
    again = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a"), outcome("a")]))
    await asyncio.sleep(0.01)
    assert not again.done()
    stage.writer.release()
    assert await first == await again == LogPosition("memory", 1)
    assert await stage.intake.record_outcomes([outcome("a")]) == LogPosition("memory", 1)
    assert len(stage.writer.payloads) == 1


async def test_a_caller_that_leaves_does_not_take_the_event_with_it() -> None:
    stage = Stage()
    stage.writer.hold = True
    left = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a")]))
    stays = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a")]))
    await asyncio.sleep(0.01)
    left.cancel()
    with suppress(asyncio.CancelledError):
        await left
    stage.writer.release()
    assert await stays == LogPosition("memory", 1)


async def test_what_the_log_refused_may_be_sent_again() -> None:
    stage = Stage(limit=1)
    with pytest.raises(OverCapacity):
        await stage.intake.record_outcomes([outcome("a"), outcome("b")])
    stage.writer.limit = 10
    await stage.intake.record_outcomes([outcome("a"), outcome("b")])
    assert stage.written == [outcome("a"), outcome("b")]


async def test_only_so_many_ids_are_remembered() -> None:
    stage = Stage(recent_ids=2)
    for event_id in ("a", "b", "c", "a"):
        await stage.intake.record_outcomes([outcome(event_id)])
    assert len(stage.writer.payloads) == 4


async def test_a_disk_that_refuses_is_told_as_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(stage.writer, "hold", True)
    task = asyncio.ensure_future(stage.intake.record_outcomes([outcome("a")]))
    await asyncio.sleep(0.01)
    stage.writer._held.pop()[0].set_exception(OSError(28, "No space left on device"))
    with pytest.raises(Unavailable, match="No space left"):
        await task


async def test_items_hold_at_once_when_written_and_later_changes_win() -> None:
    stage = Stage()
    await stage.intake.upsert_items(MODEL, [("x", {"item.price": 1.0})])
    await stage.intake.upsert_items(MODEL, [("x", {"item.price": 2.0})])
    assert stage.items.attributes(MODEL, "x") == {"item.price": 2.0}
    await stage.intake.delete_items(MODEL, ["x"])
    assert stage.items.attributes(MODEL, "x") is None
    times = [event.time_us for event in stage.written if isinstance(event, ItemUpsert | ItemDelete)]
    assert times == [1_000_000, 1_000_001, 1_000_002]


async def test_empty_requests_are_refused() -> None:
    intake = Stage().intake
    with pytest.raises(InvalidInput, match="outcomes is empty"):
        await intake.record_outcomes([])
    with pytest.raises(InvalidInput, match="items is empty"):
        await intake.upsert_items(MODEL, [])
    with pytest.raises(InvalidInput, match="model is empty"):
        await intake.upsert_items("", [("x", {})])
    with pytest.raises(InvalidInput, match="item_ids is empty"):
        await intake.delete_items(MODEL, [])
