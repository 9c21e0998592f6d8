"""The learner and what labels ask of it: offsets, importance, tasks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.events import Arm, Prediction
from martlet.feature_encoding import RankInput, encode
from martlet.feature_spec import FeatureSpec
from martlet.learn.labels import Insertion
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.learner.samples import batch_of
from trainer_svc.batch import Batch
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.late_outcomes import late_outcomes_of
from trainer_svc.learner import Learner
from trainer_svc.passes.weighing import label_importance, weights_of

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


@pytest.mark.parametrize(("network", "rate"), [("linear", 1.0), ("deepfm", 1.0), ("linear", 0.2)])
@pytest.mark.parametrize("method", [ml.FNW(), ml.FNC(), ml.FNW("10m"), ml.FNC("10m")], ids=repr)
def test_early_negatives_leave_a_probability(network: str, method: ml.FNW | ml.FNC, rate: float) -> None:
    """Half of the positives are late, or all, without a wait. As they are, they would give 1 / 6 or less.

    Of what enters as a negative a share is learned, too: the weights go by σ(f), the offset by the share.
    """  # noqa: RUF002
    random, late = np.random.default_rng(4), 0.5 if method.wait else 1.0
    insertions: list[tuple[float, Insertion, float]] = []
    for _ in range(STEPS * SIZE):
        positive = random.random() < TRUTH
        again = positive and random.random() < late
        if (not positive or again) and random.random() < rate:
            insertions.append((0.0, Insertion.EARLY, late))
        if positive:
            insertions.append((1.0, Insertion.LATE if again else Insertion.EARLY, late))
    label = ml.Binary("click", "1h", delayed=method, negatives=rate)
    learner = learned(network, label, insertions, -np.log(rate))
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


TASKS = ml.MultiTask(
    {
        "stage": ml.MultiClass(("view", "cart", "buy"), "1h"),
        "click": ml.Binary("click", "1h", delayed=ml.FNW("10m")),
        "buy": ml.Binary("buy", "1h", delayed=ml.FNC()),
        "kept": ml.Binary("kept", "1h", takes_back="return"),
        "seen": ml.Binary("seen", "1h", delayed=ml.ESDFM("5m")),
    }
)
COLUMNS = {"stage": 0, "click": 4, "buy": 5, "kept": 6, "seen": 7}


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_each_tasks_examples_weigh_what_they_would_weigh_alone(data: st.DataObject) -> None:
    names, size = list(TASKS.labels), 12
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    task, logits = random.integers(0, len(names), size), random.normal(0, 2, (size, 8)).astype(np.float32)
    told = random.integers(0, 2, size).astype(np.float32)
    labels = np.full((size, len(names)), np.nan, np.float32)
    labels[np.arange(size), task] = told
    kinds, late = random.integers(0, 4, size).astype(np.uint8), random.random(size).astype(np.float32)
    block = encode(Learner(model("linear", ml.Binary("click", "1h"))).spec, RankInput(1, {}, [2], [{}]))
    together = Batch(block, labels, np.ones(size, np.float32), None, kinds, late)
    found = weights_of(together, logits, label_importance(TASKS))
    for number, name in enumerate(names):
        own = task == number
        alone = Batch(block, told[own], np.ones(own.sum(), np.float32), None, kinds[own], late[own])
        wanted = weights_of(alone, logits[own, COLUMNS[name]], label_importance(TASKS.labels[name]))
        np.testing.assert_array_equal(found[own], wanted)


def test_how_many_come_late_is_known_of_each_task_by_itself() -> None:
    """Of two tasks with the same items, one's positives are all late and the other's never."""
    label = ml.MultiTask({name: ml.Binary(name, "1h", delayed=ml.FNW("1m")) for name in ("slow", "quick")})
    spec = Learner(model("linear", ml.Binary("click", "1h"))).spec
    known = late_outcomes_of(label, spec)
    shown = RecordedPrediction(encode_event(prediction_of(spec)))
    for _ in range(200):
        for task, late in enumerate((True, False)):
            ended = LabelledRows(shown, np.array([0]), np.ones(1, np.float32), judged=False, task=task)
            known.learn([replace(ended, late=np.array([late]))])
    again = late_outcomes_of(label, spec)
    again.restore(known.state())
    labels = np.array([[0.0, np.nan], [np.nan, 0.0]], np.float32)
    block = encode(spec, RankInput(1, {}, [2, 2], [{}, {}]))
    weighed = again.weigh(Batch(block, labels, np.ones(2, np.float32)))
    assert weighed.late is not None
    assert (weighed.late[0] > 0.9, weighed.late[1] < 0.1) == (True, True)
    assert late_outcomes_of(ml.MultiTask({"click": ml.Binary("click", "1h")}), spec).state() == {}


def prediction_of(spec: FeatureSpec) -> Prediction:
    block, scores = encode(spec, RankInput(1, {}, [2], [{}])), {1: np.zeros(1, np.float32)}
    return Prediction(
        "p",
        "labels",
        1,
        1,
        1,
        "salt",
        5,
        9000,
        Arm.LIVE,
        1,
        "mt1-x",
        1,
        "",
        (2,),
        None,
        scores,
        spec_digest(spec),
        block,
    )
