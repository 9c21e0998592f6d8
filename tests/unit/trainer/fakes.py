"""Stand-ins for the trainer's neighbours: a small learner, a registry in memory, executors that run at once."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import numpy.typing as npt

from martlet.artifacts import ArtifactStore
from martlet.digest import blob_digest
from martlet.errors import Conflict, NotFound
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import id_value, space_salt, wrap_int64
from martlet.learn.optimizers import RowWiseAdaGrad
from martlet.manifest import BlobRef, Manifest, decode_manifest, manifest_digest
from martlet.measurement import MeasurementBatch
from martlet.versions import CatalogState, Expiry, LineageState, VersionRecord
from trainer_svc.batch import Batch
from trainer_svc.journal import PublishResult, Rewound
from trainer_svc.learner_figures import LearnerFigures, TableFigures
from trainer_svc.stepping import Stepping
from trainer_svc.table.embedding_table import EmbeddingTable, TableFull
from trainer_svc.table.updates import RowUpdate

Arrays = dict[str, npt.NDArray[np.generic]]

SPEC = FeatureSpec(
    features=(
        Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=2),
        Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=2),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
    ),
    salts={"user": space_salt("user"), "item": space_salt("item")},
)


class LinearLearner:
    """Logit = bias + weight * price + first columns of the user's and the item's rows. Rows in a real table."""

    def __init__(self, buckets: int = 4) -> None:
        self.table = EmbeddingTable("t2", 2, buckets, 3)
        self.weights = np.zeros(2, np.float32)
        self._generation = 0

    @property
    def tables(self) -> dict[str, EmbeddingTable]:
        return {"t2": self.table}

    @property
    def generation(self) -> int:
        return self._generation

    def predict(self, block: FeatureBlock) -> npt.NDArray[np.float32]:
        keys, specials, _ = self._keys(block)
        found = self.table.find(keys)
        rows = self.table.gather(np.where(found < 0, self.table.slots + specials, found))
        return self._logits(block, rows)

    def learn(self, batch: Batch, now_us: int) -> float:
        keys, specials, spaces = self._keys(batch.block)
        while True:
            try:
                rows = self.table.upsert(keys, spaces, specials, now_us // 1_000_000)
                break
            except TableFull:
                self.table.grow()
                self._generation += 1
        logits = self._logits(batch.block, self.table.gather(rows))
        labels = batch.labels if batch.labels.ndim == 1 else np.nansum(batch.labels, 1)  # one label in each row
        error = (batch.weights * (1.0 / (1.0 + np.exp(-logits)) - labels)).astype(np.float32)
        gradients = np.zeros((rows.shape[0], 2), np.float32)
        gradients[:, 0] = np.concatenate([error, error])
        self.table.update(rows, gradients, RowUpdate(RowWiseAdaGrad(), 0.1 * batch.rate))
        price = np.nan_to_num(batch.block.item_numbers[:, 0])
        self.weights -= np.float32(0.01) * np.array([error.sum(), (error * price).sum()], np.float32)
        return float(np.abs(error).mean())

    def test_and_learn(self, batch: Batch, now_us: int) -> npt.NDArray[np.float32]:
        logits = self.predict(batch.block)
        self.learn(batch, now_us)
        return logits

    def forget(self, user_id: int | str) -> int:
        keys = np.array([wrap_int64(id_value(user_id) + SPEC.salts["user"])], np.int64)
        return self.table.remove(keys, 0)

    def evict(self, now_us: int) -> int:
        return self.table.evict(1, now_us // 1_000_000 - 7200)

    def figures(self) -> LearnerFigures:
        return LearnerFigures(0, {"t2": TableFigures(self.table.memory, self.table.statistics, tuple(SPEC.salts))})

    def dense_weights(self) -> dict[str, npt.NDArray[np.float32]]:
        return {"weights": self.weights.copy()}

    def state(self) -> Arrays:
        own: Arrays = {"weights": self.weights, "generation": np.array(self._generation, np.int64)}
        return own | {f"rows/t2/{name}": array for name, array in self.table.state().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        rest = dict(state)
        self.weights = np.array(rest.pop("weights"), np.float32)
        self._generation = int(rest.pop("generation"))
        self.table.restore({name.removeprefix("rows/t2/"): array for name, array in rest.items()})

    def _keys(self, block: FeatureBlock) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
        users, items = block.user_ids[block.row_of_user, 0], block.item_ids[:, 0]
        keys = np.concatenate([users + SPEC.salts["user"], items + SPEC.salts["item"]])
        which = np.repeat(np.array([0, 1]), block.rows)
        return keys, which + 1, which.astype(np.uint16)

    def _logits(self, block: FeatureBlock, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        first = rows[: block.rows, 0] + rows[block.rows :, 0]
        price = np.nan_to_num(block.item_numbers[:, 0])
        return np.asarray(first + self.weights[0] + self.weights[1] * price, np.float32)


class MemoryStore:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}

    def put(self, data: Any) -> BlobRef:
        blob = BlobRef(blob_digest(data), memoryview(data).nbytes)
        self.blobs[blob.digest] = bytes(data)
        return blob

    def get(self, blob: BlobRef) -> bytes:
        if blob.digest not in self.blobs:
            raise NotFound(blob.digest)
        return self.blobs[blob.digest]

    def put_manifest(self, encoded: bytes) -> str:
        digest = manifest_digest(encoded)
        self.manifests[digest] = encoded
        return digest

    def get_manifest(self, digest: str) -> bytes:
        return self.manifests[digest]


class FakeRegistry:
    """Compare-and-swap on (epoch, head); checks that a delta's blobs are there. `refuse` says which to reject."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.records: dict[str, VersionRecord] = {}
        self.accepted: list[Manifest] = []
        self.digests: list[str] = []
        self.head, self.epoch = "", 0
        self.pin = ""
        self.branches: list[str] = []
        self.taken_back: set[str] = set()
        self.rewinding = False
        self.frozen = ""
        self.expired_below = 0
        self.acknowledged: list[tuple[int, str]] = []
        self.refuse: Callable[[Manifest], bool] = lambda manifest: False
        self.away: Callable[[], None] = lambda: None

    def expire(self, model: str, below: int, who: str, why: str) -> Expiry:
        self.away()
        self.expired_below = below
        return Expiry(versions=below - 1)

    def publish(self, manifest: bytes) -> VersionRecord:
        self.away()
        decoded, digest = decode_manifest(manifest), manifest_digest(manifest)
        if digest in self.records:
            return self.records[digest]
        state = CatalogState.REJECTED if self.refuse(decoded) else CatalogState.ADMITTED
        branch = "/" in decoded.lineage.lineage  # it takes the structural road
        if branch:
            self.branches.append(digest)
        elif state is CatalogState.ADMITTED:
            if self.rewinding or self.frozen:
                raise Conflict("not now")
            if (decoded.lineage.epoch, decoded.lineage.parent) != (self.epoch, self.head):
                raise Conflict("another head")
            for blob in decoded.blobs():
                self._store.get(blob)
            self.head = digest
            self.accepted.append(decoded)
            self.digests.append(digest)
        record = VersionRecord(
            decoded.model, len(self.records) + 1, digest, decoded.lineage.parent, decoded.lineage.epoch, state,
            "refused" if state is CatalogState.REJECTED else "", decoded.kind.value, 0,
        )  # fmt: skip
        self.records[digest] = record
        return record

    def lineage(self, model: str) -> LineageState:
        self.away()
        known = self.records.get(self.head)
        version = known.version if known else 0
        return LineageState(
            model, self.epoch, 0, version, self.head, version, self.pin or self.head, self.rewinding, self.frozen
        )

    def promote(self, digest: str) -> None:
        """A version from the structural road becomes pin and head."""
        self.head, self.epoch = digest, self.epoch + 1

    def alarm(self, pin: str) -> None:
        """Takes everything behind a version back."""
        if pin in self.digests:
            self.taken_back.update(self.digests[self.digests.index(pin) + 1 :])
        self.head, self.epoch, self.rewinding = pin, self.epoch + 1, True

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        if (epoch, digest) != (self.epoch, self.head):
            raise Conflict("another epoch or version")
        self.acknowledged.append((epoch, digest))
        self.rewinding = False


class AtOnce(Executor):
    """Runs what is submitted at once. What a dying process raises goes through."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  as an executor does
            future.set_exception(error)
        return future


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.steps: list[Stepping] = []
        self.results: list[PublishResult] = []
        self.checkpoints: list[tuple[int, str]] = []
        self.failed_checkpoints = 0
        self.reports: list[MeasurementBatch] = []
        self.rewinds: list[Rewound] = []

    def stepped(self, stepping: Stepping, seconds: float) -> None:
        self.steps.append(stepping)

    def published(self, result: PublishResult, seconds: float) -> None:
        self.results.append(result)

    def rewound(self, entry: Rewound, seconds: float) -> None:
        self.rewinds.append(entry)

    def checkpoint_failed(self) -> None:
        self.failed_checkpoints += 1

    def checkpointed(self, step: int, digest: str, seconds: float) -> None:
        self.checkpoints.append((step, digest))

    def reported(self, batch: MeasurementBatch) -> None:
        self.reports.append(batch)
