"""Which events make no sense. Pure: the event and the time of the step in, the reason out."""

import math
from typing import Final

from martlet.events import Outcome

# Clocks of machines differ a little; an event from farther ahead would drive event time, and close windows, wrongly.
MAX_AHEAD_US: Final = 3_600_000_000


def fault_of_time(time_us: int, now_us: int) -> str:
    """Why an event's time is not believed, or "".

    >>> fault_of_time(5, now_us=10)
    ''
    """
    if time_us <= 0:
        return "no event time"
    if time_us > now_us + MAX_AHEAD_US:
        return "event time lies in the future"
    return ""


def fault_of_outcome(outcome: Outcome, now_us: int) -> str:
    """Why an outcome cannot be used, or ""."""
    if not outcome.prediction_id:
        return "no prediction_id"
    if not outcome.type:
        return "no type"
    if not math.isfinite(outcome.value):
        return "value is not finite"
    return fault_of_time(outcome.time_us, now_us)
