"""Warm start by name: what is the same goes over bit for bit, what is wider scores the same, what is new is told."""

import numpy as np
import pytest

import martlet.learn as ml
from tests.unit.strategies.models import Net, NetWithBrand, batch, block, model
from trainer_svc.learner import Learner
from trainer_svc.warm_start import Wanted, warm_start

BUCKETS = 8


def learned(made: ml.Model, steps: int = 6) -> Learner:
    learner = Learner(made, BUCKETS)
    for step in range(steps):
        learner.learn(batch(made.spec, step), (1 + step) * 1_000_000)
    return learner


def test_the_same_model_scores_and_learns_on_bit_for_bit() -> None:
    parent, child = learned(model()), Learner(model(), BUCKETS)
    report = warm_start(child, parent)
    assert not report.new
    assert not report.padded
    assert not report.dropped
    for step in range(10, 14):
        asked = batch(parent.spec, step)
        np.testing.assert_array_equal(child.predict(asked.block), parent.predict(asked.block))
        parent.learn(asked, step * 1_000_000)
        child.learn(asked, step * 1_000_000)


def test_a_feature_more_changes_no_score_until_it_is_learned() -> None:
    parent = learned(model())
    changed = model(lambda: NetWithBrand(extra=("brand",)), brand=ml.Id("item.brand"))
    child = Learner(changed, BUCKETS)
    report = warm_start(child, parent)
    old, new = block(parent.spec, 77), block(changed.spec, 77)
    np.testing.assert_allclose(child.predict(new), parent.predict(old), atol=2e-6)
    assert "net.hidden.weight [8, 9] -> [8, 13]" in report.padded
    assert "space brand (width 4)" in report.new
    before = child.predict(new)
    child.learn(batch(changed.spec, 5), 9_000_000)
    assert np.abs(child.predict(new) - before).max() > 0


def test_wider_rows_keep_their_parents_columns() -> None:
    parent = learned(model())
    changed = model(lambda: Net(width=6))
    child = Learner(changed, BUCKETS)
    report = warm_start(child, parent)
    narrow, wide = parent.tables["t4"], child.tables["t6"]
    assert wide.size == narrow.size
    keys = parent_keys(parent)
    np.testing.assert_array_equal(wide.gather(wide.find(keys))[:, :4], narrow.gather(narrow.find(keys)))
    assert any(line.startswith("space user") for line in report.padded)


def test_a_feature_less_is_told_and_the_rest_goes_over() -> None:
    wide = model(lambda: NetWithBrand(extra=("brand",)), brand=ml.Id("item.brand"))
    parent, child = learned(wide), Learner(model(), BUCKETS)
    report = warm_start(child, parent)
    assert "space brand" in report.dropped
    assert any(line.startswith("net.hidden.weight") for line in report.new), "a narrowed layer begins anew"
    assert "net.head.weight" in report.taken
    keys = parent_keys(child)
    np.testing.assert_array_equal(
        child.tables["t4"].gather(child.tables["t4"].find(keys)),
        parent.tables["t4"].gather(parent.tables["t4"].find(keys)),
    )


def test_only_what_is_wanted_goes_over() -> None:
    parent, child = learned(model()), Learner(model(), BUCKETS)
    fresh = Learner(model(), BUCKETS).dense_weights()
    report = warm_start(child, parent, Wanted(("net.head.*",), ("item",), optimizer=False))
    assert {name for name in report.taken if name.startswith("net.")} == {"net.head.weight", "net.head.bias"}
    np.testing.assert_array_equal(child.dense_weights()["net.hidden.weight"], fresh["net.hidden.weight"])
    spaces = child.tables["t4"].spaces.reshape(-1)[child.tables["t4"].find(parent_keys(child))]
    assert set(spaces.tolist()) == {list(child.spec.salts).index("item")}


@pytest.mark.parametrize("dense", [ml.Adam(1e-2), ml.FTRL(0.1), ml.SGD(0.1)], ids=lambda rule: type(rule).__name__)
def test_frozen_parameters_never_move(dense: ml.optimizers.Dense) -> None:
    made = model()
    made.dense = dense
    learner = Learner(made, BUCKETS, frozen=("net.hidden.*",))
    before = learner.dense_weights()
    for step in range(4):
        learner.learn(batch(made.spec, step), 1_000_000)
    after = learner.dense_weights()
    for name in ("net.hidden.weight", "net.hidden.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert not np.array_equal(after["net.head.weight"], before["net.head.weight"])


def parent_keys(learner: Learner) -> np.ndarray:
    table = learner.tables["t4"]
    keys = table.keys.reshape(-1)
    return np.asarray(keys[table.find(np.ascontiguousarray(keys)) == np.arange(keys.shape[0])])
