"""`python -m benchmarks.learning.drift`: how fast drift is noticed and answered (QUICK=1: a short form).

A made-up stream of known truth: users and items with hidden tastes, a click by their product. At one event the items'
tastes are shuffled among them: what was learned of items is wrong from then on, and the best AUC that can be had stays
what it was. Two learners of one model learn it: one at its rate, and one whose rate rises on an alarm. Each is scored
on fresh examples of the world as it is then. An answer's events are those from the change until 90 % of the AUC that
was lost is back. The rate itself is the one of several that is best without drift, or the comparison would be of rates.
The learner has run for long when the world changes: AdaGrad's steps are small by then, which is what a boost is for.
(After a third of the events before the change the same boost needs 0.58 of the fixed rate's events, not 0.4.)

False alarms are counted on streams that do not change: losses of a model that knows the truth, and of the learner.
Detectors are timed beside river's, one number at a time there, a batch at a time here, as each is made to be used.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from river import drift as river

import martlet.learn as ml
from benchmarks.figures import Figures, at_least, at_most
from martlet.feature_spec import FeatureBlock
from martlet.runtime.learning_config import DriftConfig, LearningConfig
from trainer_svc.batch import Batch
from trainer_svc.batch_treatment import BatchTreatment
from trainer_svc.drift.adwin import Adwin
from trainer_svc.drift.detector import Detector
from trainer_svc.drift.drift_watch import MOST_LOSS
from trainer_svc.drift.kswin import Kswin
from trainer_svc.drift.page_hinkley import PageHinkley
from trainer_svc.labelled_rows import LabelledRows
from trainer_svc.learner import Learner
from trainer_svc.prequential import area_under_curve, log_losses

Doubles = npt.NDArray[np.float64]
BATCH: Final = 256
SETTINGS: Final = DriftConfig(detectors=("adwin",), rate_boost=5.0, boost_examples=30_000)
ANSWER: Final = LearningConfig(drift=SETTINGS)
INPUTS: Final = {"user": ml.Id("user_id"), "item": ml.Id("item_id")}
LABEL: Final = ml.Binary("click", "1h")
BACK: Final = 0.9


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rates: of which the best without drift is taken.
        before, after: events before the change, and behind it.
        stationary: numbers that each detector is given without a change.
        slow: of those for KSWIN.
        timed: numbers that detectors are timed with; KSWIN with a hundredth.
    """

    seeds: int = 5
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    before: int = 400_000
    after: int = 400_000
    stationary: int = 100_000_000
    slow: int = 5_000_000
    timed: int = 1_000_000


FULL: Final = Size()
QUICK: Final = Size(1, (0.2, 0.4), 400_000, 130_000, 20_000_000, 500_000, 200_000)


class World:
    """Who clicks on what: hidden tastes, which items can be made to exchange."""

    def __init__(self, seed: int, users: int = 500, items: int = 300, factors: int = 4) -> None:
        self._random = np.random.default_rng(seed)
        self._users = self._random.normal(size=(users, factors))
        self._items = self._random.normal(size=(items, factors))
        self._popular = self._random.normal(-1.0, 1.0, items)

    def change(self) -> None:
        """Items exchange their tastes and popularity."""
        order = self._random.permutation(len(self._popular))
        self._items, self._popular = self._items[order], self._popular[order]

    def batch(self, count: int) -> tuple[Batch, Doubles]:
        """Examples of the world as it is, and their true logits."""
        users = self._random.integers(len(self._users), size=count)
        items = self._random.integers(len(self._popular), size=count)
        logits = 1.2 * (self._users[users] * self._items[items]).sum(1) + self._popular[items]
        labels = self._random.random(count) < 1 / (1 + np.exp(-logits))
        block = FeatureBlock(
            users[:, None].astype(np.int64), np.zeros((count, 0), np.float32), items[:, None].astype(np.int64),
            np.zeros((count, 0), np.float32), np.arange(count),
        )  # fmt: skip
        return Batch(block, labels.astype(np.float32), np.ones(count, np.float32)), logits


@dataclass(frozen=True, slots=True)
class Course:
    """What became of a learner. `curve`: (events behind the change, AUC)."""

    before: float
    curve: tuple[tuple[int, float], ...]
    alarms: tuple[int, ...]

    @property
    def needed(self) -> float:
        """Events until the loss of AUC is back but for a tenth; NaN: not within the run."""
        lowest = self.curve[0][1]
        wanted = lowest + BACK * (self.before - lowest)
        return next((float(events) for events, auc in self.curve if auc >= wanted), float("nan"))


def model(rate: float) -> ml.Model:
    """The learner's model."""
    return ml.model_of(
        "drifting", ml.DeepFM, inputs=INPUTS, label=LABEL, dim=8, hidden=(16,), dense=ml.AdaGrad(rate),
        rows=ml.RowWiseAdaGrad(rate),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """What replay asks of a prediction record."""

    user_key: int = 0
    time_us: int = 1_000_000


def run(seed: int, size: Size, rate: float, learning: LearningConfig) -> Course:
    """One learner through the change. The same seed gives the same events."""
    world, drifting = World(seed), model(rate)
    learner, treatment = Learner(drifting, 1 << 10), BatchTreatment(learning, drifting.spec)
    alarms: list[int] = []
    curve: list[tuple[int, float]] = []
    test, before = world.batch(20_000)[0], 0.0
    for event in range(0, size.before + size.after, BATCH):
        if event - BATCH < size.before <= event:
            before = _auc(learner, test)
            world.change()
            test = world.batch(20_000)[0]
        if event >= size.before and event // BATCH % 4 == 0:
            curve.append((event - size.before, _auc(learner, test)))
        _learn(learner, treatment, world.batch(BATCH)[0])
        if sum(treatment.figures().alarms.values()) > len(alarms):
            alarms.append(event + BATCH - size.before)
    return Course(before, tuple(curve), tuple(alarms))


def _learn(learner: Learner, treatment: BatchTreatment, batch: Batch) -> None:
    examples = [LabelledRows(cast("Any", Origin()), np.arange(batch.size), batch.labels, judged=True)]
    treated = treatment.treat(examples, batch, 1_000_000)
    logits = learner.test_and_learn(treated.batch, 1_000_000)[: batch.size]
    if treatment.watches:
        treatment.tested(log_losses(logits, batch.labels))


def _auc(learner: Learner, test: Batch) -> float:
    return area_under_curve(learner.predict(test.block), test.labels)


def recovery(figures: Figures, size: Size) -> None:
    """Events until the AUC is back, at a fixed rate and with a boost."""
    short = Size(before=size.before, after=BATCH)
    without = {rate: run(0, short, rate, LearningConfig()).before for rate in size.rates}
    best = max(without, key=lambda rate: without[rate])
    for rate, auc in without.items():
        figures.add(f"drift.recovery.auc_before_at_rate_{rate}", auc, "")
    fixed = [run(seed, size, best, LearningConfig()) for seed in range(size.seeds)]
    boosted = [run(seed, size, best, ANSWER) for seed in range(size.seeds)]
    ratios = [one.needed / other.needed for one, other in zip(boosted, fixed, strict=True)]
    figures.add("drift.recovery.auc_lost", median(one.before - one.curve[0][1] for one in fixed), "")
    figures.add("drift.recovery.events_fixed", median(one.needed for one in fixed), "events")
    figures.add("drift.recovery.events_boosted", median(one.needed for one in boosted), "events")
    figures.add("drift.recovery.share_of_events", median(ratios), "", at_most(0.5))
    figures.add("drift.recovery.share_of_events_worst", max(ratios), "")
    noticed = [next((at for at in one.alarms if at > 0), float("nan")) for one in boosted]
    figures.add("drift.recovery.noticed_after", median(noticed), "events")
    early = sum(1 for one in boosted for at in one.alarms if -size.before // 2 < at <= 0)
    figures.add("drift.recovery.false_alarms_of_the_learner", early / (size.seeds * size.before / 2e6), "1/M events")
    cost = median(one.before for one in fixed) - median(one.before for one in boosted)
    figures.add("drift.recovery.auc_cost_without_drift", cost, "", at_most(0.001))


DETECTORS: Final[dict[str, Callable[[], Detector]]] = {
    "adwin": lambda: Adwin(SETTINGS.adwin_delta, SETTINGS.adwin_clock),
    "page_hinkley": lambda: PageHinkley(SETTINGS.page_hinkley_threshold, SETTINGS.page_hinkley_delta),
    "kswin": lambda: Kswin(SETTINGS.kswin_alpha, SETTINGS.kswin_window, SETTINGS.kswin_stat),
}


def false_alarms(figures: Figures, size: Size) -> None:
    """Alarms of each detector, at its default settings, on losses that do not change."""
    for name, make in DETECTORS.items():
        count = size.slow if name == "kswin" else size.stationary
        found, detector = 0, make()
        for part in range(0, count, 500_000):
            found += int(np.count_nonzero(detector.update(_true_losses(part, 500_000))))
        figures.add(f"drift.false_alarms.{name}", found / count * 1e6, "1/M events", at_most(1.0))
        figures.add(f"drift.false_alarms.{name}_events", count, "events")


def _true_losses(seed: int, count: int) -> Doubles:
    """Losses of who knows each chance of a click: heavy to one side, as losses are."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1.5, 1.5, count)
    labels = random.random(count) < 1 / (1 + np.exp(-logits))
    return np.minimum(log_losses(logits, labels.astype(np.float64)), MOST_LOSS) / MOST_LOSS


def speed(figures: Figures, size: Size) -> None:
    """Time for one number, beside river's detectors with river's settings."""
    values = np.random.default_rng(0).random(size.timed)
    few = values[: size.timed // 100]
    pairs: dict[str, tuple[Detector, Any, Doubles]] = {
        "adwin": (Adwin(), river.ADWIN(), values),
        "page_hinkley": (PageHinkley(), river.PageHinkley(), values),
        "kswin": (Kswin(), river.KSWIN(seed=1), few),
    }
    for name, (own, other, numbers) in pairs.items():
        own.update(numbers[:1000])
        mine, theirs = _time(partial(own.update, numbers)), _time(partial(_river, other, numbers.tolist()))
        figures.add(f"drift.speed.{name}", mine / len(numbers) * 1e9, "ns/event")
        figures.add(f"drift.speed.{name}_of_river", theirs / len(numbers) * 1e9, "ns/event")
        figures.add(f"drift.speed.{name}_times_faster", theirs / mine, "", at_least(20.0))


def _river(detector: Any, numbers: list[float]) -> None:
    for number in numbers:
        detector.update(number)
        if detector.drift_detected:
            pass


def _time(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def drift(figures: Figures, size: Size) -> None:
    """All of it."""
    speed(figures, size)
    false_alarms(figures, size)
    recovery(figures, size)


def main() -> None:
    """Prints the figures and writes out/bench/learning-drift.json."""
    size, figures = QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL, Figures()
    drift(figures, size)
    figures.write(Path("out/bench/learning-drift.json"))


if __name__ == "__main__":
    main()
