"""Joined examples as a Parquet file, format 1: what the log teaches, to be read by other tools, and again here.

One row for each example. The file's metadata hold the format's number and the feature spec that lays the features out.

| column | |
|---|---|
| prediction_id, time_us | the prediction, and its event time in microseconds since 1970-01-01 UTC |
| item_row | which of its items |
| label, weight | float32 |
| logit | what the answering version gave; NaN if it is not recorded |
| version | the one that answered |
| user_ids, user_numbers, item_ids, item_numbers | the features' values as lists (see `martlet.feature_spec`) |
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from martlet.errors import Corrupt, InvalidInput
from martlet.feature_projection import Projection
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.manifest import canonical_json
from trainer_svc.backfill.history import History
from trainer_svc.backfill.sources import arrow, parquet
from trainer_svc.batch import Batch
from trainer_svc.example_batch import batch_of
from trainer_svc.labelled_rows import LabelledRows

FORMAT: Final = 1
_FORMAT: Final = b"martlet.examples"
_SPEC: Final = b"martlet.spec"
_PARTS: Final = ("user_ids", "user_numbers", "item_ids", "item_numbers")


def write_examples(path: Path, spec: FeatureSpec, steps: Iterable[list[LabelledRows]]) -> int:
    """Writes examples, a row group for each step; returns how many. The file appears whole.

    Raises:
        InvalidInput: pyarrow is not installed, or the model has several tasks.
    """
    pa = arrow()

    store, schema, count = parquet(), _schema(pa, spec), 0
    part = path.with_suffix(path.suffix + ".part")
    with store.ParquetWriter(part, schema) as writer:
        for step in steps:
            table = pa.table(_columns(step, spec), schema=schema)
            writer.write_table(table)
            count += table.num_rows
    part.replace(path)
    return count


def is_exported(path: Path) -> bool:
    """Whether a file was written by `write_examples`."""
    return path.suffix == ".parquet" and path.is_file() and _FORMAT in _metadata(path)


def read_examples(path: Path, spec: FeatureSpec, most: int) -> Iterator[History]:
    """Reads such a file, in batches of at most `most`. Features of another spec are read as far as they are the same.

    Raises:
        Corrupt: it is of another format, or damaged.
    """
    metadata = _metadata(path)
    if metadata.get(_FORMAT) != str(FORMAT).encode():
        raise Corrupt(f"{path}: examples of format {metadata.get(_FORMAT)!r} are not known here (known: {FORMAT})")
    try:
        given = msgspec.json.decode(metadata[_SPEC], type=FeatureSpec)
    except (KeyError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{path}: its feature spec cannot be read: {error}") from error
    projection = None if given == spec else Projection.between(given, spec)
    with parquet().ParquetFile(path) as file:
        for batch in file.iter_batches(most):
            yield _history(batch, given, projection)


def _metadata(path: Path) -> dict[bytes, bytes]:
    try:
        with parquet().ParquetFile(path) as file:
            return dict(file.schema_arrow.metadata or {})
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is no Parquet file: {error}") from error


def _schema(pa: Any, spec: FeatureSpec) -> Any:
    plain = {
        "prediction_id": pa.string(), "time_us": pa.int64(), "item_row": pa.int64(), "label": pa.float32(),
        "weight": pa.float32(), "logit": pa.float32(), "version": pa.int64(),
    }  # fmt: skip
    kinds = {name: pa.list_(pa.int64() if name.endswith("ids") else pa.float32()) for name in _PARTS}
    metadata = {_FORMAT: str(FORMAT).encode(), _SPEC: canonical_json(spec)}
    return pa.schema(list((plain | kinds).items()), metadata=metadata)


def _columns(step: list[LabelledRows], spec: FeatureSpec) -> dict[str, Any]:
    batch = batch_of(step, spec.layout)
    if batch.labels.ndim != 1:
        raise InvalidInput("examples of a model with several tasks cannot be exported yet")
    block, rows = batch.block, [len(group) for group in step]

    def repeated(values: list[Any]) -> list[Any]:
        return [value for value, count in zip(values, rows, strict=True) for _ in range(count)]

    return {
        "prediction_id": repeated([group.prediction.prediction_id for group in step]),
        "time_us": repeated([group.prediction.time_us for group in step]),
        "item_row": np.concatenate([group.rows for group in step]),
        "label": batch.labels,
        "weight": batch.weights,
        "logit": np.concatenate([_logits(group) for group in step]),
        "version": repeated([group.prediction.version for group in step]),
        "user_ids": list(block.user_ids[block.row_of_user]),
        "user_numbers": list(block.user_numbers[block.row_of_user]),
        "item_ids": list(block.item_ids),
        "item_numbers": list(block.item_numbers),
    }


def _logits(group: LabelledRows) -> npt.NDArray[np.float32]:
    given = group.prediction.logits()
    return given[group.rows] if given.shape[0] else np.full(len(group), np.nan, np.float32)


def _history(batch: Any, given: FeatureSpec, projection: Projection | None) -> History:
    layout, rows = given.layout, batch.num_rows
    widths = dict(zip(_PARTS, (
        layout.user_id_columns, layout.user_number_columns, layout.item_id_columns, layout.item_number_columns
    ), strict=True))  # fmt: skip
    arrays = {name: _matrix(batch.column(name), rows, width, name) for name, width in widths.items()}
    users, items = (arrays["user_ids"], arrays["user_numbers"]), (arrays["item_ids"], arrays["item_numbers"])
    block = FeatureBlock(*users, *items, np.arange(rows))
    names = [xxhash.xxh3_64_intdigest(name.encode()) for name in batch.column("prediction_id").to_pylist()]
    return History(
        Batch(
            block if projection is None else projection.of_block(block),
            np.array(batch.column("label").to_numpy(zero_copy_only=False), np.float32),
            np.array(batch.column("weight").to_numpy(zero_copy_only=False), np.float32),
        ),
        np.array(batch.column("time_us").to_numpy(zero_copy_only=False), np.int64),
        np.array(names, np.uint64),
    )


def _matrix(column: Any, rows: int, width: int, name: str) -> Any:
    dtype = np.int64 if name.endswith("ids") else np.float32
    flat = np.array(column.flatten().to_numpy(zero_copy_only=False), dtype)
    if flat.shape[0] != rows * width:
        raise Corrupt(f"column {name} does not hold {width} values in each row")
    return flat.reshape(rows, width)
