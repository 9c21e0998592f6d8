"""Pretrained vectors from elsewhere: a file of ids and vectors becomes rows of a key space.

* NumPy (`.npz`): arrays `ids`, int64[n] or texts [n], and `vectors`, float[n, width].
* Parquet (`.parquet`, needs the extra `backfill`): columns `id`, integer or text, and `vector`, a list of floats.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.keys import id_value
from trainer_svc.learner import Learner
from trainer_svc.table.embedding_table import TableFull

_AT_ONCE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of ids.

    Attributes:
        ids: int64[n], as ids stand in a block: a text as its hash.
        vectors: float32[n, width], finite.
    """

    ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


def read_vectors(path: Path) -> Vectors:
    """Reads a file.

    Raises:
        InvalidInput: it is not there, of no known form, or holds what is no vector; the message says which.
    """
    if path.suffix == ".npz":
        ids, vectors = _from_numpy(path)
    elif path.suffix == ".parquet":
        ids, vectors = _from_parquet(path)
    else:
        raise InvalidInput(f"{path}: vectors are read from .npz or .parquet")
    if vectors.ndim != 2 or vectors.shape[0] != len(ids):  # noqa: PLR2004  a matrix
        raise InvalidInput(f"{path}: {len(ids)} ids do not fit vectors of shape {list(vectors.shape)}")
    if not np.isfinite(vectors).all():
        raise InvalidInput(f"{path}: a vector is not finite")
    values = np.array([id_value(one) for one in ids], np.int64)
    if np.unique(values).shape[0] != values.shape[0]:
        raise InvalidInput(f"{path}: an id stands there twice")
    return Vectors(values, vectors.astype(np.float32))


def give_vectors(learner: Learner, space: str, found: Vectors) -> int:
    """Gives the ids of a space rows that begin with these vectors; returns how many rows.

    Where rows are wider, their other columns are as of new rows. What a row held before is replaced.

    Raises:
        InvalidInput: the model has no such space, or its rows are narrower than the vectors.
    """
    spec = learner.spec
    features = [feature for feature in spec.features if feature.space == space]
    width = found.vectors.shape[1]
    table = next((one for one in learner.tables.values() if features and one.width == features[0].width), None)
    if table is None:
        raise InvalidInput(f"vectors: the model has no key space {space!r} (it has {', '.join(spec.salts)})")
    if table.width < width:
        raise InvalidInput(f"vectors of {width} columns do not fit rows of {table.width} in space {space!r}")
    names = next(one.features for one in learner.model.tables if one.name == table.name)
    number, special = list(spec.salts).index(space), 1 + names.index(features[0].name)
    count = 0
    with np.errstate(over="ignore"):
        keys = found.ids + np.int64(spec.salts[space])
    for start in range(0, keys.shape[0], _AT_ONCE):
        part = np.ascontiguousarray(keys[start : start + _AT_ONCE])
        rows = _places(table, part, number, special)
        kept = rows < table.slots
        table.rows[rows[kept], :width] = found.vectors[start : start + _AT_ONCE][kept].astype(table.rows.dtype)
        count += int(kept.sum())
    return count


def _places(table: Any, keys: npt.NDArray[np.int64], space: int, special: int) -> npt.NDArray[np.int64]:
    spaces, specials = np.full(keys.shape[0], space, np.uint16), np.full(keys.shape[0], special, np.int64)
    while True:
        try:
            rows: npt.NDArray[np.int64] = table.upsert(keys, spaces, specials, 0)
        except TableFull:
            table.grow()
            continue
        return rows


def _from_numpy(path: Path) -> tuple[list[Any], npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["ids"].tolist(), np.asarray(file["vectors"])
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"{path} holds no arrays ids and vectors: {error}") from error


def _from_parquet(path: Path) -> tuple[list[Any], npt.NDArray[Any]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InvalidInput("reading Parquet needs pyarrow: pip install martlet[backfill]") from error
    try:
        table = parquet.read_table(path, columns=["id", "vector"])
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"{path} holds no columns id and vector: {error}") from error
    vectors = table.column("vector").to_pylist()
    if len({len(one or ()) for one in vectors}) > 1:
        raise InvalidInput(f"{path}: vectors are of different lengths")
    return table.column("id").to_pylist(), np.array(vectors, np.float32).reshape(len(vectors), -1)
