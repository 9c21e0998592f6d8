"""Collects answers and their labels, record by record, into columns."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.evaluation.answers import Answers, FeatureColumn, Scores
from trainer_svc.labelled_rows import LabelledRows


class AnswerColumns:
    """See the module's docstring. Not thread-safe; holds some hundred bytes for each row.

    Args:
        spec: the features' layout.
        features: inputs whose values are kept.

    Raises:
        InvalidInput: the model has no such input.
    """

    def __init__(self, spec: FeatureSpec, features: Sequence[str]) -> None:
        self._readers = {name: _FeatureReader(spec, name) for name in features}
        self._index: dict[str, int] = {}
        self._answers: list[tuple[int, int, int, int]] = []
        self._starts = [0]
        self._columns: dict[str, list[npt.NDArray[np.generic]]] = defaultdict(list)
        self._scores: dict[int, list[tuple[int, npt.NDArray[np.float32]]]] = defaultdict(list)

    def answered(self, prediction: RecordedPrediction) -> None:
        """Takes an answer in; a second one of the same id is passed over."""
        if prediction.prediction_id in self._index:
            return
        self._index[prediction.prediction_id] = len(self._answers)
        arm = prediction.arm
        self._answers.append(
            (prediction.time_us, prediction.user_key, prediction.version, 0 if arm is None else arm.value)
        )
        start = self._starts[-1]
        self._starts.append(start + prediction.rows)
        for version, logits in prediction.scores().items():
            self._scores[version].append((start, logits))
        propensities = prediction.propensities
        self._columns["propensities"].append(_blank(prediction.rows) if propensities is None else propensities)
        self._columns["items"].append(prediction.item_keys())
        self._columns["served"].append(prediction.logits())
        self._columns["head"].append(prediction.lane_logits())
        self._columns["labels"].append(_blank(prediction.rows))
        for name, reader in self._readers.items():
            self._columns[name].append(reader.read(prediction))

    def labelled(self, group: LabelledRows) -> None:
        """Takes labels in: of each item the first counts; of a label of several tasks the first task."""
        at = self._index.get(group.prediction.prediction_id)
        if at is not None and group.judged:
            labels = group.labels if group.labels.ndim == 1 else group.labels[:, 0]
            self._columns["labels"][at][group.rows] = labels

    def take(self, over_us: int) -> Answers:
        """All of it. `over_us`: answers from before have had their attribution window."""
        times, users, versions, arms = (
            np.array([answer[place] for answer in self._answers], dtype)
            for place, dtype in enumerate((np.int64, np.uint64, np.int64, np.int8))
        )
        return Answers(
            times_us=times,
            users=users,
            versions=versions,
            arms=arms,
            mature=times < over_us,
            starts=np.array(self._starts, np.int64),
            labels=self._joined("labels", np.float32),
            items=self._joined("items", np.uint64),
            propensities=self._joined("propensities", np.float32),
            served=self._joined("served", np.float32),
            head=self._joined("head", np.float32),
            scores={version: _scores(parts) for version, parts in sorted(self._scores.items())},
            features={name: FeatureColumn(self._joined(name, reader.dtype)) for name, reader in self._readers.items()},
        )

    def _joined(self, name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        parts = self._columns[name]
        return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype)


class _FeatureReader:
    """Reads one feature of all rows of a prediction."""

    def __init__(self, spec: FeatureSpec, name: str) -> None:
        found = [feature for feature in spec.features if feature.name == name]
        if not found:
            known = ", ".join(feature.name for feature in spec.features)
            raise InvalidInput(f"the model has no input {name!r}; it has {known}")
        self._feature: Feature = found[0]
        self._column = spec.layout.first_column[name]
        self.dtype: npt.DTypeLike = np.int64 if self._feature.kind is FeatureKind.ID else np.float32

    def read(self, prediction: RecordedPrediction) -> npt.NDArray[np.generic]:
        """[rows]: an id; a number; of a list the count of its ids."""
        number = self._feature.kind is FeatureKind.NUMBER
        if self._feature.side is Side.USER:
            data, rows = prediction.user_numbers if number else prediction.user_ids, 1
        else:
            data, rows = prediction.item_numbers if number else prediction.item_ids, prediction.rows
        column = np.frombuffer(data, "<f4" if number else "<i8").reshape(rows, -1)[:, self._column]
        return np.broadcast_to(column, prediction.rows).astype(self.dtype)


def _blank(rows: int) -> npt.NDArray[np.float32]:
    return np.full(rows, np.nan, np.float32)


def _scores(parts: Sequence[tuple[int, npt.NDArray[np.float32]]]) -> Scores:
    rows = np.concatenate([np.arange(start, start + logits.shape[0]) for start, logits in parts])
    return Scores(rows, np.concatenate([logits for _, logits in parts]))
