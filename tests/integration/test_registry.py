"""The registry over real gRPC: admission, compare-and-swap, the watched stream, and a restart."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from martlet import errors
from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.feature_encoding import signature_of
from martlet.manifest import (
    BlobRef,
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    encode_manifest,
    manifest_digest,
)
from martlet.measurement import Measurement, MeasurementBatch
from martlet.runtime.config import Config, RegistryConfig
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_layout import empty_keys
from martlet.versions import AspiredSet, CatalogState, Role, ServableStatus, VersionRecord, VersionState
from registry_svc.app import running
from registry_svc.catalog_sql import SqlCatalog
from tests.unit.core.samples import SPEC

BUCKETS = 8
WIDTH = 4


class Trainer:
    """Builds small real versions."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store
        keys = np.repeat(empty_keys(BUCKETS)[:, None], 4, axis=1)
        base = TableBase(keys, np.zeros((BUCKETS, 4, WIDTH), np.float32), np.zeros((4, WIDTH), np.float32))
        table = TableManifest("t4", WIDTH, BUCKETS, "float32", store.put(encode_base(base)))
        self.newest = Manifest(
            model="shop",
            kind=VersionKind.SNAPSHOT,
            lineage=Lineage("shop-1", "", 0, 1),
            learned=Learned({}, 0, 0, 0),
            graph=store.put(b"graph"),
            dense=self.dense(0.0),
            tables=(table,),
            signature=signature_of(SPEC),
            feature_spec=SPEC,
            provenance=Provenance("0.1.0", "shop:MODEL", "abc"),
        )

    def dense(self, value: float) -> BlobRef:
        return self.store.put(encode_dense({"w": np.full(3, value, np.float32)}))

    def delta(self, value: float = 1.0, **changes: object) -> Manifest:
        """A child of the newest version, with one more delta."""
        parent, table = self.newest, self.newest.tables[0]
        chain = (table.base, *table.deltas)
        rows = np.full((1, 4, WIDTH), value, np.float32)
        delta = TableDelta(
            len(chain), chain[-1].digest, np.array([2], np.int32), np.zeros((1, 4), np.int64), rows,
            np.zeros((4, WIDTH), np.float32),
        )  # fmt: skip
        blob = self.store.put(encode_delta(delta))
        child = replace(
            parent,
            kind=VersionKind.DELTA,
            lineage=replace(
                parent.lineage,
                parent=manifest_digest(encode_manifest(parent)),
                sequence=parent.lineage.sequence + 1,
            ),
            dense=self.dense(value),
            tables=(replace(table, deltas=(*table.deltas, blob)),),
        )
        return replace(child, **changes)  # type: ignore[arg-type]


class Stage:
    def __init__(self, config: Config, address: str) -> None:
        self.config = config
        self.address = address
        self.client = RegistryClient(address, policy=CallPolicy(timeout=10, tries=1))
        self.trainer = Trainer(FolderStore(config.artifact_dir))

    async def publish(self, manifest: Manifest) -> VersionRecord:
        record = await self.client.publish(encode_manifest(manifest))
        if record.state is not CatalogState.REJECTED:
            self.trainer.newest = manifest
        return record


def config_in(root: Path) -> Config:
    registry = RegistryConfig(
        grpc_port=0, metrics_port=0, lease_ms=600, pin_min_seconds=0.0, pin_min_requests=5, max_versions_listed=3
    )
    return Config(data_dir=root, registry=registry)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    config = config_in(tmp_path)
    async with running(config) as server:
        stage = Stage(config, f"127.0.0.1:{server.grpc_port}")
        yield stage
        await stage.client.close()


async def test_versions_are_admitted_in_a_chain(stage: Stage) -> None:
    first = await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    assert (first.version, second.version) == (1, 2)
    lineage = await stage.client.lineage("shop")
    assert (lineage.head_version, lineage.pin_version) == (2, 1)
    assert [record.state for record in await stage.client.versions("shop")] == [
        CatalogState.PINNED,
        CatalogState.ADMITTED,
    ]


async def test_the_same_version_again_is_the_same_record(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    delta = stage.trainer.delta()
    first = await stage.publish(delta)
    await stage.publish(stage.trainer.delta(2.0))
    again = await stage.client.publish(encode_manifest(delta))
    assert (again.version, again.digest) == (first.version, first.digest)


async def test_of_two_racing_children_one_is_admitted(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    children = [encode_manifest(stage.trainer.delta(float(value))) for value in range(8)]
    results = await asyncio.gather(*(stage.client.publish(child) for child in children), return_exceptions=True)
    assert sum(isinstance(result, VersionRecord) for result in results) == 1
    assert sum(isinstance(result, errors.Conflict) for result in results) == 7


async def test_another_epoch_is_a_conflict(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    delta = stage.trainer.delta()
    with pytest.raises(errors.Conflict, match="epoch"):
        await stage.publish(replace(delta, lineage=replace(delta.lineage, epoch=3)))


def corrupt_file(stage: Stage, blob: BlobRef) -> None:
    path = stage.trainer.store.blob_path(blob.digest)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


async def test_a_corrupt_artifact_is_rejected_and_the_chain_goes_on(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    bad = stage.trainer.delta(5.0)
    corrupt_file(stage, bad.tables[0].deltas[-1])
    record = await stage.publish(bad)
    assert record.state is CatalogState.REJECTED
    assert "digest" in record.reason
    assert (await stage.client.lineage("shop")).head_version == 1
    assert (await stage.publish(stage.trainer.delta(6.0))).state is CatalogState.ADMITTED


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan rows", "finite"),
        ("nan dense", "finite"),
        ("missing blob", "no blob"),
        ("other graph", "graph"),
        ("far answers", "logits"),
        ("skipped delta", "extends"),
        ("no parent in the catalog", "parent"),
        ("wrong signature", "signature"),
    ],
)
async def test_what_admission_refuses_is_recorded_with_its_reason(stage: Stage, fault: str, reason: str) -> None:
    await stage.publish(stage.trainer.newest)
    good = stage.trainer.delta()
    table = good.tables[0]
    faults = {
        "nan rows": lambda: stage.trainer.delta(float("nan"), dense=good.dense),
        "nan dense": lambda: replace(good, dense=stage.trainer.dense(float("nan"))),
        "missing blob": lambda: replace(good, dense=BlobRef("mt1-" + "0" * 64, 5)),
        "other graph": lambda: replace(good, graph=stage.trainer.store.put(b"another")),
        "far answers": lambda: replace(good, metrics={"mean_abs_logit_shift": 99.0}),
        "skipped delta": lambda: replace(good, tables=(replace(table, deltas=table.deltas * 2),)),
        "no parent in the catalog": lambda: replace(good, lineage=replace(good.lineage, parent="mt1-" + "1" * 64)),
        "wrong signature": lambda: replace(good, signature=replace(good.signature, outputs=())),
    }
    record = await stage.publish(faults[fault]())
    assert record.state is CatalogState.REJECTED
    assert reason in record.reason


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format":99}', b"\x00" * 100])
async def test_what_is_no_manifest_is_an_invalid_argument(stage: Stage, data: bytes) -> None:
    with pytest.raises(errors.InvalidInput):
        await stage.client.publish(data)


async def test_unknown_models_and_versions(stage: Stage) -> None:
    with pytest.raises(errors.NotFound):
        await stage.client.version("nobody", 1)
    assert await stage.client.versions("nobody") == []
    assert (await stage.client.lineage("nobody")).head_digest == ""


async def next_set(watch: AsyncIterator[AspiredSet]) -> AspiredSet:
    return await asyncio.wait_for(anext(watch), 5)


async def test_watchers_get_the_set_at_once_on_change_and_within_each_lease(stage: Stage) -> None:
    watch = stage.client.watch(["shop"], "r1")
    assert (await next_set(watch)).models == ()
    await stage.publish(stage.trainer.newest)
    while not (aspired := await next_set(watch)).models:
        pass
    assert [version.version for version in aspired.models[0].versions] == [1]
    started = asyncio.get_running_loop().time()
    assert (await next_set(watch)) == aspired
    assert asyncio.get_running_loop().time() - started < 0.6
    await watch.aclose()  # type: ignore[attr-defined]


def status(version: int, digest: str, state: VersionState, requests: int = 10) -> ServableStatus:
    return ServableStatus("shop", version, digest, state, "because", requests, 0)


async def test_the_pin_follows_a_healthy_candidate(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    for _ in range(50):
        await stage.client.report_replica("r1", [status(2, second.digest, VersionState.READY)])
        if (await stage.client.lineage("shop")).pin_version == 2:
            break
        await asyncio.sleep(0.05)
    assert (await stage.client.lineage("shop")).pin_version == 2
    states = {record.version: record.state for record in await stage.client.versions("shop")}
    assert states == {1: CatalogState.RETIRED, 2: CatalogState.PINNED}


async def test_a_version_that_replicas_cannot_load_leaves(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    second = await stage.publish(stage.trainer.delta())
    for _ in range(3):  # replicas repeat themselves
        await stage.client.report_replica("r1", [status(2, second.digest, VersionState.FAILED)])
    lineage = await stage.client.lineage("shop")
    assert (lineage.head_version, lineage.epoch) == (1, 1)
    record = await stage.client.version("shop", 2)
    assert (record.state, record.reason) == (CatalogState.REJECTED, "because")


async def test_a_report_on_strangers_is_taken_for_what_it_is(stage: Stage) -> None:
    first = await stage.publish(stage.trainer.newest)
    strangers = [ServableStatus("nobody", 1, "d", VersionState.FAILED), status(99, "d", VersionState.FAILED)]
    await stage.client.report_replica("r1", [*strangers, status(1, first.digest, VersionState.READY)])
    assert (await stage.client.lineage("shop")).head_version == 1


@pytest.mark.parametrize("where", ["dense", "delta", "base"])
async def test_a_blob_that_passed_in_one_place_must_pass_anew_in_another(stage: Stage, where: str) -> None:
    await stage.publish(stage.trainer.newest)
    good = stage.trainer.delta()
    table, graph = good.tables[0], good.graph
    moved = {
        "dense": replace(good, dense=graph),
        "delta": replace(good, tables=(replace(table, deltas=(graph,)),)),
        "base": replace(good, kind=VersionKind.SNAPSHOT, tables=(replace(table, base=graph, deltas=()),)),
    }
    assert (await stage.publish(moved[where])).state is CatalogState.REJECTED


async def test_a_restarted_registry_says_the_same(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    for value in range(5):
        await stage.publish(stage.trainer.delta(float(value)))
    before, records = await stage.client.lineage("shop"), await stage.client.versions("shop")
    async with running(stage.config) as server:
        again = RegistryClient(f"127.0.0.1:{server.grpc_port}")
        now = await again.lineage("shop")  # its own tending may have chosen a candidate: only the revision moves
        assert replace(now, revision=before.revision) == before
        assert [r.digest for r in await again.versions("shop")] == [r.digest for r in records]
        watch = again.watch([], "r1")
        head = (await next_set(watch)).models[0].with_role(Role.HEAD)
        assert head is not None
        assert head.version == 6
        await watch.aclose()  # type: ignore[attr-defined]
        await again.close()


async def test_the_journal_leads_to_the_lane(stage: Stage) -> None:
    await stage.publish(stage.trainer.newest)
    for value in range(3):
        await stage.publish(stage.trainer.delta(float(value)))
    catalog = SqlCatalog(stage.config.catalog_url)
    journal = catalog.journal("shop")
    assert journal[-1].lane == catalog.lane("shop")
    assert [decision.kind for decision in journal if decision.kind != "candidate"] == ["first", "head", "head", "head"]
    catalog.close()


async def test_measurements_are_added_once(stage: Stage) -> None:
    catalog = SqlCatalog(stage.config.catalog_url)
    batch = MeasurementBatch("trainer", 1, (Measurement("shop", 1, "logloss", 2, 1.0, 0.5),))
    await asyncio.to_thread(BlockingRegistryClient(stage.address).report_measurements, batch)
    assert not catalog.add_measurements(batch)
    catalog.close()
