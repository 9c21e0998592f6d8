"""A made-up shop with tastes, a model that learned them, and the version of it that serving loads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.feature_encoding import signature_of
from martlet.feature_spec import FeatureBlock
from martlet.manifest import (
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    encode_manifest,
)
from martlet.table_blobs import encode_base, encode_dense
from serving_svc.onnx_loader import OnnxLoaders, OnnxServable
from serving_svc.servable import ServableId
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Batch, Learner

NAME: Final = "shop"
TASTES: Final = 8
KINDS: Final = 40
BATCH: Final = 1024
NOW_US: Final = 1_700_000_000_000_000
INPUTS: Final[dict[str, ml.Input]] = {
    "user": ml.Id("user_id"),
    "item": ml.Id("item_id"),
    "kind": ml.Id("item.kind"),
    "price": ml.Number("item.price", normalise="running"),
    "hour": ml.Id("hour"),
}


@dataclass(frozen=True)
class Shop:
    """Users and items with tastes. Item i is of kind `kinds[i]`; ids are row numbers.

    Attributes:
        users: float64[u, TASTES]; items: float64[n, TASTES]; appeal: float64[n]; prices: float32[n].
    """

    users: npt.NDArray[np.float64]
    items: npt.NDArray[np.float64]
    appeal: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]
    prices: npt.NDArray[np.float32]

    @classmethod
    def of(cls, users: int, items: int, seed: int = 1) -> "Shop":
        """So many of each."""
        random = np.random.default_rng(seed)
        kinds = random.integers(0, KINDS, items)
        middle = random.normal(size=(KINDS, TASTES))
        tastes = 0.7 * middle[kinds] + 0.7 * random.normal(size=(items, TASTES))
        return cls(
            random.normal(size=(users, TASTES)),
            tastes,
            random.normal(size=items) * 0.7 - 1.0,
            kinds,
            random.lognormal(2.0, 0.7, items).astype(np.float32),
        )

    def block(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64], hour: int) -> FeatureBlock:
        """One user row and one item row for each pair."""
        return FeatureBlock(
            np.column_stack([users, np.full(users.shape, hour)]).astype(np.int64),
            np.zeros((users.shape[0], 0), np.float32),
            np.column_stack([items, self.kinds[items]]).astype(np.int64),
            self.prices[items, None],
            np.arange(users.shape[0], dtype=np.int64),
        )

    def batches(self, examples: int, seed: int = 2) -> Iterator[Batch]:
        """What users did with items shown to them at random, popular ones more often."""
        random = np.random.default_rng(seed)
        for start in range(0, examples, BATCH):
            users = random.integers(0, self.users.shape[0], BATCH)
            items = (random.random(BATCH) ** 1.3 * self.items.shape[0]).astype(np.int64)
            liking = (self.users[users] * self.items[items]).sum(axis=1) / np.sqrt(TASTES) * 2.0
            logits = liking + self.appeal[items]
            labels = (random.random(BATCH) < 1 / (1 + np.exp(-logits))).astype(np.float32)
            yield Batch(self.block(users, items, start % 24), labels, np.ones(BATCH, np.float32))


@dataclass(frozen=True)
class Version:
    """A learned version: in a store, by its digest, and loaded."""

    digest: str
    servable: OnnxServable


def learned_version(shop: Shop, net: str, examples: int, root: Path) -> Version:
    """A version of the `net` (`deepfm` or `dcn`) that learned so many examples."""
    kind = {"deepfm": ml.DeepFM, "dcn": ml.DCNv2}[net]
    rows = ml.RowWiseAdaGrad(0.1)
    model = ml.model_of(NAME, kind, inputs=INPUTS, label=ml.Binary("click", "30m"), dim=16, hidden=(64, 32), rows=rows)
    learner = Learner(model, shop.items.shape[0])
    for batch in shop.batches(examples):
        learner.learn(batch, NOW_US)
    return loaded(model, learner, root)


def loaded(model: ml.Model, learner: Learner, root: Path) -> Version:
    """The learner's version, stored below `root` and loaded as a replica does."""
    store = FolderStore(root / "artifacts")
    views = TableViews(store, root / "tables", lambda path, base, width: TableArena(path, base, width, headroom=0.1))
    tables = []
    for name, table in learner.tables.items():
        blob = store.put(encode_base(table.base()))
        tables.append(TableManifest(name, table.width, table.buckets, "float32", blob))
    manifest = Manifest(
        model=model.name,
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage("one", "", 1, 1),
        learned=Learned({}, learner.steps, 0, 0),
        graph=store.put(Exporter(model).graph(learner)),
        dense=store.put(encode_dense(learner.dense_weights())),
        tables=tuple(tables),
        signature=signature_of(model.spec),
        feature_spec=model.spec,
        provenance=Provenance("0", "benchmark", ""),
    )
    digest = store.put_manifest(encode_manifest(manifest))
    servable = OnnxLoaders(store, views, root / "graphs", 1).loader(ServableId(model.name, 1, digest)).load()
    return Version(digest, servable)
