"""Hours by a zone's clocks."""

import pytest

from martlet.errors import InvalidInput
from martlet.local_time import local_context

SPRING = 1_711_846_800_000_000  # 2024-03-31 01:00 UTC, a Sunday: clocks in Warsaw go from 2 to 3


def test_clocks_that_are_put_forward() -> None:
    assert local_context(SPRING - 1_000_000, "Europe/Warsaw") == {"hour": 1, "weekday": 6}
    assert local_context(SPRING, "Europe/Warsaw") == {"hour": 3, "weekday": 6}
    assert local_context(SPRING, "America/Los_Angeles") == {"hour": 18, "weekday": 5}
    assert local_context(SPRING, "UTC") == {"hour": 1, "weekday": 6}


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        local_context(SPRING, zone)
