"""Today's clients, replicas and trainers before a registry of another release, played by what it would let through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.clock import SystemClock
from martlet.errors import MartletError
from martlet.evidence import EvidenceBatch
from martlet.measurement import Measurement, MeasurementBatch
from martlet.versions import AspiredModel, CatalogState, Role, ServableStatus, VersionState
from serving_svc.source import RegistrySource
from tests.integration.registry_stage import Stage, stage_in
from tests.upgrade.wire_release import Between, Release

MODEL = "shop"
QUICK = CallPolicy(timeout=10, tries=1)
STATUSES = [ServableStatus(MODEL, 1, "d", VersionState.READY, "", 5, 0)]
MEASURED = MeasurementBatch("replica", 1, (Measurement(MODEL, 1, "auc", 1, 0.5, 0.25),))


@asynccontextmanager
async def registry_of(
    release: Release, root: Path, future_words: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Stage, str]]:
    """A registry with one version, and the address at which it plays a release."""
    async with stage_in(root) as stage:
        await stage.publish(stage.trainer.newest)
        between = await Between(release, stage.address, future_words).start()
        yield stage, between.address
        await between.stop()


async def first_set(address: str) -> AspiredModel:
    """What a replica takes from the watched stream."""
    seen: asyncio.Queue[AspiredModel] = asyncio.Queue()
    client = RegistryClient(address, policy=QUICK)
    source = RegistrySource(client, "r", SystemClock(), aspire=seen.put_nowait, synced=lambda: None)
    watching = asyncio.create_task(source.run())
    found = await asyncio.wait_for(seen.get(), 10)
    assert source.lease_open(MODEL)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await client.close()
    return found


async def test_an_older_registry_serves_todays_replicas_and_trainers(tmp_path: Path) -> None:
    """The contract of the last release lacks half of today's calls, and fields of the others."""
    async with registry_of(Release.last(), tmp_path) as (stage, address):
        aspired = await first_set(address)
        assert [(version.version, version.role) for version in aspired.versions] == [(1, Role.PIN)]
        client = RegistryClient(address, policy=QUICK)
        lineage = await client.lineage(MODEL)
        assert (lineage.pin_version, lineage.rewind, lineage.frozen) == (1, False, "")
        record = await client.publish((await stage.client.version(MODEL, 1)).manifest)
        assert (record.version, record.state) == (1, CatalogState.PINNED)
        assert len(await client.versions(MODEL)) == 1
        await client.report_replica("r", STATUSES)
        await client.report_measurements(MEASURED)
        with pytest.raises(MartletError, match="does not know this call: it is of an older release"):
            await client.report_evidence(EvidenceBatch("judge", 1, MODEL, (), 0.0, 0))
        with pytest.raises(MartletError, match="older release"):
            await RolloutClient(address, policy=QUICK).show(MODEL, 0)
        await client.close()


async def test_a_registry_that_lacks_what_came_since(tmp_path: Path) -> None:
    """Fields that an older registry does not send have the value that means: nothing of the kind."""
    older = Release.today().without(
        ["AcknowledgeRewind", "ExpireVersions"],
        {"GetLineageResponse": ["rewind", "frozen"], "AspiredVersion": ["shadow", "trace_parent"]},
    )
    async with registry_of(older, tmp_path) as (_, address):
        aspired = await first_set(address)
        assert [(version.shadow, version.trace) for version in aspired.versions] == [(False, "")]
        client = RegistryClient(address, policy=QUICK)
        assert (await client.lineage(MODEL)).rewind is False
        with pytest.raises(MartletError, match="older release"):
            await client.acknowledge_rewind(MODEL, 1, "d")
        await client.close()


async def test_a_newer_registry_is_understood(tmp_path: Path) -> None:
    """It fills fields that nobody here knows."""
    async with registry_of(Release.today().newer(), tmp_path) as (stage, address):
        aspired = await first_set(address)
        assert [version.version for version in aspired.versions] == [1]
        client = RegistryClient(address, policy=QUICK)
        record = await client.version(MODEL, 1)
        assert record == await stage.client.version(MODEL, 1)
        assert await client.lineage(MODEL) == await stage.client.lineage(MODEL)
        await client.report_replica("r", STATUSES)
        await client.close()


async def test_a_role_of_tomorrow_costs_no_lease(tmp_path: Path) -> None:
    """What a newer registry asks of a version here unknown is passed over, and the model's lease runs on."""
    async with registry_of(Release.today().newer(), tmp_path, ("Role",)) as (_, address):
        aspired = await first_set(address)
        assert (aspired.model, aspired.versions) == (MODEL, ())


async def test_a_catalog_state_of_tomorrow_is_named(tmp_path: Path) -> None:
    """A trainer that is told a state that it does not know cannot go on as if it knew; it says so and asks again."""
    async with registry_of(Release.today().newer(), tmp_path, ("CatalogState",)) as (_, address):
        client = RegistryClient(address, policy=QUICK)
        with pytest.raises(MartletError, match="catalog state 99 is not known"):
            await client.version(MODEL, 1)
        await client.close()
