"""Importance weights against the expectations they are made for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.learn.labels import FNC, FNW, Importance, Insertion, Reading, TaskRule, importance_of

METHODS = {"fnw": FNW(), "fnc": FNC()}
probabilities = st.floats(0.001, 0.999)


def weights(importance: Importance, model: float, label: float, insertion: Insertion, late: float) -> float:
    logit = np.array([np.log(model / (1 - model))], np.float32)
    kinds = np.array([insertion], np.uint8)
    return float(importance(logit, np.array([label], np.float32), kinds, np.array([late], np.float32))[0])


def rule(delayed: FNW | FNC | None = None, takes_back: str = "") -> TaskRule:
    reading = (Reading("click"),)
    return TaskRule(10, reading, takes_back=takes_back) if delayed is None else TaskRule(10, reading, delayed=delayed)


def expected_gradient(importance: Importance, truth: float, model: float, late: float, thought: float) -> float:
    """Of all insertions of one impression, by the logit. `late`: of positives; `thought`: what the weights go by."""
    positive = weights(importance, model, 1.0, Insertion.EARLY, thought) * (model - 1)
    again = weights(importance, model, 1.0, Insertion.LATE, thought) * (model - 1)
    negative = weights(importance, model, 0.0, Insertion.EARLY, thought) * model
    entries = 1 - truth + truth * late
    return truth * ((1 - late) * positive + late * again) + entries * negative


@pytest.mark.parametrize("method", METHODS)
@given(truth=probabilities, model=probabilities, late=st.floats(0.0, 1.0))
def test_the_gradient_leads_to_the_truth_from_both_sides(method: str, truth: float, model: float, late: float) -> None:
    importance = importance_of(rule(METHODS[method]))
    assert importance is not None
    assert expected_gradient(importance, truth, truth, late, late) == pytest.approx(0, abs=2e-6)
    if abs(model - truth) > 1e-3:
        assert np.sign(expected_gradient(importance, truth, model, late, late)) == np.sign(model - truth)


@given(truth=probabilities, late=st.floats(0.0, 1.0), thought=st.floats(0.0, 1.0))
def test_a_wrong_share_of_late_positives_counts_by_the_probability_only(
    truth: float, late: float, thought: float
) -> None:
    found = truth / (1 + truth * (late - thought))
    importance = importance_of(rule(FNW("1s")))
    assert importance is not None
    if 0.001 < found < 0.999:
        assert expected_gradient(importance, truth, found, late, thought) == pytest.approx(0, abs=1e-5)


@given(truth=probabilities, model=probabilities, late=st.floats(0.0, 1.0))
def test_the_weighted_loss_of_an_insertion_is_that_of_a_final_label(truth: float, model: float, late: float) -> None:
    """FNW with the true probability: the mean over insertions is the mean over impressions, whatever is fitted."""
    importance = importance_of(rule(FNW("1s")))
    assert importance is not None
    again = weights(importance, truth, 1.0, Insertion.LATE, late)
    negative = weights(importance, truth, 0.0, Insertion.EARLY, late)
    entries = 1 - truth + truth * late
    loss = truth * again * -np.log(model) + entries * negative * -np.log(1 - model)
    oracle = -truth * np.log(model) - (1 - truth) * np.log(1 - model)
    assert loss / (entries + truth) == pytest.approx(oracle, rel=1e-4)


@given(probability=probabilities)
def test_without_a_wait_they_are_the_papers(probability: float) -> None:
    p = probability
    for method, positive, negative in (
        (FNW(), 1 + p, (1 - p) * (1 + p)),
        (FNC(), 1 / (1 + p), (1 - p) / (1 + p)),
    ):
        importance = importance_of(rule(method))
        assert importance is not None
        assert weights(importance, p, 1.0, Insertion.LATE, 1.0) == pytest.approx(positive, rel=1e-5)
        assert weights(importance, p, 0.0, Insertion.EARLY, 1.0) == pytest.approx(negative, rel=1e-4)
        assert weights(importance, p, 0.0, Insertion.PLAIN, 1.0) == 1


@given(probability=probabilities)
def test_taking_back_undoes_the_gradient_of_the_positive_and_adds_that_of_a_negative(probability: float) -> None:
    importance = importance_of(rule(takes_back="return"))
    assert importance is not None
    again = weights(importance, probability, 0.0, Insertion.TAKEN_BACK, 1.0) * probability
    assert (probability - 1) + again == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize("logit", [-1e30, -100.0, 0.0, 100.0, 1e30])
@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("kind", Insertion)
@pytest.mark.parametrize("late", [0.0, 1.0])
def test_weights_are_finite_and_not_negative(logit: float, label: float, kind: Insertion, late: float) -> None:
    for one in (rule(FNW()), rule(FNC()), rule(takes_back="return")):
        importance = importance_of(one)
        assert importance is not None
        found = importance(*(np.array([v], np.float32) for v in (logit, label)), np.array([kind], np.uint8),
                           np.array([late], np.float32))  # fmt: skip
        assert np.isfinite(found).all()
        assert (found >= 0).all()


def test_final_labels_count_as_they_are() -> None:
    assert importance_of(rule()) is None
