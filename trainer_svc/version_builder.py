"""From copies of the learner's state to a version: blobs in the artifact store, and a manifest that names them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from martlet.artifacts import ArtifactStore
from martlet.feature_encoding import signature_of
from martlet.feature_spec import FeatureSpec
from martlet.manifest import (
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    encode_manifest,
)
from martlet.row_encoding import RowEncoding
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_chain import predecessor


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What every version of a lineage has in common."""

    model: str
    spec: FeatureSpec


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """A table's whole content (copies)."""

    name: str
    width: int
    base: TableBase


@dataclass(frozen=True, slots=True)
class TableChange:
    """What changed in a table since its parent version (copies).

    Attributes:
        parent: the table in the parent version, whose chain this extends.
        buckets: int32[m], ascending.
        row_mask, key_mask: uint8[m], the places whose rows and keys changed.
        keys, rows: of those places, rows [r, width] as float32.
        special: all special rows.
        encoding: how the rows travel.
    """

    parent: TableManifest
    buckets: npt.NDArray[np.int32]
    row_mask: npt.NDArray[np.uint8]
    key_mask: npt.NDArray[np.uint8]
    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.floating[Any]]
    special: npt.NDArray[np.floating[Any]]
    encoding: RowEncoding = RowEncoding.FLOAT32

    def delta(self) -> TableDelta:
        """The next link of the parent's chain, rows in the table's dtype."""
        parent, dtype = self.parent, np.dtype(self.parent.dtype)
        last = predecessor(parent, len(parent.deltas))
        return TableDelta(
            len(parent.deltas) + 1, last.digest, self.buckets, self.row_mask, self.key_mask, self.keys,
            np.asarray(self.rows, dtype), np.asarray(self.special, dtype),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class VersionPayload:
    """Everything a version is made of, copied, so that learning can go on while it is built."""

    number: int
    kind: VersionKind
    lineage: Lineage
    learned: Learned
    provenance: Provenance
    graph: bytes
    dense: Mapping[str, npt.NDArray[np.float32]]
    tables: tuple[TableSnapshot | TableChange, ...]
    metrics: dict[str, float]


class VersionBuilder:
    """Builds versions. Thread-safe if the store is; blocking."""

    def __init__(self, store: ArtifactStore, identity: ModelIdentity) -> None:
        self._store = store
        self._identity = identity

    def build(self, payload: VersionPayload) -> Manifest:
        """Stores the blobs and the manifest durably. The same payload gives the same manifest.

        Raises:
            OSError: the store refused; nothing that was stored does harm.
        """
        identity = self._identity
        manifest = Manifest(
            model=identity.model,
            kind=payload.kind,
            lineage=payload.lineage,
            learned=payload.learned,
            graph=self._store.put(payload.graph),
            dense=self._store.put(encode_dense(payload.dense)),
            tables=tuple(self._table(table) for table in payload.tables),
            signature=signature_of(identity.spec),
            feature_spec=identity.spec,
            provenance=payload.provenance,
            metrics=payload.metrics,
        )
        self._store.put_manifest(encode_manifest(manifest))
        return manifest

    def _table(self, table: TableSnapshot | TableChange) -> TableManifest:
        if isinstance(table, TableSnapshot):
            base = self._store.put(encode_base(table.base))
            return TableManifest(table.name, table.width, table.base.buckets, str(table.base.rows.dtype), base)
        parent = table.parent
        blob = self._store.put(encode_delta(table.delta(), table.encoding))
        return replace(parent, deltas=(*parent.deltas, blob))
