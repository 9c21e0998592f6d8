"""Examples of the benchmarks: encoded as serving would, and scored by the version that was out, never a later one."""

import numpy as np

import martlet.learn as ml
from benchmarks.learning.examples import Examples, Lists
from benchmarks.learning.publishing import NEVER, Stream, learn_history, served
from martlet.feature_encoding import RankInput, concatenate, encode
from trainer_svc.learner import Learner

MODEL = ml.model_of(
    "m",
    ml.DeepFM,
    inputs={
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id"),
        "recent": ml.IdList("recent_items", space="item", max_len=3),
        "hour": ml.Number("hour"),
        "price": ml.Number("item.price"),
    },
    label=ml.Binary("click", "30m"),
    rows=ml.RowWiseAdaGrad(0.3),
    dim=4,
    hidden=(4,),
)
N = 60


def examples() -> tuple[Examples, dict[str, np.ndarray], Lists]:
    random = np.random.default_rng(0)
    columns = {
        "user": random.integers(0, 9, N),
        "item": random.integers(0, 9, N),
        "hour": random.random(N).astype(np.float32),
        "price": random.random(N).astype(np.float32),
    }
    recent = Lists(random.integers(0, 9, (N, 3)), random.integers(0, 4, N))
    labels = random.integers(0, 2, N).astype(np.float32)
    return Examples(MODEL.spec, {**columns, "recent": recent}, labels), columns, recent


def test_blocks_score_as_encoded_requests_do() -> None:
    made, columns, recent = examples()
    learner = Learner(MODEL)
    learner.learn(made.batch(slice(0, N)), 0)
    requests = [
        encode(
            MODEL.spec,
            RankInput(
                int(columns["user"][k]),
                {"hour": float(columns["hour"][k]), "recent_items": recent.ids[k, : recent.counts[k]].tolist()},
                [int(columns["item"][k])],
                [{"item.price": float(columns["price"][k])}],
            ),
        )
        for k in range(N)
    ]
    np.testing.assert_array_equal(learner.predict(made.block(slice(0, N))), learner.predict(concatenate(requests)))


def test_each_interval_serves_the_learner_as_it_stood_at_its_last_multiple() -> None:
    made, _, _ = examples()
    times = np.sort(np.random.default_rng(1).integers(0, 100, N))
    stream = Stream(made, times, start=20)
    learner = Learner(MODEL)
    learn_history(learner, stream, stream.start, batch=7)
    found = served(learner, stream, 2, [NEVER, 10, 2])
    for interval, logits in found.items():
        for place in range(stream.start, N):
            version = Learner(MODEL)
            learn_history(version, stream, stream.start, batch=7)
            published = times[place] // interval * interval if interval != NEVER else -1
            for tick in stream.windows(2):
                if times[tick.start] < published:
                    version.learn(made.batch(tick), int(times[tick.start]) * 1_000_000)
            expected = version.predict(made.block(slice(place, place + 1)))
            np.testing.assert_allclose(logits[place - stream.start], expected[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(found[NEVER], found[2])
