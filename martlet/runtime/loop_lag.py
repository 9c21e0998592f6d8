"""How long an event loop is held up: what every call in the process waits beside its own work."""

import asyncio
from collections import deque
from typing import Final

TICK_SECONDS: Final = 0.1
REMEMBERED_TICKS: Final = 150  # 15 s: a scrape every 15 s misses none


class LoopLag:
    """Sleeps again and again, and remembers by how much it overslept. `worst` may be read from any thread."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=REMEMBERED_TICKS)

    @property
    def worst(self) -> float:
        """The longest in the last seconds, in seconds."""
        return max(self._late.copy(), default=0.0)

    async def run(self) -> None:
        """Measures until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._late.append(max(0.0, loop.time() - due))
