"""When a version is made, and how it gets to the registry."""

from dataclasses import replace

import numpy as np
import pytest

from martlet.errors import Corrupt, Unavailable
from martlet.manifest import (
    BlobRef,
    Learned,
    Lineage,
    Manifest,
    Provenance,
    VersionKind,
    encode_manifest,
    manifest_digest,
)
from martlet.table_blobs import TableBase, decode_base, decode_delta
from tests.unit.trainer.fakes import SPEC, AtOnce, FakeRegistry, MemoryStore
from trainer_svc.journal import Acknowledged, Overtaken, PublishResult, Refused
from trainer_svc.publish_policy import Chain, ChainLimits, PublishView, next_publish
from trainer_svc.publisher import Publisher, Stopped
from trainer_svc.table.embedding_table import TableCut
from trainer_svc.version_builder import ModelIdentity, TableChange, TableSnapshot, VersionBuilder, VersionPayload
from trainer_svc.version_cursor import VersionCursor

DUE = PublishView(
    since_last_s=1.0, interval_s=1.0, learned=5, in_flight=False, has_head=True, chain=Chain(3, 9 << 20, 10 << 20),
    limits=ChainLimits(10), rebased=False, refusals=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (DUE, VersionKind.DELTA),
        (replace(DUE, in_flight=True), None),
        (replace(DUE, since_last_s=0.99), None),
        (replace(DUE, learned=0), None),
        (replace(DUE, since_last_s=None, learned=0, has_head=False), VersionKind.SNAPSHOT),
        (replace(DUE, chain=Chain(10)), VersionKind.SNAPSHOT),
        (replace(DUE, chain=Chain(3, 10 << 20, 10 << 20)), VersionKind.SNAPSHOT),
        (replace(DUE, chain=Chain(3, 10 << 20, 10 << 20), learned=0), None),
        (replace(DUE, chain=Chain(3, 10 << 20, 10 << 20), limits=ChainLimits(10, 2.0)), VersionKind.DELTA),
        (replace(DUE, chain=Chain(3, 5000, 100)), VersionKind.DELTA),
        (replace(DUE, refusals=2, since_last_s=4.0), VersionKind.DELTA),
        (replace(DUE, refusals=3, since_last_s=8.0), VersionKind.SNAPSHOT),
        (replace(DUE, refusals=3, since_last_s=7.9), None),
        (replace(DUE, rebased=True, learned=0), VersionKind.SNAPSHOT),
        (replace(DUE, refusals=1, rebased=True), None),
        (replace(DUE, refusals=1, rebased=True, since_last_s=2.0), VersionKind.SNAPSHOT),
        (replace(DUE, refusals=99, rebased=True, since_last_s=64.0), VersionKind.SNAPSHOT),
    ],
)
def test_the_policy(view: PublishView, expected: VersionKind | None) -> None:
    assert next_publish(view) is expected


BASE = TableBase(np.zeros((4, 4), np.int64), np.ones((4, 4, 2), np.float32), np.zeros((3, 2), np.float32))


def payload(number: int = 1, parent: str = "", epoch: int = 0) -> VersionPayload:
    return VersionPayload(
        number, VersionKind.SNAPSHOT, Lineage("shop-1", parent, epoch, number), Learned({"a": 5}, 1, 2, 3),
        Provenance("0", "m:M", "c"), b"graph", {"w": np.ones(2, np.float32)}, (TableSnapshot("t2", 2, BASE),), {},
    )  # fmt: skip


class Road:
    """A publisher on its way to a registry."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.registry = FakeRegistry(self.store)
        self.pauses: list[float] = []
        self.ends_after = 10**9
        builder = VersionBuilder(self.store, ModelIdentity("shop", SPEC))
        self.publisher = Publisher(builder, self.registry, AtOnce(), self._pause)

    def _pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return len(self.pauses) > self.ends_after

    def send(self, made: VersionPayload) -> tuple[str, PublishResult]:
        job = self.publisher.submit(made)
        return manifest_digest(encode_manifest(job.built.result())), job.result.result()


def test_a_version_is_built_sent_and_acknowledged() -> None:
    road = Road()
    digest, result = road.send(payload())
    assert result == Acknowledged(1, digest, 1)


def test_a_version_sent_again_is_the_same_version() -> None:
    road = Road()
    _, first = road.send(payload())
    assert road.publisher.resubmit(1, road.registry.accepted[0]).result.result() == first
    assert len(road.registry.records) == 1


def test_it_insists_with_longer_and_longer_pauses() -> None:
    road, failures = Road(), iter(range(8))

    def away() -> None:
        if next(failures, None) is not None:
            raise Unavailable("nobody there")

    road.registry.away = away
    _, result = road.send(payload())
    assert isinstance(result, Acknowledged)
    assert road.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_trainer_that_ends_does_not_insist() -> None:
    road = Road()
    road.ends_after = 1

    def away() -> None:
        raise Unavailable("nobody there")

    road.registry.away = away
    job = road.publisher.submit(payload())
    assert job.built.result().model == "shop"
    with pytest.raises(Stopped):
        job.result.result()


def test_another_head_overtakes() -> None:
    road = Road()
    road.registry.head, road.registry.epoch = "mt1-other", 4
    digest, result = road.send(payload())
    assert result == Overtaken(1, digest, 4, "mt1-other")


def test_a_refusal_says_why_unless_the_head_has_moved_too() -> None:
    road = Road()
    road.registry.refuse = lambda manifest: True
    digest, result = road.send(payload())
    assert result == Refused(1, digest, "refused")
    road.registry.head = "mt1-moved"
    digest, result = road.send(payload(2))
    assert result == Overtaken(2, digest, 0, "mt1-moved")


def test_a_delta_extends_its_parents_chain() -> None:
    store = MemoryStore()
    builder = VersionBuilder(store, ModelIdentity("shop", SPEC))
    table = builder.build(payload()).tables[0]
    for sequence in (1, 2):
        cut = TableCut(
            np.array([2], np.int32), np.array([3], np.uint8), np.array([8], np.uint8), np.array([9]),
            np.zeros((2, 2), np.float32), np.zeros((3, 2), np.float32),
        )  # fmt: skip
        change = TableChange(table, cut)
        table = builder.build(replace(payload(), tables=(change,))).tables[0]
        delta = decode_delta(store.get(table.deltas[-1]), 2, 4)
        before = (table.base, *table.deltas)[-2]
        assert (delta.sequence, delta.previous) == (sequence, before.digest)
    assert decode_base(store.get(table.base), 2, 4).rows.tobytes() == BASE.rows.tobytes()


def built(number: int = 1) -> tuple[Manifest, str]:
    manifest = VersionBuilder(MemoryStore(), ModelIdentity("shop", SPEC)).build(payload(number))
    return manifest, manifest_digest(encode_manifest(manifest))


def test_the_cursor_refuses_a_version_that_came_out_otherwise() -> None:
    cursor = VersionCursor()
    cursor.take_off(1, 0, 0)
    cursor.built(built()[0])
    with pytest.raises(Corrupt, match="learn differently"):
        cursor.acknowledged(Acknowledged(1, "mt1-else", 1))


def test_the_cursor_holds_one_flight_and_survives_a_restart_in_the_air() -> None:
    cursor, (manifest, digest) = VersionCursor(), built()
    cursor.take_off(1, 7, 0)
    with pytest.raises(Corrupt):
        cursor.take_off(2, 7, 0)
    with pytest.raises(AssertionError):
        cursor.state()
    cursor.built(manifest)
    restored = VersionCursor()
    restored.restore(cursor.state())
    assert restored.at == cursor.at
    restored.acknowledged(Acknowledged(1, digest, 3))
    assert (restored.at.parent, restored.at.version, restored.at.sequence) == (digest, 3, 1)
    with pytest.raises(Corrupt, match="not under way"):
        restored.acknowledged(Acknowledged(1, digest, 3))


def test_the_cursor_weighs_the_heads_chain() -> None:
    cursor, (manifest, _) = VersionCursor(), built()
    assert cursor.chain == Chain()
    table = manifest.tables[0]
    longer = replace(manifest, tables=(replace(table, deltas=(BlobRef("d1", 70), BlobRef("d2", 30))),))
    cursor.take_off(1, 0, 0)
    cursor.built(longer)
    cursor.acknowledged(Acknowledged(1, manifest_digest(encode_manifest(longer)), 1))
    assert cursor.chain == Chain(2, 100, table.base.size)


def test_a_version_built_again_here_waits_for_its_store() -> None:
    """Going back builds a version again on the loop's own thread: a store that is away must not end the loop."""
    road = Road()
    away = [Unavailable("away"), OSError(28, "No space left on device")]
    put = road.store.put_manifest

    def put_later(encoded: bytes) -> str:
        if away:
            raise away.pop()
        return put(encoded)

    road.store.put_manifest = put_later  # type: ignore[method-assign]
    manifest = road.publisher.build(payload())
    assert (manifest.lineage.sequence, road.pauses, road.registry.records) == (1, [0.1, 0.2], {})
    away.append(Unavailable("away"))
    road.ends_after = 0
    with pytest.raises(Stopped):
        road.publisher.build(payload())
