"""What rows that travel as int8 cost in ranking quality, and that a repair makes them exact.

A DeepFM learns a stream of known truth: logit = sum of products of hidden vectors of user, item and context. Every few
steps a version is cut and acknowledged; each batch is first scored twice: with the trainer's own rows and with those
that are served.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.figures import Figures, at_least, at_most
from martlet.digest import blob_digest
from martlet.errors import NotFound
from martlet.feature_spec import FeatureBlock
from martlet.manifest import BlobRef, Learned, Lineage, Provenance, TableManifest, VersionKind, manifest_digest
from martlet.table_blobs import TableBase
from martlet.table_chain import read_table
from trainer_svc.learner import Batch, Learner
from trainer_svc.table_shipping import TableShipping
from trainer_svc.version_builder import ModelIdentity, VersionBuilder, VersionPayload

BATCH: Final = 256
PUBLISH_EVERY: Final = 8  # batches
REPAIR_EVERY: Final = 16
IDS: Final = {"user": 20_000, "item": 5_000, "shop": 500, "hour": 24}
RANK: Final = 4
INPUTS: Final[dict[str, ml.Input]] = {
    "user": ml.Id("user_id"),
    "item": ml.Id("item_id"),
    "shop": ml.Id("item.shop"),
    "hour": ml.Id("hour"),
}
MODEL: Final = ml.model_of("delta", ml.DeepFM, inputs=INPUTS, label=ml.Binary("click", "30m"), dim=15)


class MemoryStore:
    """Blobs for one run."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, data: bytes) -> BlobRef:
        """Keeps a blob."""
        blob = BlobRef(blob_digest(data), len(data))
        self._blobs[blob.digest] = bytes(data)
        return blob

    def get(self, blob: BlobRef) -> bytes:
        """A blob."""
        if blob.digest not in self._blobs:
            raise NotFound(f"no blob {blob.digest}")
        return self._blobs[blob.digest]

    def put_manifest(self, encoded: bytes) -> str:
        """Names a manifest."""
        return manifest_digest(encoded)

    def get_manifest(self, digest: str) -> bytes:
        """None is kept."""
        raise NotFound(f"no manifest {digest}")


@dataclass(frozen=True, slots=True)
class World:
    """The hidden truth."""

    vectors: dict[str, npt.NDArray[np.float64]]
    biases: dict[str, npt.NDArray[np.float64]]

    @classmethod
    def of(cls, random: np.random.Generator) -> "World":
        """A world of these random numbers."""
        vectors = {name: random.normal(0, 0.8, (count, RANK)) for name, count in IDS.items()}
        return cls(vectors, {name: random.normal(0, 0.4, count) for name, count in IDS.items()})

    def batch(self, random: np.random.Generator) -> Batch:
        """The next examples."""
        ids = {name: np.minimum(random.zipf(1.2, BATCH), count) - 1 for name, count in IDS.items()}
        total = sum(self.vectors[name][ids[name]] for name in IDS)
        squares = sum((self.vectors[name][ids[name]] ** 2).sum(1) for name in IDS)
        logits = 0.5 * ((total**2).sum(1) - squares) + sum(self.biases[name][ids[name]] for name in IDS) - 1.0
        labels = (random.random(BATCH) < 1 / (1 + np.exp(-logits))).astype(np.float32)
        return Batch(_block(ids), labels, np.ones(BATCH, np.float32))


class Publishing:
    """Cuts versions of a learner and acknowledges each at once."""

    def __init__(self, learner: Learner, encoding: str) -> None:
        self._learner = learner
        self.shipping = TableShipping(encoding, REPAIR_EVERY)
        self.store = MemoryStore()
        self._builder = VersionBuilder(self.store, ModelIdentity(MODEL.name, MODEL.spec))
        self.head: tuple[TableManifest, ...] | None = None
        self._generation = learner.generation

    def publish(self) -> None:
        """One more version; a snapshot when a table has grown."""
        head = self.head if self._generation == self._learner.generation else None
        self._generation = self._learner.generation
        kind = VersionKind.DELTA if head else VersionKind.SNAPSHOT
        parts = self.shipping.cut(self._learner.tables.values(), head, kind)
        payload = VersionPayload(
            1, kind, Lineage("b", "", 0, 1), Learned({}, 0, 0, 0), Provenance("", "", ""), b"", {}, parts, {}
        )
        self.head = self._builder.build(payload).tables
        self.shipping.acknowledged(self.head)
        for table in self._learner.tables.values():
            table.tracker.acknowledge()

    def is_exact(self) -> bool:
        """Whether the chain gives the learner's tables, bit for bit."""
        own = [table.base() for table in self._learner.tables.values()]
        served = [read_table(self.store, table) for table in self.head or ()]
        return all(_bytes(one) == _bytes(other) for one, other in zip(own, served, strict=True))

    @property
    def chain_length(self) -> int:
        """Deltas in the chain."""
        return len(self.head[0].deltas) if self.head else 0


def quality(figures: Figures, examples: int) -> None:
    """`delta.int8_auc_loss_points` and `delta.exact_after_repair`."""
    random, learner = np.random.default_rng(7), Learner(MODEL, 1 << 14)
    world, publishing = World.of(random), Publishing(learner, "int8")
    scores: dict[str, list[npt.NDArray[np.float32]]] = {"own": [], "served": []}
    labels, exact, repairs, length = [], 0, 0, 0
    for number in range(examples // BATCH):
        batch = world.batch(random)
        if number % PUBLISH_EVERY == 0:
            publishing.publish()
            if (length := publishing.chain_length) and length % REPAIR_EVERY == 0:
                repairs, exact = repairs + 1, exact + publishing.is_exact()
            elif number * BATCH >= examples // 4:  # the learner has warmed up; right after a version is made
                labels.append(batch.labels)
                scores["own"].append(learner.predict(batch.block))
                with publishing.shipping.as_published(learner.tables.values()):
                    scores["served"].append(learner.predict(batch.block))
        learner.learn(batch, 1_700_000_000_000_000)
    told = np.concatenate(labels)
    own, served = (auc(told, np.concatenate(parts)) for parts in scores.values())
    figures.add("delta.int8_auc", served, "")
    figures.add("delta.int8_auc_loss_points", 100 * (own - served), "points of AUC", at_most(0.02))
    figures.add("delta.exact_after_repair", float(repairs > 0 and exact == repairs), "", at_least(1))
    figures.add("delta.repairs_checked", repairs, "")


def auc(labels: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> float:
    """Area under the ROC curve; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels > 0
    p, n = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))


def _block(ids: dict[str, npt.NDArray[np.int64]]) -> FeatureBlock:
    layout = MODEL.spec.layout
    sides = {"user": ("user", "hour"), "item": ("item", "shop")}
    matrices = {side: np.zeros((BATCH, len(names)), np.int64) for side, names in sides.items()}
    for side, names in sides.items():
        for name in names:
            matrices[side][:, layout.first_column[name]] = ids[name]
    none = np.zeros((BATCH, 0), np.float32)
    return FeatureBlock(matrices["user"], none, matrices["item"], none, np.arange(BATCH))


def _bytes(base: TableBase) -> tuple[bytes, bytes, bytes]:
    return base.keys.tobytes(), base.rows.tobytes(), base.special.tobytes()
