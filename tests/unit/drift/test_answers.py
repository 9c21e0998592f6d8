"""Answers to drift: weights by age, a raised rate, the pin's share of a label; and the default row that masks teach."""

import numpy as np
import pytest
import torch

import martlet.learn as ml
from martlet.events import Arm
from martlet.feature_spec import FeatureBlock
from martlet.keys import UNKNOWN_ID
from martlet.runtime.learning_config import AugmentationConfig, DriftConfig, LearningConfig
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction, user_key_of
from tests.unit.trainer.streams import prediction
from trainer_svc.batch import Batch
from trainer_svc.drift.distillation import softened
from trainer_svc.drift.example_weights import age_weights
from trainer_svc.drift.rate_boost import RateBoost
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.learner import Learner

INPUTS = {"item": ml.Id("item_id"), "price": ml.Number("item.price")}
MODEL = ml.linear("shop", inputs=INPUTS, label=ml.Binary("c", "1h"))


def recorded(scores: dict[int, list[float]], arm: Arm) -> RecordedPrediction:
    made = prediction(1, items=(1, 2), version=max(scores), arm=arm, logits=scores[max(scores)])
    made.scores.update({version: np.array(logits, np.float32) for version, logits in scores.items()})  # type: ignore[attr-defined]
    return RecordedPrediction(encode_event(made))


def test_a_half_life_ago_counts_half_and_the_future_no_more_than_now() -> None:
    weights = age_weights(np.array([0, 50, 100, 200]), 100, 50)
    np.testing.assert_allclose(weights, [0.25, 0.5, 1.0, 1.0])


def test_the_rate_rises_at_an_alarm_and_falls_back_to_exactly_what_it_was() -> None:
    boost = RateBoost(5.0, 100)
    assert boost.factor == 1.0
    boost.alarm()
    assert boost.factor == 5.0
    boost.advance(100)
    assert boost.factor == pytest.approx(3.0)
    other = RateBoost(5.0, 100)
    other.restore(boost.state())
    assert other.factor == boost.factor
    boost.advance(10_000)
    assert boost.factor == 1.0


@pytest.mark.parametrize("model_rate", [0.05, 0.2])
def test_a_batchs_rate_is_a_factor_on_the_learning_rates(model_rate: float) -> None:
    """A step at twice the rate is the step of a model whose rate is twice as high."""

    def learned(rate: float, factor: float) -> np.ndarray:
        model = ml.model_of(
            "m",
            ml.DeepFM,
            inputs=INPUTS,
            label=MODEL.label,
            dim=2,
            hidden=(4,),
            dense=ml.SGD(rate),
            rows=ml.RowSGD(rate),
        )
        learner = Learner(model, 64)
        learner.learn(batch(np.arange(8), rate=factor), 1_000_000)
        return learner.predict(batch(np.arange(8)).block)

    np.testing.assert_allclose(learned(model_rate, 2.0), learned(2 * model_rate, 1.0), rtol=1e-6)
    assert not np.allclose(learned(model_rate, 2.0), learned(model_rate, 1.0))


def batch(items: np.ndarray, rate: float = 1.0, labels: float = 1.0) -> Batch:
    n = items.shape[0]
    block = FeatureBlock(
        np.zeros((1, 0), np.int64), np.zeros((1, 0), np.float32), items[:, None].astype(np.int64),
        np.ones((n, 1), np.float32), np.zeros(n, np.int64),
    )  # fmt: skip
    return Batch(block, np.full(n, labels, np.float32), np.ones(n, np.float32), rate=rate)


def test_a_label_in_between_has_the_gradient_of_both_losses() -> None:
    """The cross-entropy to the softened label is the sum of the two, but for a constant."""
    logits = torch.randn(50, dtype=torch.float64, requires_grad=True)
    labels, teacher = torch.randint(0, 2, (50,)).double(), torch.sigmoid(torch.randn(50).double())
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    (0.7 * loss(logits, labels) + 0.3 * loss(logits, teacher)).backward()
    both, logits.grad = logits.grad, None
    loss(logits, 0.7 * labels + 0.3 * teacher).backward()
    torch.testing.assert_close(logits.grad, both)


def test_the_teacher_is_the_oldest_version_of_the_record() -> None:
    group = LabelledRows(
        recorded({3: [2.0, 0.0], 5: [9.0, 9.0]}, Arm.LIVE), np.array([1, 0]), np.array([1.0, 0.0], np.float32), True
    )
    np.testing.assert_allclose(
        softened(group.labels, [group], 0.4), [0.6 + 0.4 * 0.5, 0.4 / (1 + np.exp(-2.0))], rtol=1e-6
    )


def test_without_a_teacher_labels_stay() -> None:
    labels = np.array([1.0], np.float32)
    alone = LabelledRows(recorded({5: [9.0, 9.0]}, Arm.LIVE), np.array([1]), labels, judged=True)
    pinned = LabelledRows(recorded({5: [0.0, 0.0]}, Arm.PIN), np.array([1]), labels, judged=True)
    np.testing.assert_array_equal(softened(labels, [alone], 0.4), labels)
    np.testing.assert_allclose(softened(labels, [pinned], 0.4), [0.8])


def test_an_unknown_id_never_gets_a_row_and_teaches_the_default_one() -> None:
    learner = Learner(MODEL, 64)
    for step in range(30):
        learner.learn(batch(np.full(8, UNKNOWN_ID)), step * 1_000_000)
    assert sum(table.statistics.spaces[0].rows for table in learner.tables.values()) == 0
    strange = learner.predict(batch(np.array([123])).block)
    np.testing.assert_array_equal(strange, learner.predict(batch(np.array([UNKNOWN_ID])).block))
    assert strange[0] > 0.5


def test_a_users_key_is_the_records() -> None:
    for user in (5, "anna"):
        made = RecordedPrediction(encode_event(prediction(1, user=user)))  # type: ignore[arg-type]
        assert made.user_key == user_key_of(user)


def test_settings_out_of_range_are_named() -> None:
    for make in (lambda: DriftConfig(distillation=2.0), lambda: AugmentationConfig(mask_ids={"a": -1.0})):
        with pytest.raises(Exception, match=r"learning\.(drift\.distillation|augmentation\.mask_ids\.a) must be"):
            make()
    assert LearningConfig() == LearningConfig()
