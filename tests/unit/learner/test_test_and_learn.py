"""One forward pass tests and trains: its logits are what `predict` says, and its step is what `learn` does."""

import numpy as np
import pytest
import torch
from torch import nn

import martlet.learn as ml
from tests.unit.learner.samples import INPUTS, LABEL, MODEL, NOW_US, batches, learned
from trainer_svc.check import differing
from trainer_svc.learner import Learner

LINEAR = ml.linear("l", inputs=INPUTS, label=LABEL)


class Net(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.item = nn.Embedding(1, 8)
        self.net = nn.Sequential(*layers, nn.Linear(8, 1))

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(self.item(item))
        return logits


class Louder(nn.Module):
    """Computes otherwise in training, without a random number or a buffer."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows * 2 if self.training else rows


def model(*layers: nn.Module) -> ml.Model:
    return ml.Model("n", Net(*layers), inputs={"item": ml.Id("item_id", min_count=2)}, label=LABEL)


MODELS = {
    "deep_fm": (MODEL, True),
    "linear": (LINEAR, True),
    "plain": (model(nn.Linear(8, 8)), True),
    "rare dropout": (model(nn.Dropout(1e-9)), False),
    "no dropout": (model(nn.Dropout(0.0)), True),
    "batch statistics": (model(nn.BatchNorm1d(8)), False),
    "otherwise": (model(Louder()), False),
}
every = pytest.mark.parametrize(("made", "same"), MODELS.values(), ids=MODELS.keys())


@every
def test_it_gives_what_predict_says_and_does_what_learn_does(made: ml.Model, *, same: bool) -> None:
    """Unknown ids, growing tables and numbers that are normalised by what was learned are among the batches."""
    one, other = Learner(made, 4), Learner(made, 4)
    for size in (1, 40, 7, 33, 0, 40):
        for batch in batches(2, size=size, spec=made.spec, seed=size):
            expected = other.predict(batch.block)
            other.learn(batch, NOW_US)
            assert one.test_and_learn(batch, NOW_US).tobytes() == expected.tobytes()
            assert differing(one, other) == []
    assert one.generation > 0
    assert one._passes.learns_as_it_scores == same


def test_it_computes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, calls = learned(), []
    score = learner._passes.score
    monkeypatch.setattr(learner._passes, "score", lambda *given: calls.append(1) or score(*given))
    learner.test_and_learn(batches(1)[0], NOW_US)
    assert calls == []


def test_a_batch_that_is_not_learned_is_tested_all_the_same() -> None:
    learner, batch = learned(), batches(1)[0]
    before = {name: array.copy() for name, array in learner.state().items()}
    batch.labels[0] = np.nan
    expected = learner.predict(batch.block)
    assert learner.test_and_learn(batch, NOW_US).tobytes() == expected.tobytes()
    odd = [name for name, array in learner.state().items() if array.tobytes() != before[name].tobytes()]
    assert odd == ["learner/counts"]


DENSE = [ml.SGD(), ml.Momentum(0.001, nesterov=True), ml.AdaGrad(), ml.RMSProp(), ml.Adam(), ml.FTRL()]
ROWS = [ml.RowSGD(), ml.RowMomentum(), ml.RowAdaGrad(), ml.RowWiseAdaGrad(), ml.RowRMSProp(), ml.LazyAdam()]
SCHEDULED = ml.OnPlateau(ml.WarmUp(2, ml.Cosine(0.1, 50, 0.01)), patience=1, window=2)


@pytest.mark.parametrize(
    ("dense", "rows"),
    [
        *zip(DENSE, [*ROWS[:5], ml.RowFTRL()], strict=True),
        (ml.Adam(SCHEDULED, clip=ml.ClipNorm(1.0)), ml.LazyAdam(SCHEDULED, clip=ml.ClipValue(0.1))),
    ],
    ids=str,
)
def test_every_optimizer_learns_repeats_and_comes_back(dense: ml.Dense, rows: ml.Rows) -> None:
    made = ml.model_of("m", ml.DeepFM, inputs=INPUTS, label=LABEL, dim=3, hidden=(4,), dense=dense, rows=rows)
    whole, given = Learner(made, 8), batches(30, spec=made.spec)
    losses = [whole.learn(batch, NOW_US) for batch in given]
    assert np.isfinite(losses).all()
    again = [whole.learn(batch, NOW_US) for batch in given]
    assert np.mean(again) < np.mean(losses)
    first, second = Learner(made, 8), Learner(made, 8)
    for batch in given:
        first.learn(batch, NOW_US)
    second.restore({name: array.copy() for name, array in first.state().items()})
    for batch in given:
        second.learn(batch, NOW_US)
    assert differing(whole, second) == []
