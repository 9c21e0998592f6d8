"""Errors of the judges stay where they promise when users cluster and one looks after every label."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.judge.number_world import deviation_at_margin, number_rows
from martlet.events import Arm
from martlet.evidence import EvidenceRow
from registry_svc.evidence.criterion import LOG_LOSS, Criterion, SquaredError
from registry_svc.evidence.lane_judge import LaneJudge, LaneJudgePolicy
from registry_svc.evidence.lane_state import packed
from registry_svc.evidence.structural_judge import StructuralJudge, StructuralPolicy
from registry_svc.evidence.units import Unit

SESSION = 10


def session_means(rng: np.random.Generator, sessions: int, mean: float) -> npt.NDArray[np.float64]:
    """Loss differences whose variance is half the session's own, as block means with the given mean exactly."""
    return mean + 0.1 * (
        np.sqrt(0.5) * rng.standard_normal(sessions) + np.sqrt(0.5 / SESSION) * rng.standard_normal(sessions)
    )


def test_exactly_at_the_margin_neither_process_errs_more_often_than_it_may() -> None:
    policy, rng = StructuralPolicy(), np.random.default_rng(1)
    condemned = certified = 0
    for _ in range(300):
        rollback, promotion = policy.rollback(1.0), policy.promotion(1.0)
        for value in session_means(rng, 400, policy.margin):
            unit = Unit(float(value), 0.5)
            rollback.update(unit)
            promotion.update(unit)
        condemned += rollback.process.crossed
        certified += promotion.process.crossed
    assert condemned / 300 <= policy.rollback_level + 0.01
    assert certified / 300 <= policy.promotion_level + 0.02


def test_the_watch_alarms_falsely_less_than_once_in_so_many_labels() -> None:
    policy, rng = LaneJudgePolicy(labels_to_false_alarm=2000.0), np.random.default_rng(2)
    alarms = labels = 0
    for _ in range(40):
        watch = policy.watch()
        for value in session_means(rng, 400, policy.margin):
            labels += policy.block_labels
            if watch.update(Unit(float(value), 1.0)):
                alarms += 1
                watch.detector.reset()
    assert alarms <= labels / policy.labels_to_false_alarm


@pytest.mark.parametrize("weight", [0, 500, 5000])
def test_equal_versions_are_not_condemned(weight: int) -> None:
    condemned = 0
    for seed in range(12):
        judge = StructuralJudge(StructuralPolicy())
        judge.compare(version=2, pin=1, phase="canary")
        judge.fold(equal_rows(seed, 3000, weight))
        condemned += judge.findings().worse != ""
    assert condemned == 0


def equal_rows(seed: int, count: int, weight: int) -> list[EvidenceRow]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1.6, 0.9, count)
    errors = 0.2 * np.repeat(rng.standard_normal((2, count // SESSION)), SESSION, axis=1)
    errors += 0.2 * rng.standard_normal((2, count))
    labels = rng.random(count) < 1 / (1 + np.exp(-truth))
    return [
        EvidenceRow(
            user=i // SESSION,
            time_us=i * 60_000_000,
            epoch=0,
            arm=Arm.CANARY if (i // SESSION * 7919) % 10_000 < weight else Arm.PIN,
            weight=weight,
            version=1,
            head=0,
            label=float(labels[i]),
            logits={1: float(truth[i] + errors[0, i]), 2: float(truth[i] + errors[1, i])},
        )
        for i in range(count)
    ]


def test_at_the_margin_of_squared_error_neither_verdict_errs_more_often_than_it_may() -> None:
    """Exactly at the share of the pin's squared error that is allowed; users cluster, a look after every label."""
    policy, criterion = StructuralPolicy(min_labels=1).for_numbers(), SquaredError()
    at_margin, runs = deviation_at_margin(0.05, criterion.share), 100
    condemned = certified = 0
    for seed in range(runs):
        judge = StructuralJudge(policy, criterion=criterion)
        judge.compare(version=2, pin=1, phase="shadow")
        judge.fold(number_rows(seed, 1200, version=at_margin))
        condemned += judge.findings().worse != ""
        certified += judge.findings().certified
    assert condemned / runs <= policy.rollback_level + 0.01
    assert certified / runs <= policy.promotion_level + 0.03


SCORES = st.floats(allow_nan=True, allow_infinity=True, width=32)
ROWS = st.lists(
    st.builds(
        EvidenceRow,
        user=st.integers(0, 2**64 - 1) | st.integers(0, 3),
        time_us=st.integers(0, 10**16),
        epoch=st.integers(0, 1),
        arm=st.sampled_from([None, *Arm]),
        weight=st.integers(0, 10_000),
        version=st.integers(1, 3),
        head=st.integers(0, 3),
        label=st.sampled_from([0.0, 1.0]) | SCORES,
        logits=st.dictionaries(st.integers(1, 3), SCORES),
    ),
    max_size=40,
)
MOVES = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(moves=MOVES, rows=ROWS, pair_arms=st.booleans(), criterion=st.sampled_from([LOG_LOSS, SquaredError()]))
def test_whatever_comes_a_lane_judge_answers_and_resumes_bit_for_bit(
    moves: list[tuple[int, int, int]],
    rows: list[EvidenceRow],
    pair_arms: bool,  # noqa: FBT001
    criterion: Criterion,
) -> None:
    policy = LaneJudgePolicy(block_labels=2, pair_arms=pair_arms, open_blocks=2)
    policy = policy if criterion is LOG_LOSS else policy.for_numbers()
    whole, resumed = LaneJudge(policy, criterion=criterion), LaneJudge(policy, criterion=criterion)
    for epoch, pin, candidate in moves:
        for judge in (whole, resumed):
            judge.compare(epoch=epoch, pin=pin, candidate=candidate, alarms=0)
        whole.fold(rows)
        for row in rows:
            resumed = LaneJudge(policy, resumed.state(), criterion)
            resumed.fold([row])
        assert packed(whole.state()) == packed(resumed.state())
        assert all(np.isfinite([path.mean, path.log_evidence]).all() for path in whole.findings().paths)
