"""The place of an item: the record's in learning, the first one in serving."""

import numpy as np

import martlet.learn as ml
from martlet.events import Arm, Prediction
from martlet.feature_encoding import RankInput, encode
from martlet.feature_spec import LAST_POSITION
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.check import check
from trainer_svc.example_batch import batch_of
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.learner import Learner

MODEL = ml.linear(
    "placed", inputs={"place": ml.Position(), "item": ml.Id("item_id")}, label=ml.Binary("click", "30m"), rate=1.0
)
PLACE = MODEL.spec.layout.position_columns[0]


def shown(items: list[int]) -> RecordedPrediction:
    request = RankInput(None, {"item.@position": 7}, items, [{"item.@position": 7} for _ in items])
    block = encode(MODEL.spec, request)
    return RecordedPrediction(encode_event(Prediction(
        "p", "placed", 1, 1, 1, "salt", 5, 9000, Arm.LIVE, 1, "mt1-x", 7, "", tuple(items), None,
        {1: np.zeros(len(items), np.float32)}, spec_digest(MODEL.spec), block,
    )))  # fmt: skip


def examples(items: list[int], labels: list[float]) -> LabelledRows:
    return LabelledRows(shown(items), np.arange(len(items)), np.array(labels, np.float32), judged=True)


def test_what_is_served_stands_first_whatever_the_caller_says() -> None:
    block = encode(MODEL.spec, RankInput(None, {}, [5, 6, 7], [{"item.@position": 3}] * 3))
    assert block.item_ids[:, PLACE].tolist() == [0, 0, 0]


def test_what_is_learned_stands_where_it_was_shown() -> None:
    many = shown(list(range(300)))
    rows = np.array([250, 3, 98, 99])
    few = LabelledRows(many, rows, np.zeros(4, np.float32), judged=True)
    batch = batch_of([examples([5, 6], [0, 1]), few], MODEL.spec.layout)
    assert batch.block.item_ids[:, PLACE].tolist() == [0, 1, LAST_POSITION, 3, 98, 99]


def test_what_a_place_does_is_not_taken_for_what_an_item_is() -> None:
    """Item 5 mostly stands first, where everything is clicked more: both are equally good."""
    random, learner = np.random.default_rng(1), Learner(MODEL, 64)
    for step in range(400):
        orders = [[5, 6] if random.random() < 0.9 else [6, 5] for _ in range(32)]
        groups = [examples(order, (random.random(2) < (0.5, 0.1)).astype(float).tolist()) for order in orders]
        learner.learn(batch_of(groups, MODEL.spec.layout), step)
    five, six = learner.predict(encode(MODEL.spec, RankInput(None, {}, [5, 6], [{}, {}])))
    assert abs(five - six) < 0.35  # without places: about log(0.46 / 0.54) - log(0.14 / 0.86) = 1.7
    assert abs(1 / (1 + np.exp(-five)) - 0.5) < 0.1, "the score is that of the first place"


def test_such_a_model_can_be_served() -> None:
    report = check(MODEL)
    assert report.passed, report.render()
