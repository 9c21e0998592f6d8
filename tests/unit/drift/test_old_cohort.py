"""Who is held out is fixed by a hash and by event time; the old cohort is scored, and forgets who is forgotten."""

import numpy as np

from martlet.runtime.learning_config import DriftConfig
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.replaying.batches import batch_of, origins
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import SECOND, START, prediction
from trainer_svc.drift.cohort_choice import CohortChoice
from trainer_svc.drift.old_cohort import OldCohort

SETTINGS = DriftConfig(
    cohort_share=0.5, cohort_rows=40, cohort_seconds=10, cohort_period_seconds=100, cohort_interval_seconds=5
)


def recorded(user: int, seconds: float) -> RecordedPrediction:
    return RecordedPrediction(encode_event(prediction(1, START + int(seconds * SECOND), user=user)))


def test_a_share_of_the_users_is_held_out_at_the_beginning_of_each_period() -> None:
    choice = CohortChoice(SETTINGS)
    choice.came(recorded(1, 0))
    chosen = [choice.number(recorded(user, 5)) for user in range(1000)]
    assert 0.45 < np.mean(np.array(chosen) == 0) < 0.55
    one = chosen.index(0)
    assert [choice.number(recorded(one, at)) for at in (-1, 0, 9.9, 10, 99, 100, 109.9, 110, 205)] == [
        -1, 0, 0, -1, -1, 1, 1, -1, 2,
    ]  # fmt: skip
    other = chosen.index(-1)
    assert {choice.number(recorded(other, at)) for at in range(300)} == {-1}


def test_the_first_cohort_is_scored_once_complete_and_the_next_one_follows_it() -> None:
    cohort = OldCohort(SETTINGS, SPEC.layout, window_us=30 * SECOND)
    cohort.choice.came(recorded(1, 0))
    numbers = np.arange(20)
    labels = (numbers % 2).astype(float)
    cohort.hold(batch_of(numbers, labels), origins(numbers), 0)
    assert cohort.due(START + 39 * SECOND) is None
    batch = cohort.due(START + 41 * SECOND)
    assert batch is not None
    assert sorted(batch.block.item_ids[:, 0].tolist()) == numbers.tolist()
    cohort.scored(batch, np.where(batch.labels > 0, 1, -1).astype(np.float32))
    assert cohort.figures()["old_cohort_auc"] == 1.0
    assert cohort.due(START + 43 * SECOND) is None  # not so soon again
    again = cohort.due(START + 47 * SECOND)
    assert again is not None
    cohort.scored(again, np.zeros(again.size, np.float32))
    assert cohort.figures()["old_cohort_forgetting"] == 0.5
    cohort.hold(batch_of(numbers + 100, labels), origins(numbers), 1)
    later = cohort.due(START + 150 * SECOND)
    assert later is not None
    assert later.block.item_ids.max() < 100  # the first one stays old until the third begins
    cohort.hold(batch_of(numbers + 200, labels), origins(numbers), 2)
    later = cohort.due(START + 250 * SECOND)
    assert later is not None
    assert later.block.item_ids.min() == 100


def test_a_forgotten_user_leaves_and_the_rest_comes_back_from_a_checkpoint() -> None:
    cohort, other = (OldCohort(SETTINGS, SPEC.layout, 0) for _ in range(2))
    cohort.choice.came(recorded(1, 0))
    numbers = np.arange(20)
    cohort.hold(batch_of(numbers), origins(numbers), 0)
    cohort.forget(4)
    other.restore({name: np.array(array) for name, array in cohort.state().items()})
    for one in (cohort, other):
        batch = one.due(START + 60 * SECOND)
        assert batch is not None
        assert batch.size == 16
        assert not (batch.block.user_ids[batch.block.row_of_user, 0] % 10 == 4).any()
