"""Time is passed in, never read from a global."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for intervals and leases."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    """The machine's clocks. Thread-safe."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move: for tests and replays. Not thread-safe."""

    def __init__(self, now_us: int = 0) -> None:
        self._now_us = now_us
        self._monotonic_us = 0

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, as set."""
        return self._now_us

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic_us / 1e6

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward."""
        self._now_us += round(seconds * 1e6)
        self._monotonic_us += round(seconds * 1e6)
