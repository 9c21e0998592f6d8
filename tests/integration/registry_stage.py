"""A real registry on a free port, its client, and a trainer that builds small real versions."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.manifest import Manifest, encode_manifest
from martlet.runtime.config import Config, RegistryConfig
from martlet.versions import AspiredSet, CatalogState, VersionRecord
from registry_svc.app import running
from tests.unit.registry.samples import SmallVersions

LEASE_MS = 60_000  # so long that what arrives in time was sent for its own sake


class Stage:
    """What a test acts with."""

    def __init__(self, config: Config, address: str) -> None:
        self.config = config
        self.address = address
        self.client = RegistryClient(address, policy=CallPolicy(timeout=10, tries=1))
        self.trainer = SmallVersions(FolderStore(config.artifact_dir))

    async def publish(self, manifest: Manifest) -> VersionRecord:
        """Offers a version; if it is taken, the next delta builds on it."""
        record = await self.client.publish(encode_manifest(manifest))
        if record.state is not CatalogState.REJECTED:
            self.trainer.newest = manifest
        return record


def config_in(root: Path, lease_ms: int = LEASE_MS, quality: str = "health") -> Config:
    """Settings that let tests see things happen soon. By health, pins move after five answers."""
    registry = RegistryConfig(
        grpc_port=0,
        metrics_port=0,
        lease_ms=lease_ms,
        quality=quality,
        pin_min_seconds=0.0,
        pin_min_requests=5,
        max_versions_listed=3,
    )
    return Config(data_dir=root, registry=registry)


@asynccontextmanager
async def stage_in(root: Path, lease_ms: int = LEASE_MS, quality: str = "health") -> AsyncIterator[Stage]:
    """A registry on what the folder holds."""
    config = config_in(root, lease_ms, quality)
    async with running(config) as server:
        stage = Stage(config, f"127.0.0.1:{server.grpc_port}")
        yield stage
        await stage.client.close()


async def next_set(watch: AsyncGenerator[AspiredSet, None]) -> AspiredSet:
    """The stream's next set, soon."""
    return await asyncio.wait_for(anext(watch), 5)


async def until_head(watch: AsyncGenerator[AspiredSet, None], version: int) -> AspiredSet:
    """The first set whose newest version is this one."""
    while True:
        aspired = await next_set(watch)
        if aspired.models and aspired.models[0].versions[0].version == version:
            return aspired
