"""The linear model computes by itself what torch would compute of its network, and is exported like any other."""

import numpy as np
import pytest

import martlet.learn as ml
from tests.unit.learner.samples import INPUTS, LABEL, NOW_US, batch_of, batches
from trainer_svc.check import check
from trainer_svc.learner import Learner
from trainer_svc.passes.linear_passes import LinearPasses
from trainer_svc.passes.torch_passes import TorchPasses

EVERYTHING: dict[str, ml.Input] = {
    **INPUTS,
    "summed": ml.IdList("item.tags", pool="sum", max_len=2),
    "other": ml.Number("item.weight", normalise="running"),
}
MODEL = ml.linear("l", inputs=EVERYTHING, label=LABEL, l1=0.001, l2=0.01)


class InTorch(ml.Linear):
    """The same network, under a name that the trainer has no pass of its own for."""


@pytest.mark.parametrize(
    "label", [LABEL, ml.Regression("stars", "1h"), ml.Regression("stars", "1h", huber=0.3)], ids=repr
)
def test_it_does_what_torch_does(label: ml.Label) -> None:
    model = ml.linear("l", inputs=EVERYTHING, label=label, l1=0.001, l2=0.01)
    twin = ml.model_of(
        "l", InTorch, inputs=EVERYTHING, label=label, dense=ml.FTRL(0.1), rows=ml.RowFTRL(0.1, l1=0.001, l2=0.01)
    )
    one, other = Learner(model, 64), Learner(twin, 64)
    assert isinstance(one._passes, LinearPasses)
    assert isinstance(other._passes, TorchPasses)
    for batch in batches(20, spec=MODEL.spec):
        np.testing.assert_allclose(one.predict(batch.block), other.predict(batch.block), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.learn(batch, NOW_US), other.learn(batch, NOW_US), rtol=1e-5)
    for name, array in one.state().items():
        np.testing.assert_allclose(array, other.state()[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_numbers_alone_or_ids_alone() -> None:
    for name in ("item", "price"):
        model = ml.linear("l", inputs={name: INPUTS[name]}, label=LABEL)
        learner = Learner(model, 16)
        rows = [{"item_id": i % 2, "item.price": float(i % 2)} for i in range(20)]
        batch = batch_of(model.spec, rows, [float(i % 2) for i in range(20)])
        losses = [learner.learn(batch, NOW_US) for _ in range(20)]
        assert losses[-1] < losses[0] - 0.1


def test_it_can_be_served() -> None:
    report = check(MODEL)
    assert report.passed, report.render()
