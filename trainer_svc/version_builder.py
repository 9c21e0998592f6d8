"""From copies of the learner's state to a version: blobs in the artifact store, and a manifest that names them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from martlet.signature import TensorSpec
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_chain import predecessor
from trainer_svc.table.cut import TableCut


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What every version of a lineage has in common.

    Attributes:
        outputs: of the graph, behind `score` and `logit`.
    """

    model: str
    spec: FeatureSpec
    outputs: tuple[TensorSpec, ...] = ()


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
        cut: the slots that changed, and all special rows.
        encoding: how the rows travel.
    """

    parent: TableManifest
    cut: TableCut
    encoding: RowEncoding = RowEncoding.FLOAT32

    @property
    def name(self) -> str:
        """The table's."""
        return self.parent.name

    @property
    def is_exact(self) -> bool:
        """Whether its rows arrive as they are."""
        return self.encoding.is_exact(self.parent.dtype)

    def delta(self) -> TableDelta:
        """The next link of the parent's chain, rows in the table's dtype."""
        parent, cut, dtype = self.parent, self.cut, np.dtype(self.parent.dtype)
        length = len(parent.deltas)
        rows, special = np.asarray(cut.rows, dtype), np.asarray(cut.special, dtype)
        previous = predecessor(parent, length).digest
        return TableDelta(length + 1, previous, cut.buckets, cut.row_mask, cut.key_mask, cut.keys, rows, special)


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
            signature=signature_of(identity.spec, identity.outputs),
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
