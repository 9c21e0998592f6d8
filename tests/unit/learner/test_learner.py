"""The learner learns, tests before it learns, and repeats itself bit by bit."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import martlet.learn as ml
from martlet.errors import Corrupt
from martlet.feature_encoding import Value
from tests.unit.learner.samples import LABEL, MODEL, NOW_US, batch_of, batches, learned, requests
from trainer_svc.batch import Batch
from trainer_svc.check import differing
from trainer_svc.learner import Learner


class Biases(nn.Module):
    """logit = row of the user + row of the item."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(1, 1), nn.Embedding(1, 1)
        self.zero = nn.Parameter(torch.zeros(1))

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.user(user) + self.item(item) + 0 * self.zero
        return logits


class Normed(Biases):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.norm(super().forward(user, item))
        return logits


def biases(min_count: int = 1, ttl: str = "", rate: float = 0.5) -> ml.Model:
    inputs = {"user": ml.Id("user_id", ttl=ttl), "item": ml.Id("item_id", min_count=min_count)}
    return ml.Model("b", Biases, inputs=inputs, label=LABEL, rows=ml.RowWiseAdaGrad(rate))


def normed() -> ml.Model:
    return ml.Model("n", Normed, inputs={"user": ml.Id("user_id"), "item": ml.Id("item_id")}, label=LABEL)


def test_it_learns_what_the_ids_say() -> None:
    random = np.random.default_rng(1)
    learner = Learner(MODEL, 256)
    losses = []
    for _ in range(150):
        rows = [{"user_id": int(random.integers(20)), "item_id": int(random.integers(20))} for _ in range(32)]
        labels = [float((row["user_id"] + row["item_id"]) % 2) for row in rows]
        losses.append(learner.learn(batch_of(MODEL.spec, rows, labels), NOW_US))
    assert np.mean(losses[:5]) > 0.6
    assert np.mean(losses[-5:]) < 0.1


def test_scoring_changes_nothing_and_loss_is_of_before_the_step() -> None:
    learner, batch = learned(), batches(1, seed=9)[0]
    before = {name: array.copy() for name, array in learner.state().items()}
    logits = learner.predict(batch.block)
    assert all(array.tobytes() == learner.state()[name].tobytes() for name, array in before.items())
    assert logits.dtype == np.float32
    assert logits.shape == (batch.size,)
    plain = biases()
    learner, batch = Learner(plain, 16), batch_of(plain.spec, [{"user_id": 1}, {"user_id": 2}], [1, 0])
    batch = replace(batch, weights=np.array([1, 3], np.float32))
    # Both ids are new: they start with noise around the default row, of 0.01 at most.
    assert learner.learn(batch, NOW_US) == pytest.approx(np.log(2), abs=0.02)
    positive = learner.predict(batch.block)
    expected = np.average(np.log1p(np.exp(positive * [-1, 1])), weights=[1, 3])
    assert learner.learn(batch, NOW_US) == pytest.approx(expected, rel=1e-5)


def test_an_unknown_id_is_scored_with_the_row_that_new_ids_taught() -> None:
    model = biases()
    learner = Learner(model, 64)
    unseen = requests(model.spec, [{"user_id": 10**6, "item_id": 5}])
    before = float(learner.predict(unseen)[0])
    for user in range(50):
        learner.learn(batch_of(model.spec, [{"user_id": user, "item_id": 5}], [1.0]), NOW_US)
    table = learner.tables["t1"]
    defaults = table.rows[table.slots :, 0]
    assert defaults[0] == 0  # the zero row of padding
    assert defaults[1] > 0.5  # users that come for the first time click
    assert defaults[1] != pytest.approx(defaults[2])  # items have one of their own: only one was new
    assert learner.predict(unseen)[0] > before + 0.5


def test_an_id_waits_for_its_row_until_it_occurred_often_enough() -> None:
    model = biases(min_count=3)
    learner = Learner(model, 64)
    sizes = []
    for _ in range(4):
        learner.learn(batch_of(model.spec, [{"user_id": 1, "item_id": 2}], [1.0]), NOW_US)
        sizes.append(learner.tables["t1"].size)
    assert sizes == [1, 1, 2, 2]
    learner.learn(batch_of(model.spec, [{"user_id": 1, "item_id": 3}] * 3, [1.0] * 3), NOW_US)
    assert learner.tables["t1"].size == 3  # occurrences within one batch count too


def test_rows_leave_after_their_time() -> None:
    model = biases(ttl="1h")
    learner = Learner(model, 64)
    learner.learn(batch_of(model.spec, [{"user_id": 1, "item_id": 7}], [1.0]), NOW_US)
    later = NOW_US + 3_000_000_000
    learner.learn(batch_of(model.spec, [{"user_id": 2, "item_id": 7}], [1.0]), later)
    assert learner.evict(later) == 0
    assert learner.evict(NOW_US + 3_601_000_000) == 1  # user 1; items have no ttl
    assert learner.tables["t1"].size == 2


def test_a_full_table_grows_and_nothing_else_changes() -> None:
    small, large = Learner(MODEL, 4), Learner(MODEL, 4096)
    for batch in batches(8):
        assert small.learn(batch, NOW_US) == large.learn(batch, NOW_US)
    assert large.generation == 0
    assert small.generation >= 4
    assert small.tables["t8"].size == large.tables["t8"].size > 64
    block = batches(1, seed=4)[0].block
    np.testing.assert_array_equal(small.predict(block), large.predict(block))


def test_what_is_not_finite_is_not_learned() -> None:
    model = normed()
    learner, rows = Learner(model, 64), [{"user_id": 1, "item_id": 2}, {"user_id": 2, "item_id": 2}]
    good = batch_of(model.spec, rows, [1, 0])
    learner.learn(good, NOW_US)
    before = {name: array.copy() for name, array in learner.state().items()}
    assert np.isnan(learner.learn(replace(good, labels=np.array([np.nan, 0], np.float32)), NOW_US))
    assert learner.skipped == 1
    odd = [name for name, array in learner.state().items() if array.tobytes() != before[name].tobytes()]
    assert odd == ["learner/counts"]
    assert np.isfinite(learner.learn(good, NOW_US))


def test_one_example_or_none() -> None:
    learner = learned()
    one, none = batches(1, size=1)[0], batches(1, size=0)[0]
    assert np.isfinite(learner.learn(one, NOW_US))
    before = {name: array.copy() for name, array in learner.state().items()}
    assert learner.learn(none, NOW_US) == 0
    assert learner.predict(none.block).shape == (0,)
    assert all(array.tobytes() == before[name].tobytes() for name, array in learner.state().items())


def test_one_example_is_learned_in_spite_of_batch_normalisation() -> None:
    """Which cannot normalise a batch of one: its running statistics are used, and stay."""
    model = normed()
    learner = Learner(model, 64)
    batch = batch_of(model.spec, [{"user_id": 1, "item_id": 2}], [1])
    before = learner.dense_weights()
    losses = [learner.learn(batch, NOW_US) for _ in range(20)]
    assert losses[-1] < losses[0] - 0.1
    after = learner.dense_weights()
    assert before["net.norm.running_mean"] == after["net.norm.running_mean"] == 0
    assert before["net.norm.weight"] != after["net.norm.weight"]


def test_dense_weights_step_on_the_mean_and_rows_on_the_sum() -> None:
    """A batch of everything twice teaches the dense part the same, and the rows twice as much."""
    batch = batches(1)[0]
    order = np.repeat(np.arange(batch.size), 2)
    block = replace(
        batch.block,
        item_ids=batch.block.item_ids[order],
        item_numbers=batch.block.item_numbers[order],
        row_of_user=batch.block.row_of_user[order],
    )
    once, twice = Learner(MODEL, 256), Learner(MODEL, 256)
    once.learn(batch, NOW_US)
    twice.learn(Batch(block, batch.labels[order], batch.weights[order]), NOW_US)
    means = [learner.state()["optimizer/slots"][:, : learner._parameters.values.shape[0]] for learner in (once, twice)]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-3, atol=1e-6)
    squares = [learner.tables["t8"].optimizer[:, 0] for learner in (once, twice)]
    held = squares[0] > 1e-8
    held[once.tables["t8"].slots :] = False  # default rows are taught by each first meeting
    np.testing.assert_allclose(squares[1][held], 4 * squares[0][held], rtol=1e-3)


def test_another_thread_learns_with_the_learners_number_of_threads() -> None:
    """Torch keeps the number by thread; with another one sums, and so bits, may differ."""
    learner, batch, found = Learner(MODEL, 256, threads=1), batches(1)[0], []

    def work() -> None:
        torch.set_num_threads(2)
        learner.learn(batch, NOW_US)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]


def test_read_only_arrays_from_the_wire_do() -> None:
    """Recorded blocks are views of received bytes; torch warns of those, and warnings are errors here."""
    batch = batches(1)[0]
    for array in (batch.labels, batch.weights, *(getattr(batch.block, name) for name in batch.block.__slots__)):
        array.setflags(write=False)
    learner = learned()
    learner.learn(batch, NOW_US)
    learner.predict(batch.block)


def test_rows_of_one_request_score_like_requests_of_one_row() -> None:
    learner = learned()
    user: dict[str, Value] = {"user_id": 3, "recent_items": [1, 2], "hour": 9}
    items: list[dict[str, Value]] = [
        {"item_id": item, "item.price": 5.0 * item, "item.genres": ["a", "b"][:item]} for item in range(3)
    ]
    alone = [learner.predict(requests(MODEL.spec, [{**user, **item}]))[0] for item in items]
    block = requests(MODEL.spec, [{**user, **item} for item in items])
    one = replace(
        block,
        user_ids=block.user_ids[:1],
        user_numbers=block.user_numbers[:1],
        row_of_user=np.zeros(3, np.int64),
    )
    np.testing.assert_array_equal(learner.predict(one), learner.predict(block))
    np.testing.assert_allclose(learner.predict(one), alone, rtol=1e-5, atol=1e-6)


def test_numbers_are_normalised_by_what_was_learned() -> None:
    learner = Learner(MODEL, 64)
    random = np.random.default_rng(2)
    values = random.normal(200, 30, 90)
    for part in np.split(values, 3):
        rows = [{"item_id": 1, "item.price": float(value)} for value in part] + [{"item_id": 1}]  # one is missing
        learner.learn(batch_of(MODEL.spec, rows, [0.0] * len(rows)), NOW_US)
    weights = learner.dense_weights()
    assert weights["numbers.mean"] == pytest.approx([values.mean()], rel=1e-5)
    assert weights["numbers.scale"] == pytest.approx([1 / values.std()], rel=1e-5)
    prices = [None, float(values.mean()), 1e30, 201.0, 1e20]
    rows = [{"item_id": 1} if price is None else {"item_id": 1, "item.price": price} for price in prices]
    missing, mean, huge, _, also_huge = learner.predict(requests(MODEL.spec, rows))
    assert missing == pytest.approx(mean, abs=1e-5)
    assert huge == also_huge  # cut at ten deviations
    assert np.isfinite(huge)


def test_a_number_that_never_varies_keeps_its_scale() -> None:
    learner = Learner(MODEL, 64)
    learner.learn(batch_of(MODEL.spec, [{"item.price": 3.0}] * 4, [0.0] * 4), NOW_US)
    assert learner.dense_weights()["numbers.scale"] == [1.0]


def test_restore_refuses_another_models_state() -> None:
    learner = learned()
    with pytest.raises(Corrupt, match="not a state of model 'b'"):
        Learner(biases(), 16).restore(learner.state())
    for name, part in (("optimizer/slots", np.s_[:, :3]), ("rows/t8/rows", np.s_[:, :7]), ("learner/counts", np.s_[0])):
        with pytest.raises(Corrupt, match=name):
            learned().restore({**learner.state(), name: learner.state()[name][part]})


def test_dropout_repeats_after_a_restore() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.item = nn.Embedding(1, 8)
            self.net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

        def forward(self, item: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.net(self.item(item))
            return logits

    model = ml.Model("d", Dropping, inputs={"item": ml.Id("item_id")}, label=LABEL)
    first, second = learned(model), Learner(model, 256)
    second.restore(first.state())
    torch.rand(3)
    losses = [[learner.learn(batch, NOW_US) for batch in batches(3, spec=model.spec)] for learner in (first, second)]
    assert losses[0] == losses[1]
    assert differing(first, second) == []
    assert len(set(losses[0])) == 3


def test_dense_weights_are_copies() -> None:
    learner = learned()
    kept = learner.dense_weights()
    before = {name: array.copy() for name, array in kept.items()}
    learner.learn(batches(1)[0], NOW_US)
    assert all(np.array_equal(kept[name], before[name]) for name in kept)
    assert any(not np.array_equal(array, kept[name]) for name, array in learner.dense_weights().items())


def test_the_order_of_examples_in_one_batch_only_rounds() -> None:
    batch = batches(1)[0]
    order = np.random.default_rng(0).permutation(batch.size)
    block = replace(
        batch.block,
        item_ids=batch.block.item_ids[order],
        item_numbers=batch.block.item_numbers[order],
        row_of_user=batch.block.row_of_user[order],
    )
    shuffled = Batch(block, batch.labels[order], batch.weights[order])
    one, other = Learner(MODEL, 256), Learner(MODEL, 256)
    one.learn(batch, NOW_US)
    other.learn(shuffled, NOW_US)
    np.testing.assert_allclose(one.predict(batch.block), other.predict(batch.block), rtol=1e-4, atol=1e-4)
