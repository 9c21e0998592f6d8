"""Ages, shares and bars."""

import pytest

from martlet.tables import age, bar, share_text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-1.0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (86_399, "23h"), (200_000, "2d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told


@pytest.mark.parametrize(("weight", "told"), [(9000, "90 %"), (125, "1.25 %"), (10_000, "100 %"), (1, "0.01 %")])
def test_a_share_is_told_in_percent(weight: int, told: str) -> None:
    assert share_text(weight) == told


@pytest.mark.parametrize(
    ("part", "drawn"),
    [
        (0.5, "██░░"),
        (0.0, "░░░░"),
        (1.0, "████"),
        (1e-6, "█░░░"),
        (0.999, "███░"),
        (-3.0, "░░░░"),
        (9.0, "████"),
        (float("-inf"), "░░░░"),
        (float("nan"), "░░░░"),
    ],
)
def test_a_bar_ends_where_its_part_does(part: float, drawn: str) -> None:
    assert bar(part, 4, "red").plain == drawn
