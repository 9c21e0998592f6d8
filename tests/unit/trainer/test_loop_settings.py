"""How much one step takes."""

from trainer_svc.loop_settings import MOST_WEIGHT, STEP_SECONDS, StepWeight


def test_a_step_grows_to_what_is_learned_in_its_time_and_no_faster_than_twofold() -> None:
    weight = StepWeight(1000)
    weight.observe(1000, STEP_SECONDS / 10)
    assert weight.value == 2000
    for _ in range(10):
        weight.observe(weight.value, weight.value / 1e6)
    assert abs(weight.value - 1e6 * STEP_SECONDS) < 0.2 * weight.value
    weight.observe(weight.value, 1e-9)
    assert weight.value == MOST_WEIGHT
    weight.observe(weight.value, 100.0)
    assert weight.value == 1000


def test_a_step_without_examples_says_nothing_and_no_weight_stays_none() -> None:
    weight, none = StepWeight(1000), StepWeight(0)
    weight.observe(0, 1.0)
    none.observe(5, 1.0)
    assert (weight.value, none.value) == (1000, 0)
