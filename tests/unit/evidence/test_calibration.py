"""What it takes before a version's bias may count against it."""

import pytest

from registry_svc.evidence.calibration import CalibrationEvidence
from registry_svc.evidence.structural_policy import StructuralPolicy


def evidence(labels: int, *, version: float, comparator: float, positives: float) -> CalibrationEvidence:
    """So many labels of one logit each, a share of them positive."""
    made = StructuralPolicy().calibration()
    for n in range(labels):
        made.add(n // 10, n * 20_000_000, version, comparator, float(n * 7 % 10 < 10 * positives))
    return made


def test_a_sure_shift_with_the_larger_bias_counts() -> None:
    assert evidence(3000, version=0.2, comparator=0.0, positives=0.5).condemns


def test_a_shift_that_may_be_noise_does_not() -> None:
    """The mean is beyond the tolerance; with so few labels it need not stay there."""
    few = evidence(60, version=0.2, comparator=0.0, positives=0.5)
    assert few.shifted
    assert not few.condemns


def test_a_shift_within_the_tolerance_does_not() -> None:
    near = evidence(3000, version=0.04, comparator=0.0, positives=0.3)
    assert not near.shifted
    assert not near.condemns


def test_a_version_nearer_to_the_truth_than_its_comparator_is_spared() -> None:
    assert not evidence(3000, version=0.2, comparator=-0.6, positives=0.5).condemns


def test_too_low_counts_as_too_high_does() -> None:
    low = evidence(3000, version=-0.4, comparator=0.0, positives=0.5)
    assert low.condemns
    assert low.process.log_evidence > low.process.threshold
    assert low.stream.mean == pytest.approx(0.0987, abs=1e-3)
