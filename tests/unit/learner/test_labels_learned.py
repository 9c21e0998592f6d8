"""The learner and what labels ask of it: offsets, importance, tasks."""

import numpy as np
import pytest

import martlet.learn as ml
from martlet.feature_encoding import RankInput, encode
from martlet.learn.labels import Insertion
from tests.unit.learner.samples import batch_of
from trainer_svc.batch import Batch
from trainer_svc.learner import Learner

INPUTS: dict[str, ml.Input] = {"user": ml.Id("user_id"), "item": ml.Id("item_id")}
NETWORKS = {"linear": ml.Linear, "deepfm": ml.DeepFM}
STEPS, SIZE, TRUTH = 600, 64, 0.2


def model(network: str, label: ml.Binary) -> ml.Model:
    settings = {} if network == "linear" else {"dim": 4, "hidden": (8,)}
    return ml.model_of(
        "labels",
        NETWORKS[network],
        inputs=INPUTS,
        label=label,
        dense=ml.AdaGrad(0.3),
        rows=ml.RowAdaGrad(0.05),
        **settings,
    )


def probability(learner: Learner) -> float:
    block = encode(learner.spec, RankInput(1, {}, [2], [{}]))
    return float(1 / (1 + np.exp(-learner.predict(block)[0])))


def learned(network: str, label: ml.Binary, insertions: list[tuple[float, Insertion, float]], offset: float) -> Learner:
    """Learns (label, kind, late) examples of one user and item, in their order."""
    learner = Learner(model(network, label), 64)
    for step in range(0, len(insertions) - SIZE, SIZE):
        part = insertions[step : step + SIZE]
        plain = batch_of(learner.spec, [{"user_id": 1, "item_id": 2}] * SIZE, [one for one, _, _ in part])
        offsets = np.full(SIZE, offset, np.float32) if offset else None
        kinds = np.array([kind for _, kind, _ in part], np.uint8)
        late = np.array([share for _, _, share in part], np.float32)
        learner.learn(Batch(plain.block, plain.labels, plain.weights, offsets, kinds, late), step)
    return learner


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_sampled_negatives_leave_a_probability(network: str, rate: float) -> None:
    """Fitting σ(f + log r) instead would give about 0.7 at the rate 0.1, and no offset 0.7 as well."""  # noqa: RUF002
    random = np.random.default_rng(3)
    odds = TRUTH / (1 - TRUTH) / rate
    share = odds / (1 + odds)
    labels = (random.random(STEPS * SIZE) < share).astype(float)
    label = ml.Binary("click", "1h", negatives=rate)
    learner = learned(network, label, [(one, Insertion.PLAIN, 1.0) for one in labels], -np.log(rate))
    assert probability(learner) == pytest.approx(TRUTH, abs=0.03)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", [ml.FNW(), ml.FNC(), ml.FNW("10m"), ml.FNC("10m")], ids=repr)
def test_early_negatives_leave_a_probability(network: str, method: ml.FNW | ml.FNC) -> None:
    """Half of the positives are late, or all, without a wait. As they are, they would give 1 / 6 or less."""
    random, late = np.random.default_rng(4), 0.5 if method.wait else 1.0
    insertions: list[tuple[float, Insertion, float]] = []
    for _ in range(STEPS * SIZE):
        positive = random.random() < TRUTH
        again = positive and random.random() < late
        if not positive or again:
            insertions.append((0.0, Insertion.EARLY, late))
        if positive:
            insertions.append((1.0, Insertion.LATE if again else Insertion.EARLY, late))
    learner = learned(network, ml.Binary("click", "1h", delayed=method), insertions, 0.0)
    assert probability(learner) == pytest.approx(TRUTH, abs=0.03)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_taken_back_leaves_the_rest(network: str) -> None:
    """Half of the purchases are returned."""
    random = np.random.default_rng(5)
    insertions: list[tuple[float, Insertion, float]] = []
    for _ in range(STEPS * SIZE):
        bought = random.random() < 2 * TRUTH
        insertions.append((float(bought), Insertion.PLAIN, 1.0))
        if bought and random.random() < 0.5:
            insertions.append((0.0, Insertion.TAKEN_BACK, 1.0))
    learner = learned(network, ml.Binary("buy", "1h", takes_back="return"), insertions, 0.0)
    assert probability(learner) == pytest.approx(TRUTH, abs=0.03)
