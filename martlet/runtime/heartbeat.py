"""Whether an event loop still turns, asked from another thread: a liveness probe must not wait for the loop."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

BEAT_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 30.0  # far beyond any pause that a loaded process makes


class Heartbeat:
    """Beats on an event loop; `alive` may be asked from any thread.

    >>> now = 100.0
    >>> heart = Heartbeat(lambda: now)
    >>> heart.beat()
    >>> now = 131.0
    >>> heart.alive()
    False

    Args:
        monotonic: seconds.
        patience: so many seconds after the last beat it still counts as alive.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, patience: float = PATIENCE_SECONDS) -> None:
        self._monotonic = monotonic
        self._patience = patience
        self._beaten = monotonic()

    def alive(self) -> bool:
        """Whether the last beat is not too long ago."""
        return self._monotonic() - self._beaten <= self._patience

    def beat(self) -> None:
        """The loop turns now."""
        self._beaten = self._monotonic()

    async def run(self) -> None:
        """Beats until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)
