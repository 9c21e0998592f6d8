"""What versions are compared by: bounds that no label moves, scikit-learn as oracle, judges of numbers."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error

from benchmarks.judge.number_world import number_rows
from martlet.evidence import EvidenceBatch, EvidenceRow, Loss
from registry_svc.evidence.criterion import SquaredError
from registry_svc.evidence.lane_judge import LaneJudge, LaneJudgePolicy
from registry_svc.evidence.lane_state import packed
from registry_svc.evidence.structural_judge import StructuralJudge, StructuralPolicy
from registry_svc.lane import Lane, Member
from registry_svc.model_judge import JudgeRecord, ModelJudge
from registry_svc.policy import EvidencePolicy, LanePolicy

SQUARED = SquaredError()
OUTPUTS = st.floats(allow_nan=False, allow_infinity=False, width=32)
RULES = StructuralPolicy().for_numbers()


@given(version=OUTPUTS, comparator=OUTPUTS, label=st.floats(0, 1), share=st.floats(0, 1))
def test_whatever_the_outputs_a_unit_is_within_its_bound(
    version: float, comparator: float, label: float, share: float
) -> None:
    criterion = SquaredError(share)
    difference = criterion.difference(version, comparator, label, 1.0)
    assert abs(difference) <= 0.5
    assert abs(difference - criterion.allowed(comparator, label)) <= 1.0
    assert abs(difference) <= abs(criterion.expected(version) - criterion.expected(comparator)) + 1e-12


def test_it_is_half_the_squared_error_of_clipped_outputs() -> None:
    rng = np.random.default_rng(1)
    versions, pins, labels = rng.normal(0.5, 0.6, 400), rng.normal(0.5, 0.3, 400), rng.random(400)
    found = [SQUARED.difference(*one, 1.0) for one in zip(versions, pins, labels, strict=True)]
    wanted = mean_squared_error(labels, versions.clip(0, 1)) - mean_squared_error(labels, pins.clip(0, 1))
    assert 2 * np.mean(found) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("label", [nan, -0.1, 1.1, inf])
def test_what_is_no_place_in_the_range_is_no_label(label: float) -> None:
    judge = structural(number_rows(1, 10))
    before = judge.findings()
    judge.fold([replace(number_rows(1, 10)[0], label=label)])
    assert judge.findings() == before


def structural(rows: list[EvidenceRow]) -> StructuralJudge:
    judge = StructuralJudge(RULES, criterion=SQUARED)
    judge.compare(version=2, pin=1, phase="shadow")
    judge.fold(rows)
    return judge


def test_a_version_with_a_larger_error_is_found_worse_and_named_so() -> None:
    found = structural(number_rows(2, 6000, version=0.15)).findings()
    assert (found.worse, found.certified) == ("squared error", False)
    assert found.paths[0].mean == pytest.approx((0.15**2 - 0.05**2) / 2, rel=0.3)


def test_a_better_version_is_certified_and_one_like_the_pin_is_not_condemned() -> None:
    assert structural(number_rows(3, 4000, pin=0.12)).findings().certified
    assert structural(number_rows(4, 4000)).findings().worse == ""


def test_a_bias_is_found_which_squared_error_hardly_shows() -> None:
    rows = number_rows(5, 20_000, pin=0.02, version=0.02, bias=0.03)
    assert structural(rows).findings().worse == "calibration"


def test_a_version_that_strays_from_the_range_closes_at_once_and_one_without_a_number_too() -> None:
    for output in (60.0, nan, -inf):
        row = replace(number_rows(6, 10)[0], logits={1: 0.5, 2: output})
        assert structural([row]).findings().guard


def test_a_lane_of_numbers_alarms_when_the_head_becomes_worse_and_not_before() -> None:
    judge = LaneJudge(LaneJudgePolicy().for_numbers(), criterion=SQUARED)
    judge.compare(epoch=0, pin=1, candidate=2, alarms=0)
    judge.fold(number_rows(7, 6000, head=2, pin=0.07))
    healthy = judge.findings()
    assert (healthy.alarm, healthy.certified, healthy.unit) == (False, True, "range²/2")
    judge.fold(number_rows(8, 4000, head=2, version=0.2))
    assert judge.findings().alarm


LANE = Lane("shop", head=Member(2), pin=Member(1), candidate=Member(2))
POLICY = LanePolicy(9000, 0, 0, EvidencePolicy(burn_in_labels=0, number_harm_budget=3.0))


def batch(number: int, rows: list[EvidenceRow], loss: Loss = Loss.SQUARED) -> EvidenceBatch:
    return EvidenceBatch("judge/shop", number, "shop", tuple(rows), open_gap=4.0, loss=loss)


def test_a_models_judge_takes_the_loss_of_its_batches_and_goes_on_from_its_record() -> None:
    rows = number_rows(9, 4000, head=2, pin=0.12)
    whole = ModelJudge(POLICY)
    whole.fold(batch(1, rows), LANE)
    half = ModelJudge(POLICY)
    half.fold(batch(1, rows[:1999]), LANE)
    half = ModelJudge(POLICY, half.record())
    half.fold(batch(2, rows[1999:]), LANE)
    assert whole.lane_evidence().findings.certified
    assert packed(half.record().lane) == packed(whole.record().lane)  # type: ignore[arg-type]
    assert (half.record().loss, half.lane_evidence().harm_budget) == (Loss.SQUARED, 3.0)


def test_with_another_loss_a_judge_begins_anew() -> None:
    judge = ModelJudge(POLICY)
    judge.fold(batch(1, number_rows(9, 2000, head=2), Loss.LOG), LANE)
    judge.fold(batch(2, number_rows(9, 2000, head=2)), LANE)
    fresh = ModelJudge(POLICY, JudgeRecord(batches=1))
    fresh.fold(batch(2, number_rows(9, 2000, head=2)), LANE)
    assert judge.record() == fresh.record()


@pytest.mark.parametrize("changes", [{"margin_share": 0.0}, {"margin_share": 1.5}])
def test_senseless_shares_are_refused(changes: dict[str, float]) -> None:
    for policy in (LaneJudgePolicy(), StructuralPolicy()):
        with pytest.raises(ValueError, match="margin_share"):
            replace(policy, **changes)  # type: ignore[type-var]
