"""Learning rates are functions of the step, or of the losses so far."""

import doctest
import math
from collections.abc import Callable

import pytest

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.learn.optimizers import PlateauState, Rate, rates
from trainer_svc.optimizers.learning_rate import LearningRate


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        (ml.StepDecay(1.0, every=10, factor=0.5), {0: 1.0, 9: 1.0, 10: 0.5, 25: 0.25}),
        (ml.Exponential(1.0, factor=0.25, every=10), {0: 1.0, 5: 0.5, 10: 0.25}),
        (ml.Exponential(1.0, factor=0.5, floor=0.3), {0: 1.0, 1: 0.5, 2: 0.3, 10**6: 0.3}),
        (ml.Cosine(1.0, steps=10, floor=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 99: 0.2}),
        (ml.WarmUp(4, then=1.0), {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0}),
        (ml.WarmUp(2, then=ml.StepDecay(1.0, every=3, factor=0.1)), {0: 0.5, 2: 1.0, 3: 0.1}),
    ],
)
def test_schedules(schedule: ml.Schedule, at: dict[int, float]) -> None:
    assert [schedule.at(step) for step in at] == pytest.approx(list(at.values()))


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(rates).failed == 0


def run(rate: ml.OnPlateau, losses: list[float]) -> list[PlateauState]:
    states = [PlateauState()]
    for loss in losses:
        states.append(rate.observe(states[-1], loss))
    return states


def test_the_rate_falls_when_the_loss_stays() -> None:
    rate = ml.OnPlateau(0.1, factor=0.5, patience=2, window=2, floor=0.2)
    falling = [1.0, 0.9, 0.8, 0.7]  # two evaluations, 0.95 and 0.75
    assert run(rate, falling)[-1] == PlateauState(best=0.75)
    flat = [0.75, 0.75]
    scales = [state.scale for state in run(rate, falling + flat * 8)]
    assert scales[: 5 + 3] == [1.0] * 8  # one evaluation is not enough
    assert scales[8] == 0.5
    assert scales[12] == 0.25
    assert scales[-1] == 0.2


def test_a_better_evaluation_forgives() -> None:
    rate = ml.OnPlateau(0.1, patience=2, window=1, gain=0.1)
    states = run(rate, [1.0, 1.0, 0.95, 0.8])
    assert [state.worse for state in states] == [0, 0, 1, 0, 0]
    assert states[3].scale == 0.5  # 0.95 is no tenth better than 1
    assert run(rate, [1.0, 1.0, 0.8, 0.8])[-1].scale == 1.0


def test_losses_that_are_none_count_for_nothing() -> None:
    rate = ml.OnPlateau(0.1, window=1)
    assert run(rate, [1.0, math.nan, math.inf])[-1] == PlateauState(best=1.0)


@pytest.mark.parametrize("rate", [0.1, ml.StepDecay(0.1, 3), ml.OnPlateau(ml.WarmUp(5, 0.1), patience=1, window=2)])
def test_a_restored_rate_goes_on(rate: Rate) -> None:
    one, other = LearningRate(rate), LearningRate(rate)
    for step in range(9):
        one.advance(1.0 - step % 2)
    other.restore(one.state())
    for _ in range(9):
        assert one.current == other.current
        one.advance(0.5)
        other.advance(0.5)
    assert one.steps == 18


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ml.StepDecay(0.0, 5), "StepDecay: rate must be positive"),
        (lambda: ml.Cosine(0.1, 0, 0.01), "Cosine: steps must be positive"),
        (lambda: ml.OnPlateau(0.1, factor=1.5), "OnPlateau: factor must be below 1"),
        (lambda: ml.WarmUp(3, ml.OnPlateau(0.1)), "OnPlateau stands outside"),  # type: ignore[arg-type]
        (lambda: ml.SGD("fast"), "SGD: rate must be a number or a schedule, not 'fast'"),  # type: ignore[arg-type]
        (lambda: ml.SGD(-1.0), "SGD: rate must be positive"),
        (lambda: ml.SGD(math.nan), "SGD: rate must be positive"),
        (lambda: ml.SGD(0.1, l2=-1), "SGD: l2 must not be negative"),
        (lambda: ml.Momentum(momentum=1.0), r"Momentum: momentum must be in \[0, 1\)"),
        (lambda: ml.Adam(beta2=1.0), r"Adam: beta2 must be in \[0, 1\)"),
        (lambda: ml.RMSProp(decay=-0.1), "RMSProp: decay"),
        (lambda: ml.FTRL(ml.StepDecay(0.1, 5)), "FTRL: rate"),  # type: ignore[arg-type]
        (lambda: ml.RowFTRL(beta=0), "RowFTRL: beta must be positive"),
        (lambda: ml.LazyAdam(epsilon=0), "LazyAdam: epsilon must be positive"),
        (lambda: ml.ClipNorm(0), "ClipNorm: limit must be positive"),
        (lambda: ml.ClipValue(-1), "ClipValue: limit must be positive"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
