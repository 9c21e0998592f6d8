"""What the learner learned, exported, stored and loaded by serving, scores as the learner does: snapshot and deltas."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.feature_encoding import signature_of
from martlet.manifest import (
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    encode_manifest,
)
from martlet.table_blobs import encode_base, encode_delta, encode_dense
from serving_svc.onnx_loader import OnnxLoader, OnnxLoaders, OnnxServable
from serving_svc.servable import ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from tests.unit.arena.test_table_arena import poisoned
from tests.unit.learn.shop import MODEL as SHOP
from tests.unit.learner.samples import MODEL as DEEP_FM
from tests.unit.learner.samples import NOW_US, batches
from tests.unit.learner.test_exporter import WIDE
from trainer_svc.export.exporter import Exporter
from trainer_svc.export.parity import MAX_LOGIT_DIFFERENCE, MAX_SCORE_DIFFERENCE
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_block
from trainer_svc.table.columns import RowType
from trainer_svc.version_builder import TableChange


class Publisher:
    """Puts versions of a learner into a store."""

    def __init__(self, model: ml.Model, root: Path, dtype: RowType = "float32") -> None:
        self.model = model
        self.store = FolderStore(root / "artifacts")
        self.learner = Learner(model, 1024, table_dtype=dtype)
        tables = TableViews(
            self.store, root / "tables", lambda path, base, width: poisoned(TableArena(path, base, width, headroom=1.0))
        )
        self._loaders = OnnxLoaders(self.store, tables, root / "graphs", intra_op_threads=1)
        self._graph = self.store.put(Exporter(model).graph(self.learner))
        self._tables: list[TableManifest] = []
        self._sequence = 0

    def publish(self) -> OnnxLoader:
        """A snapshot at first, deltas after it."""
        self._tables = self._deltas() if self._tables else self._bases()
        self._sequence += 1
        manifest = Manifest(
            model=self.model.name,
            kind=VersionKind.SNAPSHOT if self._sequence == 1 else VersionKind.DELTA,
            lineage=Lineage("one", "", 1, self._sequence),
            learned=Learned({}, self.learner.steps, 0, 0),
            graph=self._graph,
            dense=self.store.put(encode_dense(self.learner.dense_weights())),
            tables=tuple(self._tables),
            signature=signature_of(self.model.spec),
            feature_spec=self.model.spec,
            provenance=Provenance("0", "test", ""),
        )
        digest = self.store.put_manifest(encode_manifest(manifest))
        return self._loaders.loader(ServableId(self.model.name, self._sequence, digest))

    def _bases(self) -> list[TableManifest]:
        made = []
        for name, table in self.learner.tables.items():
            table.tracker.take()
            table.tracker.acknowledge()
            blob = self.store.put(encode_base(table.base()))
            made.append(TableManifest(name, table.width, table.buckets, table.dtype, blob))
        return made

    def _deltas(self) -> list[TableManifest]:
        made = []
        for parent in self._tables:
            table = self.learner.tables[parent.name]
            touched = table.tracker.take()
            table.tracker.acknowledge()
            change = TableChange(parent, table.changed(touched))
            blob = self.store.put(encode_delta(change.delta()))
            made.append(replace(parent, deltas=(*parent.deltas, blob)))
        return made


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("model", [SHOP, DEEP_FM, WIDE], ids=lambda model: model.name)
def test_served_scores_are_the_learners(model: ml.Model, tmp_path: Path, dtype: RowType) -> None:
    publisher, random = Publisher(model, tmp_path, dtype), np.random.default_rng(3)
    for step, batch in enumerate(batches(4, seed=2, spec=model.spec)):
        publisher.learner.learn(batch, NOW_US)
        assert publisher.learner.generation == 0
        servable = publisher.publish().load()
        for rows, users in ((1, 1), (40, 2)):
            block = made_up_block(model.spec, random, rows, users)
            expected, found = publisher.learner.predict(block), servable.predict(block)
            np.testing.assert_allclose(found.logit, expected, rtol=MAX_LOGIT_DIFFERENCE, atol=MAX_LOGIT_DIFFERENCE)
            probability = 1 / (1 + np.exp(-expected.astype(np.float64)))
            assert np.abs(found.score - probability).max() <= MAX_SCORE_DIFFERENCE, f"step {step}"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_versions_score_as_they_did_whatever_was_loaded_and_unloaded_since(tmp_path: Path, dtype: RowType) -> None:
    """Freed buckets are overwritten at once; sessions read the arena without a copy, so they would see it."""
    publisher, random = Publisher(DEEP_FM, tmp_path, dtype), np.random.default_rng(8)
    block = made_up_block(DEEP_FM.spec, random, 30, 3)
    live: list[tuple[OnnxLoader, OnnxServable, bytes]] = []
    for batch in batches(60, seed=5, size=6, spec=DEEP_FM.spec):
        publisher.learner.learn(batch, NOW_US)
        loader = publisher.publish()
        servable = loader.load()
        live.append((loader, servable, servable.predict(block).logit.tobytes()))
        np.testing.assert_allclose(
            servable.predict(block).logit, publisher.learner.predict(block), rtol=1e-4, atol=1e-5
        )
        while len(live) > 4:
            gone = live.pop(int(random.integers(len(live))))  # the head too: the next one then hangs on another
            gone[0].unload()
        for _, older, expected in live:
            assert older.predict(block).logit.tobytes() == expected
    assert publisher.learner.generation == 0
