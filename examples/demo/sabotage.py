"""Faults, planted on purpose: what a damaged disk, a broken tool or a careless team could publish.

Each is offered through the registry's public door, as any publisher could do it. None lies about itself more than a
broken publisher would: the tenfold one simply does not say how far it moves the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from martlet.artifacts import FolderStore
from martlet.client.registry import RegistryClient
from martlet.errors import Conflict
from martlet.manifest import Manifest, VersionKind, decode_manifest, encode_manifest
from martlet.table_blobs import TableBase, decode_dense, encode_base, encode_dense
from martlet.table_chain import read_table
from martlet.versions import VersionRecord

Floats = npt.NDArray[np.float32]
TRIES = 50


@dataclass(frozen=True, slots=True)
class Weights:
    """A version's weights, without its graph."""

    dense: dict[str, Floats]
    tables: tuple[TableBase, ...]


Change = Callable[[Weights], Weights]


class Saboteur:
    """Publishes what should not be served.

    Args:
        artifacts: the artifact store's folder, which every publisher writes to.
    """

    def __init__(self, registry: RegistryClient, artifacts: Path, model: str) -> None:
        self._registry = registry
        self._store = FolderStore(artifacts)
        self._model = model

    async def corrupt(self) -> VersionRecord:
        """A child of the head whose dense weights were damaged after they were named."""
        blob = self._store.put(encode_dense({"damaged": _noise()}))
        path = self._store.blob_path(blob.digest)
        data = bytearray(path.read_bytes())
        data[-1] ^= 0x01
        path.write_bytes(data)
        head = await self._head()
        return await self._registry.publish(encode_manifest(replace(head, dense=blob)))

    async def tenfold(self) -> VersionRecord:
        """An update of the live lineage whose logits are ten times too large."""
        return await self._insist(lambda weights: scaled(weights, 10.0), lineage="", metrics={})

    async def shifted(self, logits: float) -> VersionRecord:
        """A version from elsewhere (another lineage): the head, its logits moved by a constant."""
        return await self._insist(lambda weights: moved(weights, logits), lineage="recalibrated", metrics={})

    async def _insist(self, change: Change, lineage: str, metrics: dict[str, float]) -> VersionRecord:
        """Offers again when the head has moved on meanwhile."""
        for _ in range(TRIES):
            child = self._changed(await self._head(), change, lineage, metrics)
            try:
                return await self._registry.publish(encode_manifest(child))
            except Conflict:
                continue
        raise Conflict("the head moves too fast")

    async def _head(self) -> Manifest:
        """The head's manifest, as its own child."""
        state = await self._registry.lineage(self._model)
        head = decode_manifest((await self._registry.version(self._model, state.head_version)).manifest)
        own = replace(head.lineage, parent=state.head_digest, epoch=state.epoch, sequence=head.lineage.sequence + 1)
        return replace(head, lineage=own)

    def _changed(self, head: Manifest, change: Change, lineage: str, metrics: dict[str, float]) -> Manifest:
        weights = change(self._weights(head))
        tables = tuple(
            replace(table, base=self._store.put(encode_base(base)), deltas=())
            for table, base in zip(head.tables, weights.tables, strict=True)
        )
        own = replace(head.lineage, lineage=lineage or head.lineage.lineage)
        dense = self._store.put(encode_dense(weights.dense))
        return replace(head, kind=VersionKind.SNAPSHOT, lineage=own, dense=dense, tables=tables, metrics=metrics)

    def _weights(self, manifest: Manifest) -> Weights:
        dense = decode_dense(self._store.get(manifest.dense))
        tables = tuple(read_table(self._store, table) for table in manifest.tables)
        return Weights({name: array.astype(np.float32) for name, array in dense.items()}, tables)


def scaled(weights: Weights, factor: float) -> Weights:
    """A DeepFM whose logits are `factor` times those of the given one, exactly but for rounding.

    Its logit is bias + first-order weights + pairwise products + perceptron: so rows grow by the root of the factor
    (their products by the factor), first-order columns by the factor, and the perceptron's first layer takes the root
    back before its last layer applies the factor.
    """
    root, dense = np.float32(np.sqrt(factor)), dict(weights.dense)
    layers = sorted(
        int(name.split(".")[2]) for name in dense if name.startswith("net.mlp.") and name.endswith("weight")
    )
    first, last = f"net.mlp.{layers[0]}", f"net.mlp.{layers[-1]}"
    dense[f"{first}.weight"] = dense[f"{first}.weight"] / root
    for name in (f"{last}.weight", f"{last}.bias", "net.bias"):
        dense[name] = dense[name] * np.float32(factor)
    return Weights(dense, tuple(_scaled_table(table, root, np.float32(factor)) for table in weights.tables))


def moved(weights: Weights, logits: float) -> Weights:
    """A DeepFM whose logits are those of the given one plus a constant."""
    return replace(weights, dense={**weights.dense, "net.bias": weights.dense["net.bias"] + np.float32(logits)})


def _scaled_table(table: TableBase, root: np.float32, factor: np.float32) -> TableBase:
    by_column = np.full(table.rows.shape[-1], root, np.float32)
    by_column[-1] = factor
    return replace(table, rows=table.rows * by_column, special=table.special * by_column)


def _noise() -> Floats:
    return np.random.default_rng(0).normal(size=64).astype(np.float32)
