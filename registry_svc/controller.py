"""The hand that looks after the lanes: asks the registry to tend them, again and again."""

import asyncio
import contextlib
import logging
from concurrent.futures import Executor

from martlet.errors import MartletError
from registry_svc.registry import Registry

logger = logging.getLogger(__name__)


class Controller:
    """Tends all lanes every `interval` seconds, in the registry's thread. An error is logged; the next round comes."""

    def __init__(self, registry: Registry, thread: Executor, interval: float) -> None:
        self._registry = registry
        self._thread = thread
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends after the round in progress."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval)
            try:
                await loop.run_in_executor(self._thread, self._registry.tend)
            except MartletError:
                logger.exception("a round of tending failed")
