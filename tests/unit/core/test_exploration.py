"""What exploration may be asked for."""

import pytest

from martlet.errors import InvalidInput
from martlet.exploration import BEST_FIRST, Exploration


def test_it_is_off_unless_asked_for() -> None:
    assert not BEST_FIRST.on
    assert Exploration(epsilon=0.1).on
    assert Exploration(temperature=0.1).on


@pytest.mark.parametrize(
    ("epsilon", "temperature", "message"),
    [
        (-0.1, 0.0, "epsilon must be from 0 to 1"),
        (1.1, 0.0, "epsilon must be from 0 to 1"),
        (float("nan"), 0.0, "epsilon must be from 0 to 1"),
        (0.0, -1.0, "temperature must be above 0"),
        (0.0, float("inf"), "temperature must be above 0"),
        (0.0, float("nan"), "temperature must be above 0"),
        (0.5, 0.5, "not both"),
    ],
)
def test_nonsense_is_refused(epsilon: float, temperature: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Exploration(epsilon, temperature)
