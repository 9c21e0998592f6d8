"""How many rows a key space holds, and what is counted of them, seen from the learner."""

import numpy as np
import pytest

import martlet.learn as ml
from martlet.errors import InvalidInput
from tests.unit.learner.samples import LABEL, NOW_US, batch_of
from tests.unit.learner.test_learner import Biases
from trainer_svc.learner import Learner
from trainer_svc.lineages.model import learning_digest

SECOND_US = 1_000_000


def model(max_rows: int = 0, min_count: int = 1) -> ml.Model:
    inputs = {"user": ml.Id("user_id", max_rows=max_rows), "item": ml.Id("item_id", min_count=min_count)}
    return ml.Model("b", Biases, inputs=inputs, label=LABEL)


def learn(learner: Learner, users: list[int], items: list[int], second: int) -> None:
    rows = [{"user_id": user, "item_id": item} for user, item in zip(users, items, strict=True)]
    learner.learn(batch_of(learner.spec, rows, [1.0] * len(rows)), NOW_US + second * SECOND_US)


def test_a_space_keeps_its_limit_and_the_least_recently_used_go() -> None:
    learner = Learner(model(max_rows=40), 64)
    for start in range(0, 100, 10):
        learn(learner, list(range(start, start + 10)), [7] * 10, second=start)
    table, spec = learner.tables["t1"], learner.spec
    users, items = table.statistics.spaces
    assert users.rows <= 40
    assert users.admitted == 100
    assert users.evicted == 100 - users.rows
    assert (items.rows, items.evicted) == (1, 0), "another space has no limit"
    held = table.find(np.arange(100) + spec.salts["user"]) >= 0
    assert held[70:].all()
    assert not held[:50].any()


def test_what_was_refused_and_answered_by_default_is_counted() -> None:
    learner = Learner(model(min_count=3), 64)
    for second in range(2):
        learn(learner, [1, 1], [7, 8], second)
    _, items = learner.tables["t1"].statistics.spaces
    assert (items.rows, items.refused, items.defaulted) == (0, 4, 4)
    learn(learner, [1, 1], [7, 8], 3)
    _, items = learner.tables["t1"].statistics.spaces
    assert (items.rows, items.admitted, items.refused) == (2, 2, 4)


def test_a_growth_beside_learning_changes_no_score() -> None:
    """A table begins to grow when it is nearly full, and some steps later the larger one is there."""
    small, large = Learner(model(), 300), Learner(model(), 4096)
    for second in range(40):
        users = [second * 30 + one for one in range(30)]
        for learner in (small, large):
            learn(learner, users, [7] * 30, second)
    assert small.generation >= 1
    assert large.generation == 0
    rows = [{"user_id": user, "item_id": 7} for user in range(1300)]
    block = batch_of(small.spec, rows, [1.0] * len(rows)).block
    np.testing.assert_array_equal(small.predict(block), large.predict(block))


def test_the_strictest_limit_of_a_shared_space_holds() -> None:
    inputs = {
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id", max_rows=50),
        "history": ml.IdList("recent_items", space="item", max_len=4, max_rows=20),
    }
    shared = ml.model_of("m", ml.DeepFM, inputs=inputs, label=LABEL, dim=4, hidden=(8,))
    assert shared.budgets == {"item": 20}


def test_a_limit_is_a_setting_that_learning_depends_on() -> None:
    assert learning_digest(model(max_rows=5)) != learning_digest(model())


@pytest.mark.parametrize(
    ("settings", "message"), [({"max_rows": -1}, "max_rows"), ({"min_count": 20_000}, "min_count")]
)
def test_limits_that_cannot_be_are_named(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"{message} of 'user_id'"):
        ml.Id("user_id", **settings)  # type: ignore[arg-type]
