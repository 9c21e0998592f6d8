"""`python -m benchmarks.learning.online`: what it is worth to publish often, against the interval.

Monolith's experiment (arXiv 2209.07663, table 2) on other logs: every example is scored by the latest published
version, then learned. Beside it a frozen model and one that is trained anew each night on all there is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, Target, at_least
from benchmarks.learning import intervals
from benchmarks.learning.liking import Liking, liking
from benchmarks.learning.publishing import NEVER, learn_history, served
from benchmarks.learning.report import PLOTS
from benchmarks.learning.retail import retail
from benchmarks.training.line_plot import Series, line_plot
from trainer_svc.learner import Learner

Floats = npt.NDArray[np.float32]
DAY: Final = 86_400
NIGHTLY: Final = -1
"""Trained anew each night, in place of an interval; by the first seed alone, since it takes so long."""
_RETRAINED: Final = 256


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        seeds: how often, each with rows that begin otherwise.
        tested: the share of the log, at its end, that is tested.
        retail: whether the retail log is measured, too.
        plot: whether the curves are drawn into the page's folder.
    """

    seeds: int = 5
    tested: float = 0.5
    retail: bool = True
    plot: bool = True


QUICK: Final = Size(seeds=1, tested=0.1, retail=False, plot=False)
FULL: Final = Size()


@dataclass(frozen=True, slots=True)
class Case:
    """A log and the intervals that suit it.

    Attributes:
        name: of its figures, below `online`.
        log: what is learned, by the share that is tested and a seed.
        publishing: intervals in seconds, the longest first; the last is the tick in which the learner learns.
        epochs: passes of each night's training.
        wanted: the goal for the gain at the last interval, in AUC points.
    """

    name: str
    log: Callable[[float, int], Liking | None]
    publishing: Sequence[int]
    epochs: int
    wanted: Target | None = None


CASES: Final = (
    Case("movielens", liking, (7 * DAY, DAY, 3600, 600, 60, 10), epochs=2),
    Case("retail", retail, (28 * DAY, 7 * DAY, DAY, 3600, 60), epochs=1, wanted=at_least(0.37)),
)


def online(figures: Figures, size: Size) -> None:
    """The gain over a frozen model and over nightly training, for each log there is."""
    headline = "movielens"
    for case in CASES if size.retail else CASES[:1]:
        gains = _measured(figures, case, size)
        if gains is None:
            continue
        headline = case.name
        if size.plot:
            _draw(case, gains)
    finest = figures.entries[f"online.{headline}.gain_over_frozen"]["value"]
    figures.add("online.auc_gain_over_frozen", finest, f"AUC points, {headline}", at_least(0.37))


def _measured(figures: Figures, case: Case, size: Size) -> dict[int, float] | None:
    """Adds a log's figures; gives the gain over a frozen model by interval, or None where the log is not at hand."""
    runs: list[Run] = []
    for seed in range(size.seeds):
        log = case.log(size.tested, seed)
        if log is None:
            return None
        runs.append(_run(log, case, seed))
    mean = {way: float(np.mean([run.areas[way] for run in runs])) for way in (NEVER, *case.publishing)}
    gains = {interval: 100 * (mean[interval] - mean[NEVER]) for interval in case.publishing}
    for interval, gain in gains.items():
        figures.add(f"online.{case.name}.gain_at_{interval}_s", gain, "AUC points over frozen")
    ordered, finest, name = list(gains.values()), case.publishing[-1], f"online.{case.name}"
    low, high = (100 * float(np.mean([run.over[NEVER][side] for run in runs])) for side in (0, 1))
    figures.add(f"{name}.auc_frozen", mean[NEVER], "AUC")
    figures.add(f"{name}.gain_over_frozen", ordered[-1], "AUC points", case.wanted)
    figures.add(f"{name}.gain_over_frozen_low", low, "AUC points, 2.5 % of users' bootstrap", at_least(0.0))
    figures.add(f"{name}.gain_over_frozen_high", high, "AUC points, 97.5 %")
    areas, (low, high) = runs[0].areas, runs[0].over[NIGHTLY]
    figures.add(f"{name}.gain_over_nightly", 100 * (areas[finest] - areas[NIGHTLY]), "AUC points")
    figures.add(f"{name}.gain_over_nightly_low", 100 * low, "AUC points, 2.5 % of users' bootstrap")
    figures.add(f"{name}.gain_over_nightly_high", 100 * high, "AUC points, 97.5 %")
    rising = all(later >= earlier for earlier, later in pairwise(ordered))
    figures.add(f"{name}.gain_is_monotone", rising, "1 is yes", at_least(1) if size.seeds > 1 else None)
    return gains


@dataclass(frozen=True, slots=True)
class Run:
    """One seed's.

    Attributes:
        areas: the AUC of each way.
        over: the bootstrap of the last interval's gain over a frozen model and over nightly training.
    """

    areas: Mapping[int, float]
    over: Mapping[int, intervals.Interval]


def _run(log: Liking, case: Case, seed: int) -> Run:
    learner = Learner(log.model)
    learn_history(learner, log.stream, log.stream.start, log.batch)
    logits = served(learner, log.stream, case.publishing[-1], [NEVER, *case.publishing])
    if seed == 0:
        logits[NIGHTLY] = _retrained(log, case.epochs, seed)
    labels, users = log.stream.examples.labels[log.stream.start :], log.users[log.stream.start :]
    finest = logits[case.publishing[-1]]
    areas = {way: intervals.auc(labels, scores) for way, scores in logits.items()}
    baselines = [way for way in (NEVER, NIGHTLY) if way in logits]
    return Run(areas, {way: intervals.of_auc_gain(users, labels, finest, logits[way], seed=seed) for way in baselines})


def _retrained(log: Liking, epochs: int, seed: int) -> Floats:
    """Logits of each day's examples by a model that was trained on everything before that day, from nothing."""
    stream = log.stream
    logits = np.empty(len(stream.examples) - stream.start, np.float32)
    for day in stream.windows(DAY):
        learner = Learner(log.model)
        learn_history(learner, stream, day.start, _RETRAINED, epochs, seed)
        logits[day.start - stream.start : day.stop - stream.start] = learner.predict(stream.examples.block(day))
    return logits


def _draw(case: Case, gains: Mapping[int, float]) -> None:
    rising = dict(sorted(gains.items()))
    plot = line_plot(
        f"{case.name}: gain over a frozen model",
        "publishing interval, seconds",
        "AUC points",
        [Series("online", list(rising), list(rising.values()))],
    )
    PLOTS.mkdir(parents=True, exist_ok=True)
    (PLOTS / f"online_{case.name}.svg").write_text(plot)


def main() -> None:
    """Prints the figures and writes out/bench/learning-online.json."""
    figures = Figures()
    online(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-online.json"))


if __name__ == "__main__":
    main()
