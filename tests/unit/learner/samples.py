"""Models and blocks that the learner's tests share."""

from collections.abc import Mapping, Sequence

import numpy as np

import martlet.learn as ml
from martlet.feature_encoding import RankInput, Value, concatenate, encode
from martlet.feature_spec import FeatureBlock, FeatureSpec
from trainer_svc.batch import Batch
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch

NOW_US = 1_700_000_000_000_000
LABEL = ml.Binary("click", "30m")
INPUTS: dict[str, ml.Input] = {
    "user": ml.Id("user_id", ttl="1h"),
    "item": ml.Id("item_id"),
    "history": ml.IdList("recent_items", space="item", max_len=4),
    "genres": ml.IdList("item.genres", pool="mean", max_len=3),
    "price": ml.Number("item.price", normalise="running"),
    "relu": ml.Number("hour"),  # torch calls an inner value so: the names must not meet
}
MODEL = ml.model_of("m", ml.DeepFM, inputs=INPUTS, label=LABEL, dim=7, hidden=(8,), rows=ml.RowWiseAdaGrad(0.1))


def batches(count: int, size: int = 32, seed: int = 0, spec: FeatureSpec = MODEL.spec) -> list[Batch]:
    random = np.random.default_rng(seed)
    return [made_up_batch(spec, random, size) for _ in range(count)]


def learned(model: ml.Model = MODEL, count: int = 5, buckets: int = 256) -> Learner:
    learner = Learner(model, buckets)
    for batch in batches(count, spec=model.spec):
        learner.learn(batch, NOW_US)
    return learner


def requests(spec: FeatureSpec, rows: Sequence[Mapping[str, Value]]) -> FeatureBlock:
    """One request of one item for each mapping; its values by source."""
    blocks = []
    for row in rows:
        user, item = row.get("user_id"), row.get("item_id", 0)
        assert isinstance(user, int | str | None)
        assert isinstance(item, int | str)
        blocks.append(encode(spec, RankInput(user, row, [item], [row])))
    return concatenate(blocks)


def batch_of(spec: FeatureSpec, rows: Sequence[Mapping[str, Value]], labels: Sequence[float]) -> Batch:
    return Batch(requests(spec, rows), np.array(labels, np.float32), np.ones(len(rows), np.float32))
