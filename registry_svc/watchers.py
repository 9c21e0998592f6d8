"""The watched stream: every watcher gets the newest full set, a slow one skips what is out of date."""

import asyncio
from collections.abc import AsyncIterator, Collection

from martlet.errors import NotReady
from martlet.versions import AspiredSet

SENDS_PER_LEASE = 3


class Watchers:
    """Hands the newest set to all watchers. Lives on one event loop; `publish` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, first: AspiredSet) -> None:
        self._loop = loop
        self._newest = first
        self._changed = asyncio.Event()
        self._closed = False

    def publish(self, aspired: AspiredSet) -> None:
        """A new set is in force."""
        self._loop.call_soon_threadsafe(self._replace, aspired)

    def close(self) -> None:
        """Ends every watch. On the event loop."""
        self._closed = True
        self._changed.set()

    async def watch(self, models: Collection[str]) -> AsyncIterator[AspiredSet]:
        """The set at once, after each change, and again thrice within each lease. No names: all models.

        Raises:
            NotReady: the registry drains.
        """
        while not self._closed:
            # Both are taken before the send: a change while a slow watcher is being sent to is not slept over.
            changed, newest = self._changed, self._newest
            yield AspiredSet(
                tuple(model for model in newest.models if not models or model.model in models), newest.lease_ms
            )
            try:
                await asyncio.wait_for(changed.wait(), newest.lease_ms / 1000 / SENDS_PER_LEASE)
            except TimeoutError:
                continue
        raise NotReady("the registry drains")

    def _replace(self, aspired: AspiredSet) -> None:
        self._newest = aspired
        self._changed.set()
        if not self._closed:
            self._changed = asyncio.Event()
