"""A version as one plain ONNX file, for servers that know nothing of arenas: every array inside, nothing outside."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from martlet.artifacts import ArtifactStore
from martlet.manifest import Manifest, TableManifest
from martlet.table_blobs import decode_base, decode_dense

Arrays = dict[str, npt.NDArray[np.generic]]


def write_whole(manifest: Manifest, store: ArtifactStore, path: Path) -> None:
    """Writes a snapshot as a file that any ONNX runtime can load."""
    arrays: Arrays = dict(decode_dense(store.get(manifest.dense)))
    for table in manifest.tables:
        arrays |= _table_arrays(table, store)
    model = onnx.load_model_from_string(store.get(manifest.graph))
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save_model(model, path)


def _table_arrays(table: TableManifest, store: ArtifactStore) -> Arrays:
    if table.deltas:
        raise ValueError(f"table {table.name} has deltas; write a snapshot")
    base = decode_base(store.get(table.base), table.width, table.buckets)
    slots = 4 * table.buckets
    return {
        f"{table.name}.directory": np.arange(table.buckets, dtype=np.int32),
        f"{table.name}.special": np.arange(slots, slots + base.special.shape[0], dtype=np.int64),
        f"{table.name}.keys": base.keys,
        f"{table.name}.rows": np.concatenate([base.rows.reshape(slots, table.width), base.special]),
    }
