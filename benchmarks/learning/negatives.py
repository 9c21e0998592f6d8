"""`python -m benchmarks.learning.negatives`: is a score still a probability when few negatives are learned?

A made-up stream of slates whose law is known: an impression is clicked with probability σ(b + user + item), two or
three in a hundred, users and items of Zipf's frequencies. The joiner keeps negatives at the rates 1, 0.1 and 0.01; they
are learned with the offset -log r. Each step's impressions are scored by what has learned those before; in the second
half of the stream the scores are held against the law's probabilities: expected calibration error over 15 bins of equal
size, and predicted over true clicks.
"""  # noqa: RUF002

import os
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.figures import Figures, Target, at_most
from benchmarks.learning.impressions import PARTITION, START_US, Course, Hours, learn
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm, Outcome, Prediction
from martlet.feature_encoding import concatenate
from martlet.feature_spec import FeatureBlock
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event

Floats = npt.NDArray[np.float64]
USERS: Final = 200
ITEMS: Final = 200
SLATE: Final = 50
STRETCH: Final = 5  # slates that the trainer reads at once: a step learns its clicks first, then its negatives
BINS: Final = 15
RATES: Final = {"1": 1.0, "01": 0.1, "001": 0.01}


@dataclass(frozen=True, slots=True)
class Size:
    """How many slates are learned, by how many seeds."""

    slates: int
    seeds: int = 1


SPACING_US: Final = 20_000  # so that a window is a small part of the stream
BATCH: Final = 64
QUICK: Final = Size(20_000)
FULL: Final = Size(80_000, seeds=3)


class Law:
    """Who clicks on what."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._users, self._items = random.normal(0, 0.5, USERS), random.normal(0, 0.7, ITEMS)
        self._often = 1 / np.arange(1, ITEMS + 1)
        self._often /= self._often.sum()

    def drawn(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Users, int64[count], and a slate of items for each, int64[count, SLATE]."""
        users = self._random.integers(0, USERS, count)
        return users, self._random.choice(ITEMS, (count, SLATE), p=self._often)

    def probabilities(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Floats:
        """Of a click: float64, of the items' shape."""
        return np.asarray(1 / (1 + np.exp(4.2 - self._users[users][:, None] - self._items[items])))


def model(rate: float) -> ml.Model:
    """Logistic regression of user and item; both optimizers' steps grow smaller with what they have seen."""
    inputs = {"user": ml.Id("user_id"), "item": ml.Id("item_id")}
    label = ml.Binary("click", "1s", negatives=rate)
    return ml.model_of(
        "negatives", ml.Linear, inputs=inputs, label=label, dense=ml.AdaGrad(0.5), rows=ml.RowAdaGrad(0.2)
    )


def negatives(figures: Figures, size: Size) -> None:
    """All figures."""
    found: dict[str, list[Found]] = {name: [] for name in RATES}
    for seed in range(11, 11 + size.seeds):
        random = np.random.default_rng(seed)
        law = Law(random)
        with tempfile.TemporaryDirectory() as folder:
            hours, truth = write(Path(folder), law, random, size)
            half = truth.shape[0] // 2
            for name, rate in RATES.items():
                course = learn(model(rate), hours, BATCH)
                found[name].append(found_of(course, 1 / (1 + np.exp(-course.logits[half:])), truth[half:]))
    for name, by_seed in found.items():
        add(figures, name, by_seed)


class Found(NamedTuple):
    """Of one rate and seed: calibration error, predicted over true, examples learned, prequential log-loss in nats."""

    error: float
    ratio: float
    examples: float
    logloss: float


def found_of(course: Course, predicted: Floats, truth: Floats) -> Found:
    """Scores against the law's probabilities."""
    ratio, logloss = float(predicted.sum() / truth.sum()), course.state.quality()["logloss"]
    return Found(calibration_error(predicted, truth), ratio, course.state.examples, logloss)


def add(figures: Figures, name: str, by_seed: list[Found]) -> None:
    """The figures of one rate: means over seeds."""
    mean, ratios = Found(*np.mean(by_seed, axis=0)), [one.ratio for one in by_seed]
    figures.add(f"negatives.ece_at_{name}", float(mean.error), "", at_most(0.005))
    within = Target(0.01, "within", lambda value: abs(value - 1) <= 0.01)  # noqa: PLR2004
    figures.add(f"negatives.predicted_over_true_at_{name}", float(mean.ratio), "", within)
    figures.add(f"negatives.predicted_over_true_least_at_{name}", min(ratios), "")
    figures.add(f"negatives.predicted_over_true_most_at_{name}", max(ratios), "")
    figures.add(f"negatives.examples_at_{name}", float(mean.examples), "")
    figures.add(f"negatives.prequential_logloss_at_{name}", float(mean.logloss), "nats")


def calibration_error(predicted: Floats, truth: Floats) -> float:
    """Mean distance of predicted and true means, over bins of equal size by prediction."""
    order = np.argsort(predicted, kind="stable")
    parts = [order[a:b] for a, b in pairwise(np.linspace(0, len(order), BINS + 1).astype(int))]
    return float(np.mean([abs(predicted[part].mean() - truth[part].mean()) for part in parts]))


def write(root: Path, law: Law, random: np.random.Generator, size: Size) -> tuple[Hours, Floats]:
    """The log, slates in equal distances, clicks at once; and the probability of each impression's click."""
    writer = FileEventWriter(root, PARTITION, queue_limit=1 << 22)
    ends, blocks, truth = [], [], []
    for first in range(0, size.slates, STRETCH):
        users, items = law.drawn(STRETCH)
        chances = law.probabilities(users, items)
        slates = [_slate(first + number, int(users[number]), items[number]) for number in range(STRETCH)]
        for slate, clicked in zip(slates, random.random(items.shape) < chances, strict=True):
            position = writer.append(encode_event(slate))
            for place in np.flatnonzero(clicked).tolist():
                click = Outcome(
                    f"{slate.prediction_id}-{place}", slate.prediction_id, place, "click", 1.0, slate.time_us
                )
                position = writer.append(encode_event(click))
        ends.append(position.result().offset)
        blocks.append(concatenate([slate.features for slate in slates]))
        truth.append(chances.reshape(-1))
    writer.close()
    return Hours(root, ends, blocks, STRETCH * SPACING_US), np.concatenate(truth)


def _slate(number: int, user: int, items: npt.NDArray[np.int64]) -> Prediction:
    """The caller's item ids are the places: an item may stand in a slate twice."""
    none = np.zeros((1, 0), np.float32), np.zeros((SLATE, 0), np.float32)
    block = FeatureBlock(np.array([[user]]), none[0], items[:, None], none[1], np.zeros(SLATE, np.int64))
    return Prediction(
        f"p{number}", "negatives", START_US + number * SPACING_US, 1, 1,
        "salt", 5, 9000, Arm.LIVE, 1, "mt1-x", user, "", tuple(range(SLATE)), None,
        {1: np.zeros(SLATE, np.float32)}, SPEC, block,
    )  # fmt: skip


def _click(slate: Prediction, place: int) -> Outcome:
    """At once."""
    return Outcome(f"{slate.prediction_id}-{place}", slate.prediction_id, place, "click", 1.0, slate.time_us)


SPEC: Final = spec_digest(model(1.0).spec)


def main() -> None:
    """Prints the figures, and writes out/bench/learning_negatives.json."""
    figures = Figures()
    negatives(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning_negatives.json"))


if __name__ == "__main__":
    main()
