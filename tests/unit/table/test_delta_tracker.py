"""The delta tracker: nothing is forgotten before it is acknowledged."""

import numpy as np

from trainer_svc.delta_tracker import DeltaTracker


def test_nothing_is_forgotten_before_it_is_acknowledged() -> None:
    tracker = DeltaTracker(8)
    tracker.touch(np.array([1, 3]))
    assert tracker.take().tolist() == [1, 3]
    tracker.touch(np.array([3, 5]))
    assert tracker.take().tolist() == [1, 3, 5], "the first publish failed: the next one carries all"
    tracker.touch(np.array([5]))
    tracker.acknowledge()
    assert tracker.take().tolist() == [5]
    tracker.acknowledge()
    assert tracker.touched == 0


def test_a_rebuilt_table_in_flight_stays_touched() -> None:
    tracker = DeltaTracker(4)
    tracker.touch(np.array([1]))
    tracker.take()
    tracker.resize(8)
    tracker.acknowledge()
    assert tracker.take().tolist() == list(range(8))
