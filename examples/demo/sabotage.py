"""A corrupt artifact, published on purpose: a version whose weights were damaged on their way to the store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from martlet.artifacts import FolderStore
from martlet.client.registry import RegistryClient
from martlet.manifest import decode_manifest, encode_manifest
from martlet.table_blobs import encode_dense
from martlet.versions import VersionRecord


async def publish_corrupt(registry: RegistryClient, artifacts: Path, model: str) -> VersionRecord:
    """Offers a child of the head whose dense weights were damaged after they were named; returns the record."""
    store = FolderStore(artifacts)
    lineage = await registry.lineage(model)
    head = decode_manifest((await registry.version(model, lineage.head_version)).manifest)
    blob = store.put(encode_dense({"damaged": _noise()}))
    path = store.blob_path(blob.digest)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x01
    path.write_bytes(data)
    bad = replace(
        head,
        lineage=replace(
            head.lineage, parent=lineage.head_digest, epoch=lineage.epoch, sequence=head.lineage.sequence + 1
        ),
        dense=blob,
    )
    return await registry.publish(encode_manifest(bad))


def _noise() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=64).astype(np.float32)
