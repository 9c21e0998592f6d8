"""The beat: one round of tending after another."""

import asyncio
import logging
from concurrent.futures import Executor

from registry_svc.controller import Controller
from registry_svc.metrics import RegistryMetrics

logger = logging.getLogger(__name__)


async def tend_forever(
    controller: Controller, catalog_thread: Executor, interval_seconds: float, metrics: RegistryMetrics
) -> None:
    """Tends until cancelled. A round that fails is logged and counted; the next one comes."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(catalog_thread, controller.tend)
        except Exception:  # whatever it is, replicas must not be left to themselves
            logger.exception("a round of tending failed")
            metrics.tending_failed.inc()
        await asyncio.sleep(interval_seconds)
