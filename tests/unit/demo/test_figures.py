import numpy as np
import pytest

from examples.demo.figures import Moment, Percentiles, auc_from, auc_over_time, freshness, percentiles


def fresh(answered: list[tuple[float, int]], moments: list[Moment], ended_at: float = 99.0) -> Percentiles:
    """Outcomes at offsets 10, 20, 30 of partition p, acknowledged at 1, 2, 3 seconds."""
    at, by = [seconds for seconds, _ in answered], [version for _, version in answered]
    return freshness(["p"] * 3, [10, 20, 30], [1.0, 2.0, 3.0], at, by, moments, ended_at)


def test_freshness_runs_to_the_first_answer_by_a_version_that_has_learned_the_outcome() -> None:
    found = fresh([(2.5, 1), (2.9, 1), (4.0, 2)], [Moment(1, {"p": 10}), Moment(2, {"p": 30})])
    assert found.values.tolist() == [1500.0, 2000.0, 1000.0]
    assert found.unanswered == 0


def test_a_version_that_nobody_was_answered_by_makes_nothing_fresh() -> None:
    found = fresh([(5.0, 2)], [Moment(1, {"p": 30}), Moment(2, {"p": 30})])
    assert found.values.tolist() == [4000.0, 3000.0, 2000.0]


def test_a_version_with_more_learned_may_answer_before_one_with_less() -> None:
    found = fresh([(3.5, 2), (9.0, 1)], [Moment(1, {"p": 20}), Moment(2, {"p": 30})])
    assert found.values.tolist() == [2500.0, 1500.0, 500.0]


def test_an_outcome_without_an_answer_has_waited_to_the_end() -> None:
    found = fresh([(2.5, 1)], [Moment(1, {"p": 10}), Moment(2, {"p": 30})], ended_at=10.0)
    assert found.values.tolist() == [1500.0, 8000.0, 7000.0]
    assert found.unanswered == 2


def test_a_lane_that_goes_dead_does_not_look_fresh() -> None:
    offsets = list(range(1, 1001))
    acknowledged = [offset * 0.1 for offset in offsets]
    moments = [Moment(version, {"p": version * 50}) for version in range(1, 21)]
    answered_at, by = [version * 5 + 0.5 for version in range(1, 11)], list(range(1, 11))
    found = freshness(["p"] * 1000, offsets, acknowledged, answered_at, by, moments, ended_at=100.0)
    assert found.unanswered == 500
    assert found.p99 > 40_000


def test_offsets_of_one_partition_say_nothing_of_another() -> None:
    found = freshness(["p", "q"], [10, 10], [1.0, 1.0], [3.0], [1], [Moment(1, {"p": 10})], ended_at=7.0)
    assert sorted(found.values.tolist()) == [2000.0, 6000.0]
    assert found.unanswered == 1


def test_percentiles_of_nothing_are_no_numbers() -> None:
    assert np.isnan(percentiles(np.array([])).p50)


def test_percentiles() -> None:
    found = percentiles(np.arange(101.0))
    assert (found.p50, found.p99) == (50.0, 99.0)


def by_pairs(scores: list[float], labels: list[float]) -> float:
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, is_positive in zip(scores, labels, strict=True)
        for n, also in zip(scores, labels, strict=True)
        if is_positive and not also
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_ordered_pairs_with_ties_counting_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 6, 60).astype(float), (rng.random(60) < 0.4).astype(float)
    assert auc_from(scores, labels, 10) == pytest.approx(by_pairs(scores[10:].tolist(), labels[10:].tolist()))


def test_each_point_of_the_curve_is_the_window_that_ends_there() -> None:
    scores, labels = np.array([1.0, 2, 2, 1, 1, 2]), np.array([0.0, 1, 0, 1, 0, 1])
    assert auc_over_time(scores, labels, 2, 3) == [(2, 1.0), (4, 0.0), (6, 1.0)]
