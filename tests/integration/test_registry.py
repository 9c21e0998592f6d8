"""The registry over real gRPC: admission, compare-and-swap, the watched stream, failures, and a restart."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest

from martlet import errors
from martlet.client.channel import CallPolicy
from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.manifest import BlobRef, Manifest, encode_manifest, manifest_digest
from martlet.measurement import Measurement, MeasurementBatch
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.versions import CatalogState, Role, ServableStatus, VersionRecord, VersionState
from registry_svc.catalog_database import open_database
from registry_svc.catalog_measurements import SqlMeasurementLog
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.journal import replay
from tests.integration.registry_stage import Stage, next_set, stage_in, until_head


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_in(tmp_path) as stage:
        yield stage


async def states_of(stage: Stage) -> dict[int, CatalogState]:
    return {record.version: record.state for record in await stage.client.versions("shop")}


async def test_versions_are_admitted_in_a_chain(stage: Stage) -> None:
    first = await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    third = await stage.publish(stage.trainer.delta(2.0))
    assert [record.version for record in (first, second, third)] == [1, 2, 3]
    lineage = await stage.client.lineage("shop")
    assert (lineage.head_version, lineage.pin_version, lineage.epoch, lineage.revision) == (3, 1, 0, 3)
    assert lineage.head_digest == third.digest
    assert await states_of(stage) == {1: CatalogState.PINNED, 2: CatalogState.ADMITTED, 3: CatalogState.ADMITTED}


async def test_the_same_version_again_is_the_same_record(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    delta = stage.trainer.delta()
    first = await stage.publish(delta)
    await stage.publish(stage.trainer.delta(2.0))
    again = await stage.client.publish(encode_manifest(delta))
    assert replace(again, state=first.state) == first


async def test_the_same_version_offered_at_once_is_one_version(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    delta = encode_manifest(stage.trainer.delta())
    records = await asyncio.gather(*(stage.client.publish(delta) for _ in range(8)))
    assert {record.version for record in records} == {2}
    assert list(await states_of(stage)) == [1, 2]


async def test_of_racing_children_one_is_admitted(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    children = [encode_manifest(stage.trainer.delta(float(value))) for value in range(8)]
    results = await asyncio.gather(*(stage.client.publish(child) for child in children), return_exceptions=True)
    assert sum(isinstance(result, VersionRecord) for result in results) == 1
    assert sum(isinstance(result, errors.Conflict) for result in results) == 7
    assert list(await states_of(stage)) == [1, 2]


async def test_another_epoch_or_parent_is_a_conflict(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    delta = stage.trainer.delta()
    with pytest.raises(errors.Conflict, match="epoch"):
        await stage.publish(replace(delta, lineage=replace(delta.lineage, epoch=3)))
    with pytest.raises(errors.Conflict, match="head"):
        await stage.publish(replace(delta, lineage=replace(delta.lineage, parent="mt1-" + "1" * 64)))


async def test_after_a_conflict_a_snapshot_on_the_registrys_head_is_taken(stage: Stage) -> None:
    """What a trainer does whose lineage the registry does not know."""
    await stage.publish(stage.trainer.newest)
    await stage.publish(stage.trainer.delta())
    lineage = await stage.client.lineage("shop")
    record = await stage.publish(stage.trainer.snapshot(lineage.head_digest, lineage.epoch))
    assert (record.version, record.state, record.kind) == (3, CatalogState.ADMITTED, "snapshot")
    assert (await stage.publish(stage.trainer.delta())).version == 4


async def test_a_corrupt_artifact_is_rejected_and_the_chain_goes_on(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    bad = stage.trainer.delta(5.0)
    stage.trainer.corrupt(bad.tables[0].deltas[-1])
    record = await stage.publish(bad)
    assert (record.version, record.state) == (2, CatalogState.REJECTED)
    assert "digest" in record.reason
    assert (await stage.client.version("shop", 2)).reason == record.reason
    assert (await stage.client.lineage("shop")).head_version == 1
    assert (await stage.publish(stage.trainer.delta(6.0))).state is CatalogState.ADMITTED


async def test_a_corrupt_artifact_is_rejected_on_an_old_head_too(stage: Stage) -> None:
    """What is wrong with a version is told before whether its turn has come."""
    await stage.publish(stage.trainer.newest)
    bad = stage.trainer.delta(5.0)
    await stage.publish(stage.trainer.delta(6.0))
    stage.trainer.corrupt(bad.tables[0].deltas[-1])
    assert (await stage.publish(bad)).state is CatalogState.REJECTED


Fault = Callable[[Stage, Manifest], Manifest]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda s, m: replace(m, dense=s.trainer.dense(float("nan"))), "finite"),
        (lambda s, m: replace(m, dense=BlobRef("mt1-" + "0" * 64, 5)), "no blob"),
        (lambda s, m: replace(m, graph=s.trainer.store.put(b"another")), "graph"),
        (lambda s, m: replace(m, metrics={"mean_abs_logit_shift": 99.0}), "logits"),
        (lambda s, m: replace(m, signature=replace(m.signature, outputs=())), "signature"),
    ],
)
async def test_what_admission_refuses_is_recorded_with_its_reason(stage: Stage, fault: Fault, reason: str) -> None:
    await stage.publish(stage.trainer.newest)
    record = await stage.publish(fault(stage, stage.trainer.delta()))
    assert record.state is CatalogState.REJECTED
    assert reason in record.reason
    assert await states_of(stage) == {1: CatalogState.PINNED, 2: CatalogState.REJECTED}


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"format":99}', b"\x00" * 100, b"[" * 100_000, b'{"format":1,"model":"\\ud800"}']
)
async def test_what_is_no_manifest_is_an_invalid_argument(stage: Stage, data: bytes) -> None:
    with pytest.raises(errors.InvalidInput):
        await stage.client.publish(data)


async def test_a_manifest_that_cannot_be_recorded_is_an_invalid_argument(stage: Stage) -> None:
    newest = stage.trainer.newest
    for bad in (replace(newest, model=""), replace(newest, lineage=replace(newest.lineage, epoch=1 << 63))):
        with pytest.raises(errors.InvalidInput):
            await stage.client.publish(encode_manifest(bad))


async def test_unknown_models_and_versions(stage: Stage) -> None:
    for version in (0, 1, (1 << 64) - 1):
        with pytest.raises(errors.NotFound):
            await stage.client.version("nobody", version)
    assert await stage.client.versions("nobody") == []
    lineage = await stage.client.lineage("nobody")
    assert (lineage.epoch, lineage.revision, lineage.head_version, lineage.head_digest) == (0, 0, 0, "")


async def test_versions_are_listed_page_by_page(stage: Stage) -> None:
    manifests = {1: stage.trainer.newest}
    await stage.publish(stage.trainer.newest)
    for version in range(2, 8):  # more than two pages
        manifests[version] = stage.trainer.delta(float(version))
        await stage.publish(manifests[version])
    listed = await stage.client.versions("shop", with_manifests=True)
    assert {record.version: record.manifest for record in listed} == {
        version: encode_manifest(manifest) for version, manifest in manifests.items()
    }
    assert {record.manifest for record in await stage.client.versions("shop")} == {b""}
    async with grpc.aio.insecure_channel(stage.address) as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        last = await stub.ListVersions(pb.ListVersionsRequest(model="shop", after_version=5, page_size=99))
        beyond = await stub.ListVersions(pb.ListVersionsRequest(model="shop", after_version=(1 << 64) - 1))
    assert ([record.version for record in last.records], last.more) == ([6, 7], False)
    assert (len(beyond.records), beyond.more) == (0, False)


async def test_watchers_get_the_set_at_once_and_after_each_change(stage: Stage) -> None:
    async with aclosing(stage.client.watch(["shop"], "r1")) as watch:
        assert (await next_set(watch)).models == ()
        await stage.publish(stage.trainer.newest)
        first = await until_head(watch, 1)
        assert [(v.role, v.weight) for v in first.models[0].versions] == [(Role.PIN, 10_000)]
        await stage.publish(stage.trainer.delta())
        second = await until_head(watch, 2)
        assert [(v.version, v.role, v.weight) for v in second.models[0].versions] == [
            (2, Role.HEAD, 9000),
            (1, Role.PIN, 1000),
        ]
        assert second.models[0].revision > first.models[0].revision


async def test_watchers_hear_within_each_lease(tmp_path: Path) -> None:
    async with stage_in(tmp_path, lease_ms=150) as stage, aclosing(stage.client.watch([], "r1")) as watch:
        started = time.monotonic()
        for _ in range(4):
            assert (await next_set(watch)).lease_ms == 150
        assert time.monotonic() - started < 5 * 0.15


async def test_a_published_version_is_soon_on_the_stream(stage: Stage) -> None:
    """The bound is loose, for busy machines; it keeps this from becoming a matter of ticks or leases."""
    await stage.publish(stage.trainer.newest)
    async with aclosing(stage.client.watch([], "r1")) as watch:
        await until_head(watch, 1)
        taken = []
        for version in range(2, 22):
            delta = stage.trainer.delta(float(version))
            started = time.monotonic()
            publishing = asyncio.ensure_future(stage.publish(delta))
            await until_head(watch, version)
            taken.append(time.monotonic() - started)
            await publishing
    assert statistics.median(taken) < 0.2


async def test_a_slow_admission_does_not_hold_up_the_catalog(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base of gigabytes takes seconds to check; lineages, reports and tending go on meanwhile."""
    await stage.publish(stage.trainer.newest)
    slow = stage.trainer.delta()
    read = type(stage.trainer.store).get

    def slowly(store: object, blob: BlobRef) -> bytes:
        if blob == slow.dense:
            time.sleep(0.5)
        return read(stage.trainer.store, blob)

    monkeypatch.setattr(type(stage.trainer.store), "get", slowly)
    publishing = asyncio.ensure_future(stage.publish(slow))
    await asyncio.sleep(0.1)
    for _ in range(5):
        assert (await stage.client.lineage("shop")).head_version == 1
    assert not publishing.done()
    assert (await publishing).version == 2


def status(record: VersionRecord, state: VersionState, requests: int = 10) -> ServableStatus:
    return ServableStatus("shop", record.version, record.digest, state, "because", requests, 0)


async def until_pin(stage: Stage, version: int) -> None:
    for _ in range(100):
        if (await stage.client.lineage("shop")).pin_version == version:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"version {version} did not become the pin")


async def test_the_pin_follows_a_healthy_candidate(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    await stage.client.report_replica("r1", [status(second, VersionState.READY)])
    await until_pin(stage, 2)
    assert await states_of(stage) == {1: CatalogState.RETIRED, 2: CatalogState.PINNED}


async def test_a_replica_that_has_not_loaded_the_candidate_holds_the_pin(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    await stage.client.report_replica("r2", [])
    await stage.client.report_replica("r1", [status(second, VersionState.READY)])
    await asyncio.sleep(0.6)  # more than two rounds of tending
    assert (await stage.client.lineage("shop")).pin_version == 1
    await stage.client.report_replica("r2", [status(second, VersionState.READY)])
    await until_pin(stage, 2)


async def test_a_version_that_replicas_cannot_load_leaves_and_the_trainer_goes_on(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    async with aclosing(stage.client.watch([], "r1")) as watch:
        await until_head(watch, 2)
        for _ in range(3):  # replicas repeat themselves
            await stage.client.report_replica("r1", [status(second, VersionState.FAILED)])
        fenced = await until_head(watch, 1)
    assert (fenced.models[0].epoch, fenced.models[0].revision) == (1, 1)
    record = await stage.client.version("shop", 2)
    assert (record.state, record.reason) == (CatalogState.REJECTED, "because")
    with pytest.raises(errors.Conflict):
        await stage.publish(stage.trainer.delta(2.0))
    lineage = await stage.client.lineage("shop")
    assert (lineage.head_version, lineage.epoch) == (1, 1)
    recovered = await stage.publish(stage.trainer.snapshot(lineage.head_digest, lineage.epoch))
    assert (recovered.version, recovered.state) == (3, CatalogState.ADMITTED)


async def test_a_report_without_a_name_is_refused(stage: Stage) -> None:
    for name in ("", "x" * 201, "a\nb"):
        with pytest.raises(errors.InvalidInput, match="replica"):
            await stage.client.report_replica(name, [])


async def test_a_restarted_registry_says_the_same(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        await stage.publish(stage.trainer.newest)
        for value in range(5):
            await stage.publish(stage.trainer.delta(float(value)))
        before, records = await stage.client.lineage("shop"), await stage.client.versions("shop")
        newest = stage.trainer.newest
    async with stage_in(tmp_path) as again:
        assert await again.client.lineage("shop") == before
        assert await again.client.versions("shop") == records
        async with aclosing(again.client.watch([], "r1")) as watch:
            first = (await next_set(watch)).models[0]
        assert (first.epoch, first.revision, first.versions[0].version) == (before.epoch, before.revision, 6)
        again.trainer.newest = newest
        assert (await again.publish(again.trainer.delta(9.0))).version == 7


async def test_the_journal_replays_to_the_catalog(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    await stage.client.report_replica("r1", [status(second, VersionState.READY)])
    await until_pin(stage, 2)
    await stage.publish(replace(stage.trainer.delta(3.0), metrics={"mean_abs_logit_shift": 99.0}))
    third = await stage.publish(stage.trainer.delta(4.0))
    await stage.client.report_replica("r1", [status(third, VersionState.FAILED)])
    engine = open_database(stage.config.catalog_url)
    catalog = SqlCatalog(engine)
    journal = catalog.journal("shop")
    found, records = replay("shop", journal), catalog.versions("shop", 0, 99, with_manifests=False)
    engine.dispose()
    assert [decision.kind for decision in journal] == ["head", "head", "pin", "refused", "head", "failed"]
    assert found.lane == journal[-1].lane
    assert list(found.versions.values()) == records == await stage.client.versions("shop")


async def test_measurements_are_added_once_and_what_is_not_finite_is_left_out(stage: Stage) -> None:
    good = Measurement("shop", 1, "logloss", 2, 1.0, 0.5)
    batch = MeasurementBatch("trainer", 1, (good, replace(good, sum=float("nan"))))
    blocking = BlockingRegistryClient(stage.address)
    for _ in range(3):
        await asyncio.to_thread(blocking.report_measurements, batch)
    blocking.close()
    await stage.client.report_measurements(MeasurementBatch("trainer", 2, (good,)))
    engine = open_database(stage.config.catalog_url)
    logged = SqlMeasurementLog(engine).read(0, 9)
    engine.dispose()
    assert [entry.batch for entry in logged] == [
        replace(batch, measurements=(good,)),
        replace(batch, sequence=2, measurements=(good,)),
    ]


async def test_measurements_that_cannot_be_recorded_are_refused(stage: Stage) -> None:
    for batch in (MeasurementBatch("", 1, ()), MeasurementBatch("x" * 201, 1, ()), MeasurementBatch("r", 1 << 63, ())):
        with pytest.raises(errors.InvalidInput):
            await stage.client.report_measurements(batch)


async def test_a_registry_that_ends_tells_its_watchers(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        other = RegistryClient(stage.address, policy=CallPolicy(tries=1))
        watch = other.watch([], "r1")
        await next_set(watch)
        waiting = asyncio.ensure_future(next_set(watch))
        started = time.monotonic()
    assert time.monotonic() - started < 1.0  # the grace is not used up by streams that never end
    with pytest.raises(errors.Unavailable):
        await waiting
    await other.close()


async def test_an_admitted_manifest_stands_in_the_store(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    encoded = encode_manifest(stage.trainer.newest)
    assert stage.trainer.store.get_manifest(manifest_digest(encoded)) == encoded
