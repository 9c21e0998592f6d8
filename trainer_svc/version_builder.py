"""A learner's state as a version: blobs in the artifact store and the manifest that binds them. Deterministic."""

from dataclasses import dataclass, replace
from typing import Protocol

from martlet import __version__
from martlet.artifacts import ArtifactStore
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
from martlet.table_blobs import TableDelta, encode_base, encode_delta, encode_dense
from trainer_svc.journal import Publish
from trainer_svc.learner import Learner
from trainer_svc.table import EmbeddingTable


class GraphExporter(Protocol):
    """Gives the served graph of a learner."""

    def graph(self, learner: Learner) -> bytes:
        """The ONNX graph; the same bytes in every process."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A version, its blobs stored, ready to be offered."""

    manifest: Manifest
    encoded: bytes
    digest: str
    sequence: int


class VersionBuilder:
    """Builds versions of one model. Not thread-safe: it reads the learner, so nothing may learn meanwhile."""

    def __init__(
        self, learner: Learner, exporter: GraphExporter, artifacts: ArtifactStore, model_ref: str, config_digest: str
    ) -> None:
        self._learner = learner
        self._exporter = exporter
        self._artifacts = artifacts
        self._provenance = Provenance(__version__, model_ref, config_digest)

    def build(self, publish: Publish, parent: Manifest | None, learned: Learned, metrics: dict[str, float]) -> Built:
        """Stores what changed (or everything) and describes it."""
        spec = self._learner.spec
        snapshot = publish.snapshot or parent is None
        manifest = Manifest(
            model=self._learner.model.name,
            kind=VersionKind.SNAPSHOT if snapshot else VersionKind.DELTA,
            lineage=Lineage(self._learner.model.name, publish.parent, publish.epoch, publish.sequence),
            learned=learned,
            graph=self._graph() if parent is None or snapshot else parent.graph,
            dense=self._artifacts.put(encode_dense(self._learner.dense_weights())),
            tables=self._bases() if parent is None or snapshot else self._deltas(parent),
            signature=signature_of(spec),
            feature_spec=spec,
            provenance=self._provenance,
            metrics=metrics,
        )
        encoded = encode_manifest(manifest)
        return Built(manifest, encoded, manifest_digest(encoded), publish.sequence)

    def _graph(self) -> BlobRef:
        return self._artifacts.put(self._exporter.graph(self._learner))

    def _bases(self) -> tuple[TableManifest, ...]:
        return tuple(self._base(table) for table in self._learner.tables.values())

    def _base(self, table: EmbeddingTable) -> TableManifest:
        table.tracker.take()
        blob = self._artifacts.put(encode_base(table.base()))
        return TableManifest(table.name, table.width, table.buckets, "float32", blob)

    def _deltas(self, parent: Manifest) -> tuple[TableManifest, ...]:
        return tuple(self._delta(self._learner.tables[table.name], table) for table in parent.tables)

    def _delta(self, table: EmbeddingTable, before: TableManifest) -> TableManifest:
        buckets = table.tracker.take()
        chain = (before.base, *before.deltas)
        delta = TableDelta(len(chain), chain[-1].digest, buckets, *table.changed(buckets))
        return replace(before, deltas=(*before.deltas, self._artifacts.put(encode_delta(delta))))
