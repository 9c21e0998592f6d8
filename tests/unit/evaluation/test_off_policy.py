"""Off-policy estimates beside a world whose truth is known."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.exploration import BEST_FIRST, Exploration
from serving_svc.exploring import order_of
from trainer_svc.evaluation.off_policy import (
    LoggedAnswers,
    effective_size,
    estimates,
    estimates_of_sums,
    standard_errors,
    user_sums,
    weighed,
)
from trainer_svc.evaluation.policies import choice_probabilities

Doubles = npt.NDArray[np.float64]
ITEMS, POSITIONS = 5, 3
GREEDY_EPSILON = Exploration(epsilon=0.2)
SOFT = Exploration(temperature=0.7)


class World:
    """Answers of `ITEMS` candidates; the reward of a position depends on its item and on the one above it."""

    def __init__(self, seed: int, answers: int) -> None:
        self.random = np.random.default_rng(seed)
        self.answers = answers
        self.logged = self.random.normal(size=(answers, ITEMS))
        self.policy = self.logged + 0.8 * self.random.normal(size=(answers, ITEMS))
        self.chance = 1.0 / (1.0 + np.exp(-self.policy + 1.0))

    def shown(self, logits: Doubles, how: Exploration) -> tuple[npt.NDArray[np.int64], Doubles]:
        """Orders drawn step by step: int64[a, n], and the probability of each choice."""
        left, orders, chances = np.ones((self.answers, ITEMS), bool), [], []
        for _ in range(ITEMS):
            p = choice_probabilities(logits, left, how)
            taken = (p.cumsum(axis=1) < self.random.random((self.answers, 1))).sum(axis=1).clip(max=ITEMS - 1)
            taken = np.where(left[np.arange(self.answers), taken], taken, np.argmax(p, axis=1))
            chances.append(p[np.arange(self.answers), taken])
            left[np.arange(self.answers), taken] = False
            orders.append(taken)
        return np.stack(orders, axis=1), np.stack(chances, axis=1)

    def expected(self, order: npt.NDArray[np.int64]) -> Doubles:
        """What each position brings: its item's chance, halved below an item with an even number."""
        own = np.take_along_axis(self.chance, order, axis=1)
        halved = np.ones_like(own)
        halved[:, 1:] = np.where(order[:, :-1] % 2 == 0, 0.5, 1.0)
        return own * halved

    def log(self, how: Exploration, per_user: int = 1, *, good_model: bool = True) -> LoggedAnswers:
        order, chances = self.shown(self.logged, how)
        rewards = (self.random.random(order.shape) < self.expected(order)).astype(np.float64)
        direct = self.chance if good_model else self.random.random(self.chance.shape)
        return LoggedAnswers(
            np.ones(order.shape, bool), rewards, chances, np.take_along_axis(self.policy, order, axis=1),
            np.take_along_axis(direct, order, axis=1), np.arange(self.answers) // per_user,
        )  # fmt: skip

    def truth(self, how: Exploration, positions: int, times: int = 40) -> float:
        """The policy's value on these very answers, by playing it."""
        played = [self.expected(self.shown(self.policy, how)[0])[:, :positions].sum(axis=1) for _ in range(times)]
        return float(np.mean(played))


@pytest.mark.parametrize("positions", [1, POSITIONS])
@pytest.mark.parametrize("policy", [BEST_FIRST, Exploration(epsilon=0.1), Exploration(temperature=0.5)])
@pytest.mark.parametrize("logging", [GREEDY_EPSILON, SOFT])
def test_the_estimates_are_unbiased(logging: Exploration, policy: Exploration, positions: int) -> None:
    world = World(3, 40_000)
    log = world.log(logging, good_model=False)
    parts = weighed(log, policy, positions, None)
    truth, errors = world.truth(policy, positions, 10), standard_errors(parts, log.users, world.answers)
    found = estimates(parts)
    assert abs(found["mean_weight"] - 1.0) < 4.0 * errors["mean_weight"]
    for name in ("ips", "snips", "dr"):
        assert abs(found[name] - truth) < 4.0 * errors[name] + 0.003, name
    assert abs(found["logged"] - truth) > 4.0 * errors["logged"], "the world must tell the two policies apart"


def test_a_direct_model_is_weighed_like_the_choices_above_it() -> None:
    """Below the first position the policy comes to other items than the log did."""
    world = World(15, 40_000)
    world.chance = 1.0 / (1.0 + np.exp(-2.0 * world.policy))
    log = world.log(SOFT)
    parts = weighed(log, BEST_FIRST, 2, None)
    error = standard_errors(parts, log.users, world.answers)["dr"]
    assert abs(estimates(parts)["dr"] - world.truth(BEST_FIRST, 2, 10)) < 4.0 * error + 0.003


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Of 200 intervals of 95 %, between 181 and 198 hold the truth (99 % of the time, if each does with 0.95)."""
    held = dict.fromkeys(("ips", "snips", "dr", "bootstrap"), 0)
    truth = np.mean([World(seed, 500).truth(BEST_FIRST, 1, 4) for seed in range(1000, 1200)])
    for seed in range(200):
        world = World(seed, 500)
        log = world.log(SOFT, per_user=5)
        parts = weighed(log, BEST_FIRST, 1, None)
        found, errors = estimates(parts), standard_errors(parts, log.users, 100)
        for name in ("ips", "snips", "dr"):
            held[name] += abs(found[name] - truth) <= 1.96 * errors[name]
        sums, random = user_sums(parts, log.users, 100), np.random.default_rng(seed)
        draws = [estimates_of_sums(sums, np.bincount(random.integers(0, 100, 100), minlength=100)) for _ in range(200)]
        low, high = np.quantile([one["snips"] for one in draws], [0.025, 0.975])
        held["bootstrap"] += bool(low <= truth <= high)
    assert all(178 <= count <= 199 for count in held.values()), held


def test_users_with_alike_answers_widen_the_intervals() -> None:
    world = World(5, 2000)
    log = world.log(SOFT)
    many = LoggedAnswers(*(np.repeat(getattr(log, name), 4, axis=0) for name in LoggedAnswers.__slots__))
    parts = weighed(many, BEST_FIRST, 1, None)
    by_user = standard_errors(parts, many.users, 2000)
    by_answer = standard_errors(parts, np.arange(8000), 8000)
    for name in ("ips", "snips", "dr"):
        assert by_user[name] == pytest.approx(2.0 * by_answer[name])


def test_a_right_direct_model_makes_intervals_narrower_and_a_wrong_one_does_no_harm() -> None:
    world = World(7, 20_000)
    good, bad = (weighed(world.log(SOFT, good_model=good), BEST_FIRST, 1, None) for good in (True, False))
    users = np.arange(world.answers)
    narrow, wide = (standard_errors(parts, users, world.answers) for parts in (good, bad))
    assert narrow["dr"] < 0.9 * narrow["ips"]
    assert abs(estimates(bad)["dr"] - world.truth(BEST_FIRST, 1, 3)) < 4.0 * wide["dr"] + 0.003


@pytest.mark.parametrize("clip", [0.5, 2.0, 4.0])
def test_a_clipped_estimate_is_low_by_no_more_than_the_mass_it_lost(clip: float) -> None:
    log = World(9, 20_000).log(GREEDY_EPSILON)
    whole, clipped = (weighed(log, BEST_FIRST, 1, bound) for bound in (None, clip))
    low, high = estimates(clipped)["ips"], estimates(whole)["ips"]
    lost = float((clipped.unclipped - clipped.weights).mean())
    assert low <= high <= low + lost + 1e-12
    assert clipped.weights.max() <= clip


def test_the_policy_that_was_logged_has_its_own_value() -> None:
    world = World(11, 500)
    world.policy = world.logged
    log = world.log(SOFT)
    found = estimates(weighed(log, SOFT, POSITIONS, None))
    assert found["mean_weight"] == pytest.approx(1.0)
    assert found["ips"] == pytest.approx(found["logged"])
    assert found["snips"] == pytest.approx(found["logged"])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.sampled_from(["greedy", "epsilon", "temperature"]))
def test_probabilities_are_those_that_serving_records(logits: list[float], kind: str) -> None:
    """Serving draws an order and says how likely each choice was; this is the same number."""
    how = {"greedy": BEST_FIRST, "epsilon": Exploration(epsilon=0.3), "temperature": Exploration(temperature=0.8)}[kind]
    given_logits = np.array(logits, np.float32) + np.arange(len(logits), dtype=np.float32) * 1e-3  # no ties
    order = order_of(given_logits, len(logits), how, "p-1")
    left = np.ones((1, len(logits)), bool)
    for place, row in enumerate(order.rows.tolist()):
        found = choice_probabilities(given_logits[None], left, how)
        assert found.sum() == pytest.approx(1.0)
        recorded = 1.0 if order.propensities is None else order.propensities[place]
        assert found[0, row] == pytest.approx(float(recorded), abs=1e-5)
        left[0, row] = False


def test_short_answers_change_nothing_behind_their_end() -> None:
    log = World(13, 300).log(SOFT)
    short = LoggedAnswers(
        log.present & (np.arange(ITEMS) < 1), log.rewards, log.propensities, log.logits, log.direct, log.users
    )
    one, three = (estimates(weighed(short, SOFT, positions, None)) for positions in (1, 3))
    for name in ("ips", "dr", "logged"):
        assert one[name] == pytest.approx(three[name])


def test_effective_answers() -> None:
    assert effective_size(np.ones(10)) == pytest.approx(10.0)
    assert effective_size(np.array([5.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert effective_size(np.zeros(3)) == 0.0
