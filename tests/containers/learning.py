"""Waiting for what services in containers come to by themselves."""

import asyncio
from typing import Final

from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.manifest import decode_manifest
from martlet.versions import VersionState

SECONDS: Final = 90.0
POLL_SECONDS: Final = 0.1


async def serves(serving: ServingClient, replicas: int = 1) -> None:
    """Returns when a version is ready, on as many replicas as answer in turns behind this client.

    Raises:
        TimeoutError: none became ready.
    """
    in_a_row = 0
    async with asyncio.timeout(SECONDS):
        while in_a_row < 2 * replicas:
            ready = await _ready(serving)
            in_a_row = in_a_row + 1 if ready else 0
            await asyncio.sleep(0 if ready else POLL_SECONDS)


async def _ready(serving: ServingClient) -> bool:
    try:
        return any(status.state is VersionState.READY for status in await serving.status())
    except MartletError:  # a proxy that has not read its own settings yet says that there is no such method
        return False


async def learned(trainer: TrainerClient, outcomes: int) -> int:
    """How many examples it has learned, as soon as that is at least one for each outcome.

    Raises:
        TimeoutError: it never was.
    """
    async with asyncio.timeout(SECONDS):
        while (examples := (await trainer.status()).learned) < outcomes:  # noqa: ASYNC110  another process learns
            await asyncio.sleep(POLL_SECONDS)
    return examples


async def published(registry: RegistryClient, model: str) -> int:
    """How many examples the head of the model's lineage was made of."""
    head = await registry.version(model, (await registry.lineage(model)).head_version)
    return decode_manifest(head.manifest).learned.examples
