"""The reservoir's fairness, what is mixed in, what is forgotten, and that on average a batch teaches the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.keys import UNKNOWN_ID
from martlet.runtime.learning_config import AugmentationConfig, LearningConfig, ReplayConfig
from tests.unit.replaying.batches import batch_of, origins
from tests.unit.trainer.fakes import SPEC
from trainer_svc.replaying.draws import uniforms
from trainer_svc.replaying.id_masking import IdMasking
from trainer_svc.replaying.replay import Replay
from trainer_svc.replaying.reservoir import Reservoir
from trainer_svc.replaying.stored_examples import StoredExamples, joined


def filled(capacity: int, count: int, seed: int = 1, horizon: int = 0, part: int = 7) -> Reservoir:
    reservoir = Reservoir(SPEC.layout, capacity, horizon, seed)
    for some in np.array_split(np.arange(count), max(1, count // part)):
        reservoir.add(batch_of(some), origins(some), np.arange(some.shape[0]))
    return reservoir


def whose(number: int) -> int:
    """The user of an example, as `filled` made it."""
    part = next(some for some in np.array_split(np.arange(300), 300 // 7) if number in some)
    return int(origins(part).users[number - part[0]])


def kept(reservoir: Reservoir) -> list[int]:
    return sorted(reservoir.stored.take(np.arange(len(reservoir)))[0].block.item_ids[:, 0].tolist())


def test_draws_are_even_and_a_function_of_their_place() -> None:
    drawn = uniforms(3, 0, 100_000)
    assert abs(drawn.mean() - 0.5) < 0.005
    assert np.histogram(drawn, 20, (0, 1))[0] == pytest.approx(5000, rel=0.06)
    np.testing.assert_array_equal(uniforms(3, 500, 10), drawn[500:510])
    assert not np.array_equal(uniforms(4, 0, 10), drawn[:10])


@pytest.mark.parametrize("part", [1, 7, 200])
def test_the_sample_does_not_depend_on_how_the_stream_was_cut(part: int) -> None:
    assert kept(filled(20, 400, part=part)) == kept(filled(20, 400, part=400))


def test_each_example_has_the_same_chance_to_stay() -> None:
    counts = np.zeros(100)
    for seed in range(600):
        counts[kept(filled(10, 100, seed, part=50))] += 1
    assert counts.sum() == 6000
    assert ((counts - 60) ** 2 / 54).sum() < 150  # chi-square of 99 degrees: beyond with chance 7e-4


def test_with_a_horizon_older_examples_fade() -> None:
    ages = 4000 - np.array(kept(filled(100, 4000, horizon=400)))
    assert 250 < ages.mean() < 600
    assert 4000 - np.mean(kept(filled(100, 4000))) > 1500


def test_a_forgotten_user_is_in_no_sample_and_the_rest_stays() -> None:
    reservoir = filled(30, 300)
    before = kept(reservoir)
    reservoir.forget(3)
    assert kept(reservoir) == [one for one in before if whose(one) != 3]
    more = np.arange(1000, 1010)
    reservoir.add(batch_of(more), origins(more), np.arange(10))
    assert len(reservoir) == min(30, len([one for one in before if whose(one) != 3]) + 10)


def test_the_batch_itself_stands_in_front_with_its_share_of_past_examples_behind() -> None:
    replay = Replay(LearningConfig(replay=ReplayConfig(share=0.25, rows=50)), SPEC)
    sizes = []
    for start in range(0, 6000, 60):
        numbers = np.arange(start, start + 60)
        mixed, where = replay.mix(batch_of(numbers), origins(numbers))
        np.testing.assert_array_equal(mixed.block.item_ids[:60, 0], numbers)
        np.testing.assert_array_equal(mixed.block.user_ids[mixed.block.row_of_user, 0] % 10, where.users)
        assert (mixed.block.item_ids[60:, 0] < start).all()  # never what is new
        np.testing.assert_array_equal(mixed.block.item_ids[:, 0] * 1_000_000, where.times_us)
        sizes.append(mixed.size)
    assert sizes[0] == 60
    assert np.mean(sizes[1:]) == pytest.approx(80, abs=0.2)


def test_positives_become_more_and_count_as_much_as_before() -> None:
    replay = Replay(LearningConfig(augmentation=AugmentationConfig(rare_share=0.4, rare_rows=50)), SPEC)
    for start in range(0, 1000, 50):
        numbers = np.arange(start, start + 50)
        labels = (numbers % 10 == 0).astype(float)
        mixed, _ = replay.mix(batch_of(numbers, labels), origins(numbers))
        assert mixed.weights[mixed.labels > 0].sum() == pytest.approx(5.0, rel=1e-5)
        assert mixed.weights[mixed.labels == 0].sum() == 45
    assert (mixed.labels > 0).mean() == pytest.approx(0.4, abs=0.02)


def test_a_past_example_counts_as_it_is_likelier_today() -> None:
    settings_ = ReplayConfig(share=0.5, rows=400, horizon=0, density_ratio=True)
    replay = Replay(LearningConfig(replay=settings_), SPEC)
    dice = np.random.default_rng(0)
    for step in range(120):
        numbers = dice.integers(0, 20, 100) if step < 60 else dice.integers(10, 30, 100)
        mixed, _ = replay.mix(batch_of(numbers), origins(numbers))
    past, weights = mixed.block.item_ids[100:, 0], mixed.weights[100:]
    assert weights[past < 10].mean() < 0.6
    assert weights[past >= 20].mean() > 1.0


def test_what_one_batch_lacks_is_filled_with_zeros() -> None:
    one, other = batch_of(np.arange(4)), batch_of(np.arange(4, 6))
    both = joined(one, replace(other, offsets=np.array([1.0, 2.0], np.float32)))
    assert both.offsets is not None
    assert both.offsets.tolist() == [0, 0, 0, 0, 1, 2]
    assert both.insertions is None
    stored = StoredExamples(SPEC.layout, 6)
    stored.put(np.arange(6), both, origins(np.arange(6)), np.arange(6))
    back, _ = stored.take(np.arange(6))
    assert back.offsets is not None
    assert back.offsets.tolist() == both.offsets.tolist()


@given(st.floats(0, 1), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_masked_ids_are_as_many_as_wanted_and_the_given_block_stays(chance: float, seed: int) -> None:
    masking = IdMasking(SPEC, {"item": chance}, seed)
    block = batch_of(np.arange(2000)).block
    masked = masking.mask(block)
    share = (masked.item_ids[:, 0] == UNKNOWN_ID).mean()
    assert share == pytest.approx(chance, abs=0.05)
    np.testing.assert_array_equal(block.item_ids[:, 0], np.arange(2000))
    np.testing.assert_array_equal(masked.user_ids, block.user_ids)
    if not share:
        assert masked is block
