"""The choice is pure and explains itself; nothing begins that the budget or the schedule does not allow."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from martlet.runtime.strategy_config import StrategyConfig
from trainer_svc.strategies.choice import HOUR_US, Situation, choose, is_due

AUTO = StrategyConfig("auto", every_hours=1.0, least_examples=100, drift_nats=0.02, budget_share=0.5)
CALM = Situation(10 * HOUR_US, 8 * HOUR_US, 5_000, 400, 1_000, recent_loss=0.60, usual_loss=0.60)

LOSSES = st.floats(0.1, 1.0) | st.just(math.nan)
SITUATIONS = st.builds(
    Situation,
    event_time_us=st.integers(0, 100 * HOUR_US),
    last_run_us=st.integers(0, 100 * HOUR_US),
    log_examples=st.integers(0, 10_000),
    window_examples=st.integers(0, 10_000),
    new_examples=st.integers(0, 10_000),
    recent_loss=LOSSES,
    usual_loss=LOSSES,
    under_way=st.booleans(),
    changed_model=st.booleans(),
    tuned=st.booleans(),
)


@given(SITUATIONS)
def test_auto_spends_no_more_than_its_budget_and_says_why(situation: Situation) -> None:
    choice = choose(situation, AUTO)
    assert choice.reason
    if choice.strategy == "fine_tune":
        assert situation.window_examples <= AUTO.budget_share * situation.new_examples
        assert situation.recent_loss - situation.usual_loss > AUTO.drift_nats
    if choice.strategy == "full_retrain":
        assert situation.tuned
        assert situation.log_examples <= AUTO.retrain_share * situation.new_examples
        assert situation.recent_loss - situation.usual_loss > AUTO.drift_nats
        assert "has not ended it" in choice.reason
    assert choice.strategy != "auto"


@given(SITUATIONS)
def test_nothing_is_due_while_a_run_is_under_way_or_before_anything_was_read(situation: Situation) -> None:
    busy = replace(situation, under_way=True)
    assert not is_due(busy, AUTO)
    assert not is_due(replace(situation, event_time_us=0), AUTO)


@given(SITUATIONS)
def test_a_named_strategy_is_taken_as_it_is(situation: Situation) -> None:
    assert choose(situation, replace(AUTO, name="full_retrain")).strategy == "full_retrain"


def test_the_schedule_is_in_event_time() -> None:
    assert is_due(CALM, AUTO)
    assert not is_due(replace(CALM, last_run_us=CALM.event_time_us - HOUR_US + 1), AUTO)
    assert not is_due(CALM, replace(AUTO, every_hours=0.0))
    assert is_due(replace(CALM, changed_model=True), StrategyConfig())


def test_calm_little_and_drift() -> None:
    assert choose(CALM, AUTO).strategy == "incremental"
    drifted = replace(CALM, recent_loss=0.65)
    assert choose(drifted, AUTO).strategy == "fine_tune"
    assert choose(replace(drifted, new_examples=99), AUTO).strategy == "incremental"
    assert choose(replace(drifted, window_examples=501), AUTO).strategy == "incremental"
    persisting = replace(drifted, tuned=True)
    assert choose(persisting, replace(AUTO, retrain_share=5.0)).strategy == "full_retrain"
    assert choose(persisting, AUTO).strategy == "fine_tune", "the log does not fit"
    later = replace(persisting, event_time_us=persisting.event_time_us + HOUR_US)
    assert choose(later, replace(AUTO, retrain_share=5.0)).strategy == "fine_tune", "another drift"
    assert choose(replace(CALM, tuned=True), replace(AUTO, retrain_share=5.0)).strategy == "incremental"
    assert choose(replace(CALM, changed_model=True), AUTO).strategy == "transfer"
