"""The beat: one round of tending after another."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from martlet.errors import Unavailable
from registry_svc.metrics import RegistryMetrics

logger = logging.getLogger(__name__)


async def tend_forever(
    rounds: Sequence[Callable[[], None]], catalog_thread: Executor, interval_seconds: float, metrics: RegistryMetrics
) -> None:
    """Tends until cancelled, all rounds one after another. One that fails is logged and counted; the next comes."""
    loop = asyncio.get_running_loop()
    while True:
        for tend in rounds:
            try:
                await loop.run_in_executor(catalog_thread, tend)
            except Unavailable as error:  # the database is away; a line each time is enough
                logger.warning("a round of tending failed: %s", error)
                metrics.tending_failed.inc()
            except Exception:  # whatever it is, replicas must not be left to themselves
                logger.exception("a round of tending failed")
                metrics.tending_failed.inc()
        await asyncio.sleep(interval_seconds)
