"""The delta tracker: nothing is forgotten before it is acknowledged, or saved."""

from trainer_svc.delta_tracker import DeltaTracker, Touched
from trainer_svc.table.kernels import mark_key, mark_row


def mark(tracker: DeltaTracker, *, rows: list[int] = [], keys: list[int] = []) -> None:  # noqa: B006
    for slot in rows:
        mark_row(tracker.marks, tracker.unsaved, slot)
    for slot in keys:
        mark_key(tracker.marks, tracker.unsaved, slot)


def found(touched: Touched) -> list[tuple[int, int, int]]:
    return list(zip(touched.buckets.tolist(), touched.rows.tolist(), touched.keys.tolist(), strict=True))


def test_marks_name_the_slot_and_what_changed_there() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4, 7, 31], keys=[5, 7])
    assert found(tracker.take()) == [(1, 0b1001, 0b1010), (7, 0b1000, 0)]


def test_a_special_row_bears_no_mark() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[32, 33])
    assert tracker.touched == 0


def test_nothing_is_forgotten_before_it_is_acknowledged() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4, 12])
    assert found(tracker.take()) == [(1, 1, 0), (3, 1, 0)]
    mark(tracker, rows=[13], keys=[20])
    both = [(1, 1, 0), (3, 3, 0), (5, 0, 1)]
    assert found(tracker.take()) == both, "the first publish failed: the next one carries all"
    mark(tracker, rows=[20, 21])
    assert tracker.touched == 3
    tracker.acknowledge()
    assert found(tracker.take()) == [(5, 3, 0)], "of the key that arrived nothing is left"
    tracker.acknowledge()
    assert tracker.touched == 0


def test_a_rebuilt_table_in_flight_stays_touched() -> None:
    tracker = DeltaTracker(4)
    mark(tracker, rows=[4])
    tracker.take()
    tracker.resize(8)
    tracker.acknowledge()
    assert found(tracker.take()) == [(bucket, 15, 15) for bucket in range(8)]
    assert tracker.take_unsaved().tolist() == list(range(8))


def test_what_changes_while_a_checkpoint_is_written_is_in_the_next() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4], keys=[12])
    assert tracker.take_unsaved().tolist() == [1, 3]
    mark(tracker, rows=[12, 20])
    tracker.saved()
    assert tracker.take_unsaved().tolist() == [3, 5]


def test_what_a_failed_checkpoint_held_is_in_the_next() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4])
    tracker.take_unsaved()
    mark(tracker, rows=[8])
    tracker.unsaved_failed()
    assert tracker.take_unsaved().tolist() == [1, 2]
    tracker.saved()
    assert tracker.take_unsaved().tolist() == []


def test_publishes_and_checkpoints_do_not_disturb_each_other() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4])
    tracker.take()
    tracker.acknowledge()
    assert tracker.take_unsaved().tolist() == [1]
    assert sorted(tracker.state()) == ["marks"], "when checkpoints were made is no part of the state"


def test_checkpoints_do_not_disturb_a_growth() -> None:
    tracker = DeltaTracker(8)
    mark(tracker, rows=[4])
    tracker.growth_began()
    mark(tracker, rows=[12], keys=[20])
    tracker.take_unsaved()
    assert tracker.since_growth_began().tolist() == [3, 5]
    tracker.unsaved_failed()
    assert tracker.since_growth_began().tolist() == [3, 5]
    assert tracker.take_unsaved().tolist() == [1, 3, 5]
    tracker.saved()
    assert tracker.since_growth_began().tolist() == [3, 5]
    assert tracker.take_unsaved().tolist() == []
