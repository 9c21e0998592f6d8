"""From rows of a source to batches that a learner takes, in the order of the source."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

from martlet.errors import InvalidInput
from martlet.feature_encoding import ITEM_ID, USER_ID, RankInput, Value, concatenate, encode
from martlet.feature_spec import FeatureBlock, FeatureSpec, Side
from martlet.learn import Binary
from trainer_svc.backfill.mapping import ColumnMap
from trainer_svc.backfill.sources import Chunk
from trainer_svc.batch import Batch

MOST_FAULTS: Final = 10  # told one by one

LabelRule = Any  # a label of martlet.learn


@dataclass(frozen=True, slots=True)
class History:
    """Examples of a chunk.

    Attributes:
        batch: what a learner takes.
        times_us: int64[n].
        predictions: uint64[n], XXH3-64 of the prediction ids; 0 where there is none.
    """

    batch: Batch
    times_us: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.uint64]


@dataclass(slots=True)
class Faults:
    """Rows that could not be used, and why; the first ones are told."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, row: int, why: str) -> None:
        """One more."""
        self.count += 1
        if len(self.told) < MOST_FAULTS:
            self.told.append(f"row {row}: {why}")


class Historian:
    """Reads rows by a mapping. A row that cannot be used is counted, told, and left out; the others go on.

    Raises:
        InvalidInput: the mapping names a feature that the model does not read.
    """

    def __init__(self, spec: FeatureSpec, label: LabelRule, columns: ColumnMap, faults: Faults | None = None) -> None:
        sources = {feature.source for feature in spec.features}
        odd = sorted(columns.features.keys() - sources - {USER_ID, ITEM_ID})
        if odd:
            raise InvalidInput(f"the model reads no {odd[0]!r} (it reads {', '.join(sorted(sources))})")
        self._spec = spec
        self._label = label
        self._map = columns
        self._item = {one.source for one in spec.features if one.side is Side.ITEM}
        self._row = 0
        self.faults = Faults() if faults is None else faults

    def read(self, chunks: Iterable[Chunk], most: int) -> Iterator[History]:
        """The examples, in batches of at most `most`."""
        for chunk in chunks:
            found = [row for row in self._rows(chunk) if row is not None]
            for start in range(0, len(found), most):
                yield _history(found[start : start + most])

    def _rows(self, chunk: Chunk) -> Iterator["_Row | None"]:
        count = len(next(iter(chunk.values()), ()))
        for at in range(count):
            self._row += 1
            try:
                yield self._one({name: values[at] for name, values in chunk.items()})
            except InvalidInput as error:
                self.faults.add(self._row, str(error))
                yield None

    def _one(self, row: Mapping[str, Any]) -> "_Row":
        columns = self._map
        given = {source: row[column] for source, column in columns.features.items() if row[column] is not None}
        item, user = given.pop(ITEM_ID, None), given.pop(USER_ID, None)
        if item is None:
            raise InvalidInput("no item_id")
        of_item: dict[str, Value] = {name: value for name, value in given.items() if name in self._item}
        context = {name: value for name, value in given.items() if name not in self._item}
        block = encode(self._spec, RankInput(user, context, [item], [of_item]))
        weight = 1.0 if not columns.weight or row[columns.weight] is None else float(row[columns.weight])
        named = row[columns.prediction_id] if columns.prediction_id else None
        known = 0 if named is None else xxhash.xxh3_64_intdigest(str(named).encode())
        return _Row(block, self._labelled(row[columns.label]), weight, columns.time_us(row[columns.time]), known)

    def _labelled(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"column {self._map.label!r}: {value!r} is no number") from error
        if not np.isfinite(number):
            raise InvalidInput(f"column {self._map.label!r}: the label is not finite")
        if self._map.labelled or not isinstance(self._label, Binary):
            return number
        threshold = self._label.threshold if self._label.explicit else np.nextafter(0.0, 1.0)
        return float(number >= threshold)


@dataclass(frozen=True, slots=True)
class _Row:
    block: FeatureBlock
    label: float
    weight: float
    time_us: int
    prediction: int


def _history(rows: list[_Row]) -> History:
    labels = np.array([row.label for row in rows], np.float32)
    weights = np.array([row.weight for row in rows], np.float32)
    return History(
        Batch(concatenate([row.block for row in rows]), labels, weights),
        np.array([row.time_us for row in rows], np.int64),
        np.array([row.prediction for row in rows], np.uint64),
    )
