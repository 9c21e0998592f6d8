"""The judge's processes keep their error under continuous peeking, and see what they should."""

from math import log

import numpy as np
import pytest

from registry_svc.evidence.betting import BettingProcess
from registry_svc.evidence.binomial import ConditionalBinomial
from registry_svc.evidence.bound import RunningBound
from registry_svc.evidence.detector import ECusum, EDetector
from registry_svc.evidence.loss import log_loss, loss_difference
from registry_svc.evidence.units import ArmPairs, BlockUnits, Unit

RUNS = 400


def crossing_rate(mean: float, level: float, runs: int, units: int) -> float:
    """Share of runs whose betting process ever crosses; x is a two-point variable in [-1, 1] with this mean."""
    rng = np.random.default_rng(7)
    crossed = 0
    for _ in range(runs):
        process = BettingProcess.of(1.0, level)
        for x in np.where(rng.random(units) < (1 + mean) / 2, 1.0, -1.0):
            if process.update(float(x)):
                crossed += 1
                break
    return crossed / runs


def test_false_alarms_stay_below_the_level_at_the_boundary() -> None:
    """At mean 0, exactly on the boundary, with a look after each unit."""
    assert crossing_rate(0.0, 0.05, RUNS, 500) <= 0.05 + 0.02


def test_a_real_difference_is_seen() -> None:
    assert crossing_rate(0.3, 0.01, 50, 500) >= 0.98


def test_the_crossing_is_latched() -> None:
    process = BettingProcess.of(1.0, 0.5)
    while not process.update(1.0):
        pass
    for _ in range(1000):
        assert process.update(-1.0)
    assert process.log_wealth < process.threshold


@pytest.mark.parametrize(("bound", "level"), [(0.0, 0.1), (1.0, 0.0), (1.0, 1.0)])
def test_senseless_settings_are_refused(bound: float, level: float) -> None:
    with pytest.raises(ValueError, match="bound"):
        BettingProcess.of(bound, level)


def units_to_alarm(healthy: int, mean_after: float) -> int:
    rng = np.random.default_rng(3)
    detector = EDetector(1.0, 1e5)
    for x in rng.uniform(-1.0, 0.8, healthy):
        assert not detector.update(float(x))
    for count, x in enumerate(np.clip(rng.normal(mean_after, 0.3, 5000), -1, 1), start=1):
        if detector.update(float(x)):
            return count
    return 5000


def test_the_detectors_delay_does_not_grow_with_a_healthy_history() -> None:
    assert units_to_alarm(5000, 0.1) <= 1.3 * units_to_alarm(50, 0.1)


def test_a_healthy_detector_stands_near_the_log_of_its_units() -> None:
    rng = np.random.default_rng(0)
    detector = EDetector(1.0, 1e9)
    for x in rng.choice([-1.0, 1.0], 4000):
        detector.update(float(x))
    assert detector.log_evidence < log(4000) + 4
    detector.reset()
    assert detector.log_evidence == -np.inf


def test_the_warning_falls_back_when_harm_ends() -> None:
    cusum = ECusum(1.0)
    for _ in range(60):
        cusum.update(0.2)
    peak = cusum.log_evidence
    for _ in range(200):
        cusum.update(-0.2)
    assert peak > 3
    assert cusum.log_evidence < 1


def test_no_bad_event_is_no_evidence() -> None:
    assert ConditionalBinomial(0.01).log_evidence == pytest.approx(0.0)


def test_errors_only_in_the_canary_are_seen_without_any_baseline() -> None:
    process = ConditionalBinomial(0.01)
    needed = next(n for n in range(1, 100) if process.update(n, in_canary=True, share=0.1))
    assert needed <= 6


def test_one_user_counts_once() -> None:
    process = ConditionalBinomial(0.01)
    assert not any(process.update(1, in_canary=True, share=0.1) for _ in range(1000))


def test_errors_in_proportion_to_traffic_are_no_evidence() -> None:
    rng = np.random.default_rng(5)
    crossed = 0
    for _ in range(200):
        process = ConditionalBinomial(0.05)
        crossed += any(process.update(n, in_canary=bool(rng.random() < 0.3), share=0.3) for n in range(300))
    assert crossed / 200 <= 0.05 + 0.03


def test_the_clip_is_fixed_by_earlier_units() -> None:
    bound = RunningBound(2.0)
    assert bound.clip == 2.0
    for _ in range(300):
        bound.apply(0.01)
    before = bound.clip
    assert before == pytest.approx(0.04, rel=0.1)
    assert bound.apply(1.5) == before
    assert bound.clip > before


def test_log_loss_is_exact_at_the_extremes() -> None:
    logits = np.array([-800.0, 0.0, 800.0])
    np.testing.assert_allclose(log_loss(logits, np.array([0.0, 1.0, 1.0])), [0.0, log(2), 0.0])
    np.testing.assert_allclose(log_loss(logits, np.array([1.0, 0.0, 0.0])), [800.0, log(2), 800.0])


def test_differences_are_bounded_and_signed() -> None:
    version, comparator = np.array([5.0, -5.0, np.nan]), np.array([0.0, 0.0, 0.0])
    difference = loss_difference(version, comparator, np.array([1.0, 1.0, 1.0]), 2.0)
    assert -2.0 <= difference[0] < 0 < difference[1] <= 2.0
    assert np.isnan(difference[2])


HOUR_US = 3_600_000_000


def test_blocks_are_means_of_one_users_labels() -> None:
    units = BlockUnits(2, HOUR_US, 10)
    assert units.add(1, 0, 1.0) == []
    assert units.add(2, 0, 5.0) == []
    assert units.add(1, 1, 3.0) == [Unit(2.0, 1.0)]


def test_a_user_who_left_counts_by_the_labels_that_came() -> None:
    units = BlockUnits(2, HOUR_US, 10)
    units.add(1, 0, 5.0)
    assert units.add(2, HOUR_US, 1.0) == []
    assert units.add(2, HOUR_US + 1, 1.0) == [Unit(5.0, 0.5), Unit(1.0, 1.0)]
    assert not units.blocks


def test_the_oldest_block_is_flushed_when_too_many_are_open() -> None:
    units = BlockUnits(2, HOUR_US, 1)
    units.add(1, 0, 1.0)
    assert units.add(2, 0, 2.0) == [Unit(1.0, 0.5)]


def test_pairs_need_both_arms() -> None:
    pairs = ArmPairs()
    assert pairs.add(Unit(1.0, 1.0), served=True) == []
    assert pairs.add(Unit(3.0, 1.0), served=True) == []
    assert pairs.add(Unit(5.0, 0.5), served=False) == [Unit(3.0, 0.75)]


def test_units_that_wait_for_the_other_arm_are_bounded() -> None:
    pairs = ArmPairs(limit=2)
    for value in (1.0, 2.0, 3.0):
        pairs.add(Unit(value, 1.0), served=True)
    assert pairs.add(Unit(2.0, 1.0), served=False) == [Unit(2.0, 1.0)]
    assert len(pairs.served) == 1
