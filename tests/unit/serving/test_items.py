"""Items on offer: the store, its matrices, and the tail that fills them from the log."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.port import Record
from martlet.events import ItemDelete, ItemUpsert, Outcome
from martlet.feature_encoding import ItemId, Value
from martlet.keys import text_id
from martlet.wire.events import encode_event
from martlet.wire.item_events import decode_item_event
from serving_svc.item_index import Offer
from serving_svc.item_store import ItemStore
from serving_svc.item_tail import ItemTail
from tests.unit.core.samples import SPEC
from tests.unit.serving.fakes import MODEL, until


def put(item: ItemId, time_us: int, price: Value = 1.0) -> ItemUpsert:
    return ItemUpsert(MODEL, item, {"item.price": price}, time_us)


def drop(item: ItemId, time_us: int) -> ItemDelete:
    return ItemDelete(MODEL, item, time_us)


def test_the_newest_event_wins_in_whatever_order_they_come() -> None:
    store = ItemStore()
    for event in (put(1, 5, 2.0), put(1, 3, 9.0), drop(2, 5), put(2, 4), put(3, 1), drop(3, 1)):
        store.apply(event)
    assert store.attributes(MODEL, 1) == {"item.price": 2.0}
    assert store.attributes(MODEL, 2) is None
    assert store.attributes(MODEL, 3) is None
    assert store.attributes("other", 1) is None


def test_a_number_and_its_text_are_two_items() -> None:
    store = ItemStore()
    store.apply(put(5, 1))
    assert store.attributes(MODEL, "5") is None


def newest(store: ItemStore, limit: int = 1000, spec: str = "spec") -> Offer:
    return store.index(MODEL, SPEC, spec).newest(limit)


def test_an_offer_follows_the_store_and_never_changes_itself() -> None:
    store = ItemStore()
    store.apply(put(1, 1, 1.0))
    first = newest(store)
    store.apply(put("two", 2, 2.0))
    store.apply(put(1, 3, 3.0))
    second = newest(store)
    assert (first.items, first.item_numbers.tolist()) == ((1,), [[1.0]])
    assert second.items == ("two", 1)
    assert second.item_ids.tolist() == [[text_id("two")], [1]]
    assert second.item_numbers.tolist() == [[2.0], [3.0]]
    assert store.shelf(MODEL).items(second.slots) == second.items
    store.apply(drop("two", 9))
    assert newest(store).items == (1,)
    assert newest(store) is newest(store)


def test_slots_are_used_again_and_arrays_grow() -> None:
    store = ItemStore()
    newest(store)
    for n in range(200):
        store.apply(put(n, 1, float(n)))
    newest(store)
    for n in range(0, 200, 2):
        store.apply(drop(n, 2))
    for n in range(1000, 1100):
        store.apply(put(n, 3, float(n)))
    offer, shelf = newest(store), store.shelf(MODEL)
    assert sorted(offer.items, key=int) == [*range(1, 200, 2), *range(1000, 1100)]
    assert offer.item_ids[:, 0].tolist() == list(offer.items)
    assert offer.item_numbers[:, 0].tolist() == list(offer.items)
    assert (len(shelf), shelf.capacity, int(shelf.on_offer.sum())) == (200, 256, 200)


def test_beyond_the_limit_the_newest_items_are_kept() -> None:
    store = ItemStore()
    for time_us, item in enumerate((1, 2, 3, 1)):
        store.apply(put(item, time_us))
    assert newest(store, 2).items == (3, 1)


def test_attributes_of_the_wrong_kind_leave_the_item_by_its_id() -> None:
    store = ItemStore()
    store.apply(put(7, 1, "cheap"))
    store.apply(put(8, 2, 2.0))
    offer = newest(store)
    assert offer.item_ids.tolist() == [[7], [8]]
    np.testing.assert_array_equal(offer.item_numbers, np.array([[np.nan], [2.0]], np.float32))


def test_arrays_of_retired_specs_are_dropped() -> None:
    store = ItemStore()
    old = store.index(MODEL, SPEC, "old")
    kept = store.index(MODEL, SPEC, "kept")
    store.keep_specs(MODEL, frozenset({"kept"}))
    assert store.index(MODEL, SPEC, "kept") is kept
    assert store.index(MODEL, SPEC, "old") is not old


def test_listeners_are_told_what_comes_changes_and_goes() -> None:
    store = ItemStore()
    told: list[tuple[int, ItemId | None]] = []
    store.listen(MODEL, lambda slot, item: told.append((slot, item)))
    for event in (put("a", 1), put("a", 2), put("a", 1), drop("b", 1), drop("a", 3), put("c", 1)):
        store.apply(event)
    assert told == [(0, "a"), (0, "a"), (0, None), (0, "c")]


def test_only_item_events_are_decoded() -> None:
    outcome = Outcome("e", "p", 1, "click", 1.0, 5)
    assert decode_item_event(encode_event(outcome)) is None
    for event in (put(1, 1), drop("x", 2)):
        assert decode_item_event(encode_event(event)) == event


class DamagedReader:
    """One partition that cannot be read, one that can, with a bad record in it."""

    def partitions(self) -> tuple[str, ...]:
        return ("bad", "good")

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        del max_bytes
        if partition == "bad":
            raise Corrupt("damaged at 0")
        payloads = [b"\x1a\x05junk!", encode_event(put(1, 1))]
        return [Record(n + 1, payload) for n, payload in enumerate(payloads) if n >= start]


async def test_the_tail_reads_all_partitions_and_follows_them(tmp_path: Path) -> None:
    writers = [FileEventWriter(tmp_path, name) for name in ("a", "b")]
    writers[0].append(encode_event(put(1, 1))).result(5)
    writers[0].append(encode_event(Outcome("e", "p", 1, "click", 1.0, 5))).result(5)
    store, reader = ItemStore(), FileEventReader(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        tail = ItemTail(reader, decode_item_event, store, executor, CollectorRegistry(), poll_seconds=0.001)
        task = asyncio.create_task(tail.run())
        await until(lambda: tail.caught_up)
        assert store.attributes(MODEL, 1) == {"item.price": 1.0}
        writers[1].append(encode_event(drop(1, 2))).result(5)
        await until(lambda: store.attributes(MODEL, 1) is None)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    reader.close()
    for writer in writers:
        writer.close()


async def test_the_tail_survives_damage_and_counts_it() -> None:
    store, collectors = ItemStore(), CollectorRegistry()
    with ThreadPoolExecutor(1) as executor:
        tail = ItemTail(DamagedReader(), decode_item_event, store, executor, collectors, poll_seconds=0.001)
        task = asyncio.create_task(tail.run())
        await until(lambda: tail.caught_up)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert store.attributes(MODEL, 1) == {"item.price": 1.0}
    assert collectors.get_sample_value("martlet_serving_bad_item_events_total") == 1
