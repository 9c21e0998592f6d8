"""Two registries on one catalog behind one name: whoever is asked, what only the leader can do, the leader does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.errors import Unavailable
from martlet.manifest import encode_manifest
from martlet.runtime.server import Server
from martlet.versions import CatalogState, ServableStatus, VersionState
from registry_svc.app import running
from tests.integration.registry_stage import config_in
from tests.unit.registry.samples import SmallVersions

HELD = ServableStatus("shop", 1, "a", VersionState.READY)


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[list[Server]]:
    """The first one leads: it was there first."""
    config = config_in(tmp_path)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running(replace(config, registry=replace(config.registry, name=name))))
            for name in ("a", "b")
        ]


@pytest.fixture
async def client(registries: list[Server]) -> AsyncIterator[RegistryClient]:
    """As behind a headless service: the name leads to both, to the one that does not lead first."""
    places = ",".join(f"127.0.0.1:{registry.grpc_port}" for registry in reversed(registries))
    client = RegistryClient(f"ipv4:{places}", policy=CallPolicy(timeout=30.0, tries=8, backoff=0.01))
    yield client
    await client.close()


async def test_every_version_is_taken(client: RegistryClient, tmp_path: Path) -> None:
    trainer = SmallVersions(FolderStore(config_in(tmp_path).artifact_dir))
    for number in range(1, 9):
        manifest = trainer.newest if number == 1 else trainer.delta()
        record = await client.publish(encode_manifest(manifest))
        assert record.version == number
        assert record.state is not CatalogState.REJECTED
        trainer.newest = manifest


async def test_the_leader_hears_every_report(client: RegistryClient, registries: list[Server]) -> None:
    for number in range(6):
        await client.report_replica(f"serving-{number}", [HELD])
    leader, follower = [await asyncio.to_thread(_heard, registry) for registry in registries]
    assert (leader, follower) == (6.0, 0.0)


async def test_who_does_not_lead_says_so(registries: list[Server]) -> None:
    follower = RegistryClient(f"127.0.0.1:{registries[1].grpc_port}", policy=CallPolicy(timeout=10.0, tries=1))
    with pytest.raises(Unavailable, match="another registry leads"):
        await follower.report_replica("serving-0", [HELD])
    await follower.lineage("shop")  # what stands, it tells
    await follower.close()


def _heard(registry: Server) -> float:
    """How many replicas a registry hears; the gauge follows a quarter of a second later at most."""
    counted = 0.0
    for _ in range(40):
        with urlopen(f"http://127.0.0.1:{registry.metrics_port}/metrics") as page:
            lines = page.read().decode().splitlines()
        (counted,) = (float(line.split()[1]) for line in lines if line.startswith("martlet_registry_replicas "))
        if counted:
            return counted
        time.sleep(0.05)
    return counted
