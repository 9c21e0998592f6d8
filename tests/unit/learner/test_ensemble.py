"""An ensemble is the weighted sum of its members, learned and served as one."""

import numpy as np
import pytest
import torch
from torch import nn

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.learn.rows_in import with_rows_in
from tests.unit.learner.heads import PAIR, STARS
from tests.unit.learner.samples import INPUTS, LABEL, NOW_US
from trainer_svc.batch import Batch
from trainer_svc.check import check
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch


def three() -> ml.Ensemble:
    nets = [ml.DeepFM(INPUTS, 3, (4,)), ml.Linear(INPUTS), ml.DCNv2(INPUTS, 2, 1, (4,))]
    return ml.Ensemble(INPUTS, nets, weights=[0.5, 2.0, -1.0])


def test_it_is_the_weighted_sum_of_its_members() -> None:
    torch.manual_seed(0)
    nets = [ml.DeepFM(PAIR, 3, (4,)), ml.Linear(PAIR)]
    net = ml.Ensemble(PAIR, nets, weights=[0.5, 2.0])
    assert net.rows["rows_of_user"].embedding_dim == 4 + 1
    rows = {name: torch.randn(6, 5) for name in PAIR}
    expected = 0.5 * with_rows_in(nets[0])(**{name: row[:, :4] for name, row in rows.items()})
    expected = expected + 2 * with_rows_in(nets[1])(**{name: row[:, 4:] for name, row in rows.items()})
    torch.testing.assert_close(with_rows_in(net)(**rows), expected)


def test_one_graph_learns_and_serves_all_members() -> None:
    model = ml.Model("m", three, inputs=INPUTS, label=LABEL)
    assert [table.width for table in model.tables] == [4 + 1 + 2]
    assert [feature.space for feature in model.spec.features if feature.is_id][:3] == ["user", "item", "item"]
    report = check(model)
    assert report.passed, report.render()


class Apart(nn.Module):
    """History and item in layers of their own, where the other member has one for both."""

    def __init__(self) -> None:
        super().__init__()
        self.item, self.seen = nn.Embedding(1, 2), nn.Embedding(1, 3)
        self.last = nn.Linear(5, 1)

    def forward(self, item: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(torch.cat([self.item(item), self.seen(seen)], 1))
        return logits


def test_inputs_that_share_a_layer_anywhere_share_their_rows() -> None:
    inputs: dict[str, ml.Input] = {"item": ml.Id("item_id"), "seen": ml.IdList("recent", space="item", pool="sum")}
    made = ml.Model("m", lambda: ml.Ensemble(inputs, [ml.Linear(inputs), Apart()]), inputs=inputs, label=LABEL)
    assert [(feature.space, feature.width) for feature in made.spec.features] == [("item", 6), ("item", 6)]
    assert check(made).passed


def test_the_better_member_gains_weight() -> None:
    """One member sees the item, the other a number that says nothing."""
    inputs: dict[str, ml.Input] = {"item": ml.Id("item_id"), "noise": ml.Number("noise")}

    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.item, self.scale = nn.Embedding(1, 1), nn.Parameter(torch.ones(1))

        def forward(self, item: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return (self.scale * noise + 0 * self.item(item)).squeeze(1)

    model = ml.Model(
        "m", lambda: ml.Ensemble(inputs, [ml.Linear(inputs), Deaf()]), inputs=inputs, label=LABEL, dense=ml.Adam(0.01)
    )
    learner, random = Learner(model, 64), np.random.default_rng(0)
    for _ in range(300):
        batch = made_up_batch(model.spec, random, 32)
        batch.block.item_ids[:, 0] = random.integers(0, 6, 32)
        batch.block.user_numbers[:] = random.normal(size=batch.block.user_numbers.shape)
        learner.learn(Batch(batch.block, (batch.block.item_ids[:, 0] % 2).astype(np.float32), batch.weights), NOW_US)
    weights = learner.dense_weights()
    assert abs(weights["net.weights"][1] * weights["net.members.1.scale"][0]) < 0.3
    assert weights["net.weights"][0] > 0.5


def test_members_may_have_several_logits() -> None:
    made = ml.Model(
        "m",
        lambda: ml.Ensemble(PAIR, [ml.DeepFM(PAIR, 2, (4,), 5), ml.DCNv2(PAIR, 2, 1, (4,), 5)], outputs=5),
        inputs=PAIR,
        label=STARS,
    )
    assert check(made).passed


def test_a_weight_is_wanted_for_each_member() -> None:
    with pytest.raises(InvalidInput, match="2 networks needs as many weights"):
        ml.Ensemble(PAIR, [ml.Linear(PAIR), ml.Linear(PAIR)], weights=[1.0])
    with pytest.raises(InvalidInput, match="0 networks"):
        ml.Ensemble(PAIR, [])
