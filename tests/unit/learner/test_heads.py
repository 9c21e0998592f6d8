"""Every kind of label is learned by the loss of its definition, and served as it was learned."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import log_loss

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.feature_encoding import signature_of
from martlet.learn.heads import head_of
from martlet.learn.losses import TaskLosses
from martlet.signature import is_fused, single_scores
from tests.unit.learner.heads import MODELS, PAIR, STAGE, STARS, STAY, TASKS, Towers, deep
from tests.unit.learner.samples import LABEL, MODEL, NOW_US, requests
from trainer_svc.batch import Batch
from trainer_svc.check import check, differing
from trainer_svc.export import parity
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch, made_up_block

Floats = npt.NDArray[np.float32]


def taught(model: ml.Model, steps: int = 6) -> Learner:
    learner, random = Learner(model, 256), np.random.default_rng(1)
    for _ in range(steps):
        learner.learn(made_up_batch(model.spec, random, 32, model.head), NOW_US)
    return learner


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_graph_serves_what_was_learned(model: ml.Model) -> None:
    learner, exporter, random = taught(model), Exporter(model), np.random.default_rng(5)
    blocks = [made_up_block(model.spec, random, n, users) for n, users in ((1, 1), (33, 2), (70, 70))]
    for optimise in (True, False):
        scorer = parity.OnnxScorer(exporter.graph(learner), exporter.arrays(learner), optimise=optimise)
        assert parity.check(learner, scorer, blocks).holds
        outputs = scorer.outputs(learner, blocks[1])
        shapes = {spec.name: spec.dims[1:] for spec in signature_of(model.spec, model.head.more).outputs}
        assert {name: array.shape[1:] for name, array in outputs.items()} == shapes
    np.testing.assert_allclose(outputs["logit"], learner.predict(blocks[1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["classes", "product"])
def test_check_passes_what_can_be_learned_and_served(name: str) -> None:
    report = check(MODELS[name])
    assert report.passed, report.render()


def test_the_outputs_are_named_after_the_tasks() -> None:
    fused = signature_of(MODELS["product"].spec, MODELS["product"].head.more)
    assert [output.name for output in fused.outputs] == [
        "score", "logit", "fused", "click.score", "click.logit", "stage.score", "stage.logit", "stay.score",
        "stay.logit", "purchase.score", "purchase.logit",
    ]  # fmt: skip
    assert list(single_scores(fused)) == ["click", "stay", "purchase"]
    assert is_fused(fused)
    assert not is_fused(signature_of(MODELS["tasks"].spec, MODELS["tasks"].head.more))
    classes = signature_of(MODELS["classes"].spec, MODELS["classes"].head.more)
    assert [(output.name, output.dims) for output in classes.outputs[2:]] == [
        ("probabilities", ("n", 4)), ("logits", ("n", 4)),
    ]  # fmt: skip


def test_losses_are_those_of_the_definition() -> None:
    random = np.random.default_rng(2)
    logits, weights = random.normal(size=(9, 3)).astype(np.float32), random.uniform(0.5, 2, 9).astype(np.float32)
    classes = random.integers(0, 3, 9)
    powers = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = log_loss(classes, powers, sample_weight=weights, normalize=False, labels=[0, 1, 2])
    loss = ml.MultiClass("rating", "1h", classes=3).loss
    tensors = torch.tensor(logits), torch.tensor(classes, dtype=torch.float32), torch.tensor(weights)
    assert float(loss.total(*tensors)) == pytest.approx(expected, rel=1e-5)
    squared = float(STAY.loss.total(tensors[0][:, 0], tensors[1], tensors[2]))
    assert squared == pytest.approx(float((weights * (logits[:, 0] - classes) ** 2).sum()), rel=1e-5)


def test_tasks_add_up_over_the_labels_that_there_are() -> None:
    labels = np.array([[1, np.nan, np.nan, np.nan], [np.nan, 2, 3.5, np.nan], [0, np.nan, np.nan, 1]], np.float32)
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 0.5])
    loss = TASKS.loss
    assert isinstance(loss, TaskLosses)
    total = loss.total(logits, torch.tensor(labels), weights)
    total.backward()  # type: ignore[no-untyped-call]
    expected = 0.0
    for task, (part, one) in enumerate(
        zip(loss.losses, (slice(0, 1), slice(1, 5), slice(5, 6), slice(6, 7)), strict=True)
    ):
        for row in range(3):
            if not np.isnan(labels[row, task]):
                piece = logits.detach()[row : row + 1, one]
                own = piece if piece.shape[1] > 1 else piece[:, 0]
                expected += float(part.total(own, torch.tensor(labels[row : row + 1, task]), weights[row : row + 1]))
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0, 1:].any()  # what an example says nothing of does not move


def one_hot(model: ml.Model, labels: Floats, steps: int) -> tuple[Learner, Batch]:
    block = requests(model.spec, [{"user_id": 1, "item_id": item} for item in range(labels.shape[0])])
    learner, batch = Learner(model, 64), Batch(block, labels, np.ones(labels.shape[0], np.float32))
    for _ in range(steps):
        learner.learn(batch, NOW_US)
    return learner, batch


def small(label: ml.Label) -> ml.Model:
    return ml.model_of("m", ml.DeepFM, inputs=PAIR, label=label, dim=4, hidden=(16,), dense=ml.Adam(0.02))


def test_numbers_are_learned() -> None:
    learner, batch = one_hot(small(STAY), np.array([3.0, -2.0, 11.0], np.float32), 400)
    np.testing.assert_allclose(learner.predict(batch.block), batch.labels, atol=0.2)


def test_classes_are_learned_and_judged_by_the_expected_one() -> None:
    learner, batch = one_hot(small(STARS), np.array([4.0, 0.0, 2.0], np.float32), 400)
    assert learner.logits(batch.block).argmax(1).tolist() == [4, 0, 2]
    np.testing.assert_allclose(learner.predict(batch.block), batch.labels, atol=0.3)


def test_each_task_is_learned_from_its_own_labels() -> None:
    nan = np.nan
    labels = np.array([[1, nan, nan, nan], [0, nan, nan, nan], [nan, 3, nan, nan], [nan, nan, 7, nan]], np.float32)
    model = ml.Model("m", Towers, inputs=PAIR, label=TASKS, dense=ml.Adam(0.02))
    learner, batch = one_hot(model, labels, 400)
    logits = learner.logits(batch.block)
    assert logits[0, 0] > 2
    assert logits[1, 0] < -2
    assert logits[2, 1:5].argmax() == 3
    assert logits[3, 5] == pytest.approx(7, abs=0.3)
    assert learner.predict(batch.block).tolist() == logits[:, 0].tolist()


MODELS_OF_TWO_WAYS = [MODEL, ml.linear("l", inputs=PAIR, label=LABEL)]


@pytest.mark.parametrize("model", MODELS_OF_TWO_WAYS, ids=["torch", "loops"])
def test_offsets_of_zero_are_none(model: ml.Model) -> None:
    plain, zero = Learner(model, 64), Learner(model, 64)
    batch = made_up_batch(model.spec, np.random.default_rng(0), 20)
    plain.learn(batch, NOW_US)
    zero.learn(Batch(batch.block, batch.labels, batch.weights, np.zeros(20, np.float32)), NOW_US)
    assert differing(plain, zero) == []


@pytest.mark.parametrize("kind", ["deep", "linear", "tasks"])
def test_negatives_kept_at_a_rate_still_give_probabilities(kind: str) -> None:
    """One item, clicked in 1 of 10: with a tenth of the negatives it would seem to be 10 of 19."""
    label = ml.MultiTask({"stay": STAY, "click": LABEL}) if kind == "tasks" else LABEL
    inputs = {"item": ml.Id("item_id")}
    made = ml.linear("m", inputs=inputs, label=LABEL) if kind == "linear" else None
    model = made or ml.model_of("m", ml.DeepFM, inputs=inputs, label=label, dim=2, hidden=(4,), dense=ml.Adam(0.01))
    learner, random = Learner(model, 8), np.random.default_rng(4)
    block = requests(model.spec, [{"item_id": 1}] * 64)
    for _ in range(300):
        clicked = (random.random(64) < 10 / 19).astype(np.float32)
        labels = np.stack([np.full(64, np.nan, np.float32), clicked], 1) if kind == "tasks" else clicked
        learner.learn(Batch(block, labels, np.ones(64, np.float32), np.full(64, -np.log(0.1), np.float32)), NOW_US)
    served = 1 / (1 + np.exp(-learner.logits(block).reshape(64, -1)[0, -1]))
    assert served == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: deep(TASKS, ml.Product({"buy": 1.0})), "score names the task 'buy'"),
        (lambda: deep(LABEL, ml.Product({"click": 1.0})), "score names the task 'click'"),
        (lambda: deep(TASKS, ml.Product({"stay": 1.0})), "'stay' may be negative"),
        (lambda: ml.Product({}), "finite number for one task"),
        (lambda: ml.WeightedSum({"click": float("nan")}), "finite number for one task"),
        (lambda: ml.linear("m", inputs=PAIR, label=STAGE), "Linear gives one logit; this label wants 4"),
        (
            lambda: ml.Model("m", Towers, inputs=PAIR, label=STAGE),
            r"must give logits of shape \[B, 4\], not dict",
        ),
        (
            lambda: ml.Model("m", Towers, inputs=PAIR, label=ml.MultiTask({"click": LABEL, "buy": LABEL})),
            r"gives logits of \['click', 'purchase', 'stage', 'stay'\]; the tasks are \['click', 'buy'\]",
        ),
        (
            lambda: ml.Model("m", lambda: ml.DeepFM(PAIR, 2, (), 3), inputs=PAIR, label=STAGE),
            r"float32 logits of shape \[B, 4\], not torch.float32 \['B', 3\]",
        ),
        (
            lambda: ml.model_of("m", ml.DeepFM, inputs={"logits": ml.Id("x")}, label=STAGE),
            "an input cannot be called 'logits'",
        ),
    ],
)
def test_what_does_not_fit_the_label_is_named(make: object, complaint: str) -> None:
    assert callable(make)
    with pytest.raises(InvalidInput, match=complaint):
        make()


def test_a_heads_columns_follow_the_tasks() -> None:
    head = head_of(TASKS)
    assert [(task.first, task.columns) for task in head.tasks] == [(0, 1), (1, 4), (5, 1), (6, 1)]
    assert [task.link for task in head.tasks] == ["sigmoid", "softmax", "identity", "sigmoid"]
