"""The watched stream: every watcher gets the newest full set, a slow one skips what is out of date."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from martlet.versions import AspiredSet


class AspiredVersions:
    """Hands the newest set to all watchers. Lives on one event loop; `publish` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, first: AspiredSet) -> None:
        self._loop = loop
        self._newest = first
        self._changed = asyncio.Event()

    def publish(self, aspired: AspiredSet) -> None:
        """A new set is in force."""
        self._loop.call_soon_threadsafe(self._replace, aspired)

    async def watch(self, models: Sequence[str]) -> AsyncIterator[AspiredSet]:
        """The set at once, after each change, and again within each lease."""
        while True:
            changed = self._changed
            newest = self._newest
            yield AspiredSet(
                tuple(model for model in newest.models if not models or model.model in models), newest.lease_ms
            )
            try:
                await asyncio.wait_for(changed.wait(), newest.lease_ms / 3000)
            except TimeoutError:
                continue

    def _replace(self, aspired: AspiredSet) -> None:
        self._newest = aspired
        self._changed.set()
        self._changed = asyncio.Event()
