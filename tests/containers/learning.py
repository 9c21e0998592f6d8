"""Waiting until a trainer has learned what it was told."""

import asyncio

from martlet.client.trainer import TrainerClient


async def learned(trainer: TrainerClient, outcomes: int, seconds: float = 60.0) -> int:
    """How many examples it has learned, as soon as that is at least one for each outcome.

    Raises:
        TimeoutError: it was not, in this time.
    """
    async with asyncio.timeout(seconds):
        while (examples := (await trainer.status()).learned) < outcomes:  # noqa: ASYNC110  another process learns
            await asyncio.sleep(0.1)
    return examples
