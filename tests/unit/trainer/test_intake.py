"""Cleaning, deduplication and event time; and reading records part by part."""

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import Corrupt, InvalidInput
from martlet.eventlog.file_log import FileEventReader
from martlet.eventlog.port import Record
from martlet.events import Arm, Event, ItemDelete
from martlet.feature_encoding import concatenate
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction, RecordKind, record_kind
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import MODEL, SECOND, START, Label, outcome, prediction, write_log
from trainer_svc.cleaning import MAX_AHEAD_US, fault_of_outcome, fault_of_time
from trainer_svc.deduplication import Deduplication, Sighting
from trainer_svc.event_source import Cut, EventSource, Place, Range
from trainer_svc.example_batch import batch_of, whole_block
from trainer_svc.intake import LATENESS_US, Intake, IntakeRules
from trainer_svc.labelled_rows import one_row
from trainer_svc.record_weight import weigher

NOW = START + 100 * SECOND
DAY = 86_400 * SECOND


def intake() -> Intake:
    return Intake(IntakeRules(MODEL, SPEC, Label(), 3600 * SECOND), lambda place: b"")


def take(desk: Intake, *events: Event | bytes, partition: str = "a") -> None:
    for number, event in enumerate(events):
        payload = event if isinstance(event, bytes) else encode_event(event)
        desk.take_in(Place(partition, number), payload, NOW)


def test_a_repetition_is_recognised_over_a_restart() -> None:
    desk = intake()
    take(desk, outcome("e1", 1))
    other = intake()
    other.restore(desk.state())
    take(other, outcome("e1", 1, time_us=START + 50 * SECOND))
    assert (other.pending, other.account.duplicates) == (1, 1)


def test_a_senseless_outcome_is_buried_once() -> None:
    desk = intake()
    take(desk, outcome("e1", 1, value=float("nan")))
    desk.finish(Cut((), ()), NOW)
    take(desk, outcome("e1", 1, value=float("nan")))
    assert (desk.account.dead_lettered.total(), desk.account.duplicates) == (1, 1)


def test_an_outcome_too_old_to_tell_is_buried() -> None:
    desk = intake()
    desk.finish(Cut((), ()), NOW + DAY)
    take(desk, outcome("e1", 1))
    assert dict(desk.account.dead_lettered) == {"too old": 1}


@pytest.mark.parametrize(
    "payload", [b"", b"\xff\xff", b"\x0a\x03abc", encode_event(prediction(1, time_us=NOW + 2 * MAX_AHEAD_US))]
)
def test_what_cannot_be_read_is_a_letter_and_stops_nothing(payload: bytes) -> None:
    desk = intake()
    take(desk, payload, prediction(2))
    assert desk.held == 1
    assert len(desk.finish(Cut((), ()), NOW).letters) == 1


def test_items_are_for_others() -> None:
    desk = intake()
    take(desk, ItemDelete(MODEL, 1, START))
    assert desk.finish(Cut((), ()), NOW).letters == []


def test_event_time_waits_for_the_partition_that_is_behind_and_for_no_idle_one() -> None:
    desk = intake()
    take(desk, prediction(1, START + 50 * SECOND), partition="fast")
    take(desk, prediction(2, START + 10 * SECOND), partition="slow")
    desk.finish(Cut((), ("slow",)), NOW)
    assert desk.watermark_us == START + 10 * SECOND - LATENESS_US
    desk.finish(Cut((), ("fast",)), NOW)
    assert desk.watermark_us == START + 50 * SECOND - LATENESS_US
    desk.finish(Cut((), ("slow",)), NOW)
    assert desk.watermark_us == START + 50 * SECOND - LATENESS_US, "it never goes back"
    desk.finish(Cut((), ()), NOW)
    assert desk.watermark_us == NOW - LATENESS_US


def test_time_alone_is_due_only_when_something_ends() -> None:
    desk = intake()
    assert not desk.is_due(NOW)
    take(desk, prediction(1))
    assert not desk.is_due(START + 30 * SECOND)
    assert desk.is_due(START + 30 * SECOND + LATENESS_US)


def test_cleaning() -> None:
    assert fault_of_outcome(outcome("e", 1), NOW) == ""
    assert "type" in fault_of_outcome(outcome("e", 1, type_=""), NOW)
    assert "finite" in fault_of_outcome(outcome("e", 1, value=float("inf")), NOW)
    assert "future" in fault_of_time(NOW + MAX_AHEAD_US + 1, NOW)
    assert fault_of_time(0, NOW)


def test_deduplication_remembers_its_horizon_and_not_much_more() -> None:
    seen = Deduplication(80)
    assert seen.see("a", 100, 0) is Sighting.NEW
    assert seen.see("a", 250, 0) is Sighting.REPEATED
    seen.forget(180)
    assert seen.see("a", 100, 180) is Sighting.REPEATED
    other = Deduplication(80)
    other.restore(seen.state())
    assert other.see("a", 100, 180) is Sighting.REPEATED
    seen.forget(300)
    assert seen.size == 0
    assert seen.see("b", 100, 300) is Sighting.TOO_OLD


def test_deduplication_goes_on_the_same_after_a_restart() -> None:
    whole, seen = Deduplication(10_000), Deduplication(10_000)
    for number in range(3000):
        name = f"e-{number * number % 2000}"
        assert seen.see(name, 100 + 10 * number, 0) is whole.see(name, 100 + 10 * number, 0)
        if number % 700 == 0:
            state = seen.state()
            seen = Deduplication(10_000)
            seen.restore(state)
    own, other = whole.state(), seen.state()
    assert len(own) > 2
    assert own.keys() == other.keys()
    assert all(np.array_equal(own[name], other[name]) for name in own)
    assert whole.size == len({number * number % 2000 for number in range(3000)})


def test_a_recorded_prediction_is_what_was_written() -> None:
    made = prediction(1, items=[5, "x"], logits=[0.5, -1.0])
    read = RecordedPrediction(encode_event(made))
    assert (read.prediction_id, read.rows, read.version, read.arm, read.digest) == ("p-1", 2, 1, Arm.LIVE, "mt1-x")
    assert (read.row_of("x"), read.row_of(5), read.row_of(6)) == (1, 0, -1)
    assert read.logits().tolist() == [0.5, -1.0]
    read.check(SPEC.layout)
    assert record_kind(encode_event(made)) is RecordKind.PREDICTION
    assert record_kind(encode_event(outcome("e", 1))) is RecordKind.OUTCOME


@given(st.lists(st.sampled_from([0, 1, -1, 7, "", "7", "x"]).filter(lambda item: item != ""), min_size=1, max_size=8))
def test_an_item_is_found_where_it_stands(items: list[int | str]) -> None:
    """An id that is a number is none that is a text, though both read as nothing where the other is asked for."""
    read = RecordedPrediction(encode_event(prediction(1, items=items)))
    for wanted in (0, 1, -1, 7, "7", "x", "y", 8):
        assert read.row_of(wanted) == (items.index(wanted) if wanted in items else -1)


def test_logits_of_some_rows() -> None:
    given_logits = [float(number) for number in range(20)]
    read = RecordedPrediction(encode_event(prediction(1, items=list(range(20)), logits=given_logits)))
    for rows in ([3], [0, 19], list(range(1, 20)), [5] * 9):
        assert read.logits_at(np.array(rows)).tolist() == [given_logits[row] for row in rows]


@pytest.mark.parametrize("rows", [1, 50, 400])
def test_a_record_weighs_about_its_rows(rows: int) -> None:
    weigh = weigher(SPEC.layout, Label(explicit=False))
    assert weigh is not None
    weight = weigh(encode_event(prediction(1, items=list(range(1000, 1000 + rows)))))
    assert rows / 2 <= weight <= 2 * rows
    assert weigh(encode_event(outcome("e1", 1))) == 1
    assert weigher(SPEC.layout, Label(explicit=True)) is None


def test_a_prediction_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Corrupt):
        RecordedPrediction(b"\x0a\x03abc")
    with pytest.raises(InvalidInput, match="items"):
        RecordedPrediction(encode_event(prediction(1, items=[])))
    with pytest.raises(InvalidInput, match="finite"):
        RecordedPrediction(encode_event(prediction(1, logits=[0.0, float("nan"), 0.0]))).check(SPEC.layout)
    made = prediction(1)
    made.features.item_numbers[1, 0] = np.inf
    with pytest.raises(InvalidInput, match="infinite"):
        RecordedPrediction(encode_event(made)).check(SPEC.layout)


def test_a_batch_is_laid_out_as_the_features_were_recorded() -> None:
    first, second = prediction(1, items=[1, 2, 3], user=7), prediction(2, items=[4, 5], user=8)
    one, two = (RecordedPrediction(encode_event(made)) for made in (first, second))
    examples = [one_row(one, 2, 1.0, judged=True), one_row(one, 0, 0.0, judged=True), one_row(two, 1, 1.0, judged=True)]
    batch = batch_of(examples, SPEC.layout)
    assert batch.block.user_ids[batch.block.row_of_user, 0].tolist() == [7, 7, 8]
    assert batch.block.item_ids[:, 0].tolist() == [3, 1, 5]
    assert batch.block.item_numbers[:, 0].tolist() == [2.0, 0.0, 1.0]
    assert (batch.labels.tolist(), batch.weights.tolist()) == ([1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    whole, expected = whole_block([one, two], SPEC.layout), concatenate([first.features, second.features])
    for name in ("user_ids", "user_numbers", "item_ids", "item_numbers", "row_of_user"):
        assert np.array_equal(getattr(whole, name), getattr(expected, name)), name
        assert getattr(whole, name).flags.writeable, name


class NoReader(FileEventReader):
    """Nothing is looked up here."""

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        raise AssertionError(f"{partition} is read again at {start}")


class TestEventSource:
    def source(self, root: Path, read_bytes: int = 300, cache_bytes: int = 600) -> EventSource:
        return EventSource(FileEventReader(root), FileEventReader(root), read_bytes, cache_bytes)

    def test_cuts_cover_the_log_once_whatever_is_read_at_once(self, tmp_path: Path) -> None:
        payloads = [(dice, f"{n}".encode() * (n % 50)) for n in range(60) for dice in "ab"]
        write_log(tmp_path, payloads)
        for read_bytes in (1, 300, 1 << 20):
            source, positions, found = self.source(tmp_path, read_bytes), dict[str, int](), list[tuple[str, bytes]]()
            while (cut := source.cut(positions, 7)).ranges:
                for wanted in cut.ranges:
                    assert wanted.start == positions.get(wanted.partition, 0)
                    found += [(place.partition, payload) for place, payload in source.records(wanted)]
                    positions[wanted.partition] = wanted.end
            assert cut.behind == ()
            for name in "ab":
                assert [payload for part, payload in found if part == name] == [
                    p for part, p in payloads if part == name
                ]

    def test_a_cut_is_a_function_of_positions_and_log(self, tmp_path: Path) -> None:
        write_log(tmp_path, [("a", f"{n}".encode() * 30) for n in range(40)])
        running, positions = self.source(tmp_path), dict[str, int]()
        while (cut := running.cut(positions, 6)).ranges:
            assert self.source(tmp_path).cut(positions, 6) == cut
            positions["a"] = cut.ranges[0].end
            if len(positions) % 2:
                list(running.records(cut.ranges[0]))

    def test_a_cut_weighs_no_more_than_asked(self, tmp_path: Path) -> None:
        write_log(tmp_path, [(name, bytes(size)) for size in (1, 2, 3, 4, 5, 60, 7, 8) for name in "ab"])
        for read_bytes in (1, 1 << 20):
            reader = FileEventReader(tmp_path)
            source, positions = EventSource(reader, reader, read_bytes, 0, len), dict[str, int]()
            taken: list[list[int]] = []
            while (cut := source.cut(positions, 100, 16)).ranges:
                assert len(cut.ranges) == 2
                for wanted in cut.ranges:
                    taken.append([len(payload) for _, payload in source.records(wanted)])
                    positions[wanted.partition] = wanted.end
                assert bool(cut.behind) == (taken[-1][-1] != 8)
            assert taken[::2] == [[1, 2, 3, 4], [5, 60], [7, 8]], "each partition has half of the weight"

    def test_a_cut_of_some_weight_has_at_most_so_many_records(self, tmp_path: Path) -> None:
        write_log(tmp_path, [("a", b"x")] * 9)
        reader = FileEventReader(tmp_path)
        source = EventSource(reader, reader, 30, 0, len)
        (wanted,) = source.cut({}, 4, 1000).ranges
        assert len(list(source.records(wanted))) == 4

    def test_records_that_are_not_kept_are_read_ahead_when_they_are_asked_for_in_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ends = [0, *(end.offset for end in write_log(tmp_path, [("a", bytes([n]) * 40) for n in range(200)]))]
        reads: list[int] = []

        class Lookup(FileEventReader):
            def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
                reads.append(start)
                return super().read(partition, start, max_bytes)

        monkeypatch.setattr("trainer_svc.event_source._LOOKED_UP_BYTES", 2000)
        source = EventSource(FileEventReader(tmp_path), Lookup(tmp_path), 300, 0)
        for number in range(0, 200, 3):
            assert source.payload(Place("a", ends[number])) == bytes([number]) * 40
        assert len(reads) < 8
        for number in (150, 3, 80):
            assert source.payload(Place("a", ends[number])) == bytes([number]) * 40
        assert reads[-3:] == [ends[150], ends[3], ends[80]]

    def test_records_come_again(self, tmp_path: Path) -> None:
        ends = write_log(tmp_path, [("a", bytes([n]) * 40) for n in range(20)])
        source = self.source(tmp_path)
        wanted = Range("a", ends[4].offset, ends[15].offset)
        once, again = list(source.records(wanted)), list(source.records(wanted))
        assert once == again
        for place, payload in once:
            assert source.payload(place) == payload
        with pytest.raises(Corrupt, match="ends"):
            list(source.records(Range("a", 0, ends[-1].offset + 9)))
        with pytest.raises(Corrupt, match="no record"):
            source.payload(Place("a", ends[-1].offset))

    def test_records_that_come_again_and_again_are_kept_once(self, tmp_path: Path) -> None:
        ends = write_log(tmp_path, [("a", bytes([n]) * 40) for n in range(20)])
        source = EventSource(FileEventReader(tmp_path), NoReader(tmp_path), 300, 10_000)
        for _ in range(100):
            for place, payload in list(source.records(Range("a", 0, ends[-1].offset))):
                assert source.payload(place) == payload

    @pytest.mark.parametrize("size", [1, 100, 1000])
    def test_what_is_kept_takes_no_more_memory_than_it_may(self, tmp_path: Path, size: int) -> None:
        room, count = 1 << 20, 2 * (1 << 20) // (size + 250)
        end = write_log(tmp_path, [("a", bytes(size))] * count)[-1].offset
        source = self.source(tmp_path, 3_000, room)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in source.records(Range("a", 0, end)):
                pass
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert room / 2 < taken < room + 20_000  # what is read at once, and its reader

    def test_a_damaged_partition_stands_still_and_the_others_go_on(self, tmp_path: Path) -> None:
        write_log(tmp_path, [(name, b"payload") for name in "ab" for _ in range(3)])
        path = next((tmp_path / "a").glob("*.log"))
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
        source = self.source(tmp_path)
        cut = source.cut({}, 100)
        assert [wanted.partition for wanted in cut.ranges] == ["a", "b"]
        cut = source.cut({wanted.partition: wanted.end for wanted in cut.ranges}, 100)
        assert (cut.ranges, cut.behind) == ((), ())
        assert source.damaged == {"a"}
