"""From a call's remaining time to a deadline on this process's clock."""

from typing import Protocol

from martlet.clock import Clock


class Remaining(Protocol):
    """The part of a call's context that knows its deadline."""

    def time_remaining(self) -> float | None:
        """Seconds left, or None without a deadline."""
        ...


def deadline_of(context: Remaining, clock: Clock) -> float | None:
    """Monotonic seconds, or None without a deadline."""
    remaining = context.time_remaining()
    return None if remaining is None else clock.monotonic() + remaining
