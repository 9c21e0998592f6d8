"""Lanes, records and small real versions that the registry's tests share."""

from dataclasses import replace

import numpy as np

from martlet.artifacts import FolderStore
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
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_layout import empty_keys
from martlet.versions import CatalogState, VersionRecord
from registry_svc.lane import Lane, Member
from registry_svc.policy import LanePolicy
from tests.unit.core.samples import SPEC

BUCKETS = 8
WIDTH = 4
EMPTY_GRAPH = b"\x3a\x00"  # the smallest model there is
SPECIALS = 4  # the zero row, and one for each of SPEC's three id features
POLICY = LanePolicy(lane_weight=9000, pin_min_seconds=2.0, pin_min_requests=50)
V1, V2, V3, V4 = (Member(number, f"v{number}") for number in range(1, 5))


def lane(head: Member = V3, pin: Member = V1, candidate: Member = V2) -> Lane:
    return Lane("shop", 4, 7, head, pin, candidate, 1_000_000)


def record(
    version: int, parent: str = "", epoch: int = 0, model: str = "shop", digest: str | None = None
) -> VersionRecord:
    own = f"v{version}" if digest is None else digest
    return VersionRecord(model, version, own, parent, epoch, CatalogState.PENDING, "", "delta", 5)


class SmallVersions:
    """Builds small versions whose blobs are real."""

    def __init__(self, store: FolderStore, model: str = "shop") -> None:
        self.store = store
        keys = np.repeat(empty_keys(BUCKETS)[:, None], 4, axis=1)
        base = TableBase(keys, np.zeros((BUCKETS, 4, WIDTH), np.float32), np.zeros((SPECIALS, WIDTH), np.float32))
        table = TableManifest("t4", WIDTH, BUCKETS, "float32", store.put(encode_base(base)))
        self.newest = Manifest(
            model=model,
            kind=VersionKind.SNAPSHOT,
            lineage=Lineage(f"{model}-1", "", 0, 1),
            learned=Learned({}, 0, 0, 0),
            graph=store.put(EMPTY_GRAPH),
            dense=self.dense(0.0),
            tables=(table,),
            signature=signature_of(SPEC),
            feature_spec=SPEC,
            provenance=Provenance("0.1.0", "shop:MODEL", "abc"),
        )

    def dense(self, value: float) -> BlobRef:
        return self.store.put(encode_dense({"w": np.full(3, value, np.float32)}))

    def delta_blob(self, value: float, sequence: int, previous: str, specials: int = SPECIALS) -> BlobRef:
        rows = np.full((1, 4, WIDTH), value, np.float32)
        keys = np.full((1, 4), empty_keys(BUCKETS)[2], np.int64)
        buckets, special = np.array([2], np.int32), np.zeros((specials, WIDTH), np.float32)
        return self.store.put(encode_delta(TableDelta.of_buckets(sequence, previous, buckets, keys, rows, special)))

    def delta(self, value: float = 1.0) -> Manifest:
        """A child of the newest version, with one more delta."""
        table = self.newest.tables[0]
        chain = (table.base, *table.deltas)
        blob = self.delta_blob(value, len(chain), chain[-1].digest)
        child = replace(self._child(), dense=self.dense(value))
        return replace(child, kind=VersionKind.DELTA, tables=(replace(table, deltas=(*table.deltas, blob)),))

    def snapshot(self, parent: str, epoch: int, value: float = 7.0) -> Manifest:
        """A new snapshot on a parent."""
        lineage = replace(self.newest.lineage, parent=parent, epoch=epoch, sequence=self.newest.lineage.sequence + 1)
        tables = tuple(replace(table, deltas=()) for table in self.newest.tables)
        return replace(self.newest, kind=VersionKind.SNAPSHOT, lineage=lineage, dense=self.dense(value), tables=tables)

    def _child(self) -> Manifest:
        parent = manifest_digest(encode_manifest(self.newest))
        lineage = replace(self.newest.lineage, parent=parent, sequence=self.newest.lineage.sequence + 1)
        return replace(self.newest, lineage=lineage)

    def corrupt(self, blob: BlobRef) -> None:
        """Flips the blob's last byte on disk."""
        path = self.store.blob_path(blob.digest)
        data = bytearray(path.read_bytes())
        data[-1] ^= 0xFF
        path.write_bytes(data)
