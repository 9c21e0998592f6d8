"""A model with every kind of input, that several tests share."""

from collections.abc import Mapping

import martlet.learn as ml
from tests.unit.learner.samples import INPUTS, LABEL

RICH_INPUTS: Mapping[str, ml.Input] = {
    **INPUTS,
    "title": ml.Text("item.title", max_len=6),
    "image": ml.Vector("item.image", 5),
    "mood": ml.Vector("mood", 3, normalise="running"),
    "age": ml.Buckets("age", (18, 30, 60)),
    "stock": ml.Number("item.stock", normalise="log1p"),
    "views": ml.Number("views", normalise="log1p+running"),
}
RICH = ml.model_of("rich", ml.DeepFM, inputs=RICH_INPUTS, label=LABEL, dim=4, hidden=(8,))
RICH_LINEAR = ml.linear(
    "rich", inputs={k: v for k, v in RICH_INPUTS.items() if k not in ("image", "mood")}, label=LABEL
)
