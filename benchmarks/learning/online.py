"""`python -m benchmarks.learning.online`: what it is worth to publish often, against the interval.

Monolith's experiment (arXiv 2209.07663, table 2) on other logs: every example is scored by the latest published
version, then learned. Beside it a frozen model and one that is trained anew each night on all there is.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
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
"""Trained anew each night, in place of an interval."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        seeds: how often, each with rows that begin otherwise.
        tested: the share of the log, at its end, that is tested.
        plot: whether the curves are drawn into the page's folder.
    """

    seeds: int = 5
    tested: float = 0.5
    plot: bool = True


QUICK: Final = Size(seeds=1, tested=0.1, plot=False)
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
    log: Callable[[float, int], Liking]
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
    for case in CASES:
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
    runs = []
    for seed in range(size.seeds):
        log = case.log(size.tested, seed)
        if log is None:
            return None
        runs.append(_areas(log, case, seed))
    mean = {way: float(np.mean([areas[way] for areas, _, _ in runs])) for way in runs[0][0]}
    gains = {interval: 100 * (mean[interval] - mean[NEVER]) for interval in case.publishing}
    for interval, gain in gains.items():
        figures.add(f"online.{case.name}.gain_at_{interval}_s", gain, "AUC points over frozen")
    low, high = (float(np.mean([bounds[side] for _, bounds, _ in runs])) * 100 for side in (0, 1))
    ordered = list(gains.values())
    figures.add(f"online.{case.name}.auc_frozen", mean[NEVER], "AUC")
    figures.add(f"online.{case.name}.gain_over_frozen", ordered[-1], "AUC points", case.wanted)
    figures.add(f"online.{case.name}.gain_over_frozen_low", low, "AUC points, 2.5 % of users' bootstrap", at_least(0.0))
    figures.add(f"online.{case.name}.gain_over_frozen_high", high, "AUC points, 97.5 %")
    figures.add(
        f"online.{case.name}.gain_over_nightly", 100 * (mean[case.publishing[-1]] - mean[NIGHTLY]), "AUC points"
    )
    figures.add(
        f"online.{case.name}.gain_over_nightly_low",
        float(np.mean([bounds.low for _, _, bounds in runs])) * 100,
        "AUC points, 2.5 % of users' bootstrap",
    )
    rising = all(later >= earlier for earlier, later in zip(ordered, ordered[1:], strict=False))
    figures.add(f"online.{case.name}.gain_is_monotone", rising, "1 is yes", at_least(1))
    return gains


def _areas(log: Liking, case: Case, seed: int) -> tuple[Mapping[int, float], intervals.Interval, intervals.Interval]:
    """AUC of each way, and the bootstrap of the last interval's gain over frozen and over nightly training."""
    learner = Learner(log.model)
    learn_history(learner, log.stream, log.stream.start, log.batch)
    logits = served(learner, log.stream, case.publishing[-1], [NEVER, *case.publishing])
    logits[NIGHTLY] = _retrained(log, case.epochs, seed)
    labels, users = log.stream.examples.labels[log.stream.start :], log.users[log.stream.start :]
    finest = logits[case.publishing[-1]]
    areas = {way: intervals.auc(labels, scores) for way, scores in logits.items()}
    over = [intervals.of_auc_gain(users, labels, finest, logits[way], seed=seed) for way in (NEVER, NIGHTLY)]
    return areas, over[0], over[1]


def _retrained(log: Liking, epochs: int, seed: int) -> Floats:
    """Logits of each day's examples by a model that was trained on everything before that day, from nothing."""
    stream = log.stream
    logits = np.empty(len(stream.examples) - stream.start, np.float32)
    for day in stream.windows(DAY):
        learner = Learner(log.model)
        learn_history(learner, stream, day.start, log.batch, epochs, seed)
        logits[day.start - stream.start : day.stop - stream.start] = learner.predict(stream.examples.block(day))
    return logits


def _draw(case: Case, gains: Mapping[int, float]) -> None:
    hours = [interval / 3600 for interval in gains]
    plot = line_plot(
        f"{case.name}: gain over a frozen model", "publishing interval, hours", "AUC points",
        [Series("online", hours[::-1], list(gains.values())[::-1])],
    )  # fmt: skip
    PLOTS.mkdir(parents=True, exist_ok=True)
    (PLOTS / f"online_{case.name}.svg").write_text(plot)


def main() -> None:
    """Prints the figures and writes out/bench/learning-online.json."""
    figures = Figures()
    online(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-online.json"))


if __name__ == "__main__":
    main()
