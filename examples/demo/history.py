"""What the registry and the log know afterwards: versions as learned states, recorded examples, and the baselines."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from examples.movielens.model import MODEL
from martlet.artifacts import FolderStore
from martlet.eventlog.file_log import FileEventReader
from martlet.events import Outcome, Prediction
from martlet.feature_encoding import concatenate
from martlet.feature_spec import FeatureBlock
from martlet.manifest import Manifest
from martlet.signature import LOGIT
from martlet.table_blobs import decode_dense
from martlet.table_chain import read_table
from martlet.wire.events import decode_event
from trainer_svc.export.parity import OnnxScorer
from trainer_svc.learner import Batch, Learner

BATCH = 256
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Examples as they were recorded, in the order of their outcomes. One block a row, and the logit answered."""

    blocks: list[FeatureBlock]
    labels: npt.NDArray[np.float32]
    logits: Floats

    def __len__(self) -> int:
        return len(self.blocks)


def recorded_events(reader: FileEventReader) -> tuple[list[Prediction], list[Outcome], list[int]]:
    """All predictions, all outcomes, and the offset behind each outcome, in the log's order. One partition."""
    predictions: list[Prediction] = []
    outcomes: list[Outcome] = []
    offsets: list[int] = []
    for event, end in _events(reader):
        if isinstance(event, Prediction):
            predictions.append(event)
        elif isinstance(event, Outcome):
            outcomes.append(event)
            offsets.append(end)
    return predictions, outcomes, offsets


def recorded_examples(reader: FileEventReader, threshold: float) -> Recorded:
    """Joins the log's ratings with the feature values that were used."""
    predictions, outcomes, _ = recorded_events(reader)
    known = {prediction.prediction_id: prediction for prediction in predictions}
    blocks: list[FeatureBlock] = []
    labels: list[float] = []
    logits: list[float] = []
    for event in outcomes:
        prediction = known.pop(event.prediction_id, None)
        if prediction is not None:
            item = prediction.item_ids.index(event.item_id)
            blocks.append(_row(prediction.features, item))
            logits.append(float(prediction.scores[prediction.version][item]))
            labels.append(float(event.value >= threshold))
    return Recorded(blocks, np.array(labels, np.float32), np.array(logits, np.float64))


def frozen_scores(store: FolderStore, manifest: Manifest, recorded: Recorded, start: int) -> Floats:
    """Logits of the examples from `start` on, by the published version itself, in onnxruntime."""
    scorer = OnnxScorer(store.get(manifest.graph), version_arrays(store, manifest))
    learner = Learner(MODEL, 64)  # only for its feature spec
    parts = [
        scorer.outputs(learner, concatenate(recorded.blocks[at : at + BATCH]))[LOGIT]
        for at in range(start, len(recorded), BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def version_arrays(store: FolderStore, manifest: Manifest) -> dict[str, npt.NDArray[np.generic]]:
    """A version's arrays as a full export: base and deltas put together, identity directory."""
    arrays: dict[str, npt.NDArray[np.generic]] = dict(decode_dense(store.get(manifest.dense)))
    for table in manifest.tables:
        base = read_table(store, table)
        slots = table.buckets * base.keys.shape[1]
        arrays[f"{table.name}.directory"] = np.arange(table.buckets, dtype=np.int32)
        arrays[f"{table.name}.keys"] = base.keys
        arrays[f"{table.name}.rows"] = np.concatenate([base.rows.reshape(slots, table.width), base.special])
        arrays[f"{table.name}.special"] = slots + np.arange(base.special.shape[0])
    return arrays


def retrained_scores(recorded: Recorded, start: int, parts: int, passes: int) -> Floats:
    """Logits from `start` on by models that are trained from scratch at each tenth, on everything before it.

    Each makes so many passes over its data in order; the same model and settings as the live one.
    """
    bounds = np.linspace(0, len(recorded), parts + 1).astype(int)
    scores: list[npt.NDArray[np.float32]] = []
    for begin, end in pairwise(bounds):
        if begin < start:
            continue
        learner = Learner(MODEL, 4096)
        for _ in range(passes):
            learn(learner, recorded, 0, int(begin))
        scores.extend(
            learner.predict(concatenate(recorded.blocks[at : min(at + BATCH, end)])) for at in range(begin, end, BATCH)
        )
    return np.concatenate(scores).astype(np.float64)


def learn(learner: Learner, recorded: Recorded, begin: int, end: int) -> None:
    """One pass in order."""
    for at in range(begin, end, BATCH):
        stop = min(at + BATCH, end)
        labels = recorded.labels[at:stop]
        learner.learn(Batch(concatenate(recorded.blocks[at:stop]), labels, np.ones_like(labels)), 1)


def _row(block: FeatureBlock, item: int) -> FeatureBlock:
    return FeatureBlock(
        block.user_ids,
        block.user_numbers,
        block.item_ids[item : item + 1],
        block.item_numbers[item : item + 1],
        np.zeros(1, np.int64),
    )


def _events(reader: FileEventReader) -> Iterator[tuple[object, int]]:
    for partition in reader.partitions():
        at = 0
        while found := reader.read(partition, at, 4 << 20):
            yield from ((decode_event(record.payload), record.end) for record in found)
            at = found[-1].end
