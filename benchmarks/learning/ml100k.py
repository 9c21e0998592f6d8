"""`python -m benchmarks.learning.ml100k`: MovieLens 100K as a stream, each rating predicted, then learned, once.

Martlet's linear learner reads the ids and a few means of the past (`past_means`), which a request carries, and learns
what is left of the rating with Huber's loss. Events of one batch do not see one another in its weights; the means they
carry are of all events before each. river's biased matrix factorisation runs on the same events, in turns, and its
linear regression on the same numbers. What is timed: means, blocks, scores, learning; every event stands in memory.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.figures import Figures, at_least, at_most
from benchmarks.learning import intervals
from benchmarks.learning.examples import Examples
from benchmarks.learning.past_means import NO_KEY, Past, Slice, past_of
from benchmarks.learning.rating_log import RatingLog, movielens
from benchmarks.training.rival import Rival, Round, Runner
from trainer_svc.learner import Learner

Floats = npt.NDArray[np.float64]
RIVER: Final = Rival("river_ratings", ("river==0.26.1",))
LOWEST, HIGHEST = 1.0, 5.0
_NOW_US: Final = 1_700_000_000_000_000
_CAREFUL: Final = 64
_NOVELTIES: Final = 6


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds of both sides, seeds, and examples in a batch."""

    rounds: int = 7
    seeds: int = 5
    batch: int = 512


QUICK: Final = Size(rounds=3, seeds=2)
FULL: Final = Size()


def ml100k(figures: Figures, size: Size) -> None:
    """MAE and events a second, beside river."""
    log = movielens()
    with _river(log) as (runner, folder):
        mine, theirs = list[Round](), list[Round]()
        _pass(log, size.batch)
        for _ in range(size.rounds):
            predictions, seconds = _pass(log, size.batch)
            mine.append(seconds)
            theirs.append(runner.round())
        rival = {kind: _errors(log, folder / f"events.{kind}.npy") for kind in ("biased_mf", "linear")}
    n, errors = len(log.ratings), np.abs(predictions - log.ratings)
    rate, rival_rate = (n / median(one.wall for one in rounds) for rounds in (mine, theirs))
    low, high = intervals.of_mean(log.users, errors)
    by_seed = [_mae(log, size.batch, seed) for seed in range(1, size.seeds)] + [float(errors.mean())]
    figures.add("ml100k.mae", float(np.mean(by_seed)), "stars", at_most(0.740))
    figures.add("ml100k.mae_worst_seed", max(by_seed), "stars")
    figures.add("ml100k.mae_low", low, "stars, 2.5 % of users' bootstrap")
    figures.add("ml100k.mae_high", high, "stars, 97.5 %")
    figures.add("ml100k.batch", size.batch, "events")
    figures.add(f"ml100k.mae_in_batches_of_{_CAREFUL}", _mae(log, _CAREFUL, 0), "stars")
    figures.add("ml100k.river_mae", rival["biased_mf"], "stars")
    figures.add("ml100k.river_linear_mae_on_the_same_numbers", rival["linear"], "stars")
    figures.add("ml100k.events_per_s", rate, "events/s")
    figures.add("ml100k.cpu_us_per_event", median(one.cpu for one in mine) / n * 1e6, "us")
    figures.add("ml100k.river_events_per_s", rival_rate, "events/s")
    figures.add("ml100k.ratio_to_river_events_per_s", rate / rival_rate, "", at_least(10.0))


def slices_of(log: RatingLog) -> list[Slice]:
    """The ways to look at the past that help here."""
    genres = np.where(log.genres == NO_KEY, NO_KEY, log.users[:, None] * (log.genres.max() + 1) + log.genres)
    decades = np.clip((log.years - 1925) // 9, 0, 7)
    return [
        Slice("user_now", log.users[:, None], 3.0, kept=0.8),
        Slice("user_genre", genres, 10.0),
        Slice("user_genre_now", genres, 5.0, kept=0.9),
        Slice("user_decade", (log.users * 8 + decades)[:, None], 10.0),
        Slice("user_novelty", (log.users * _NOVELTIES + _novelty(log))[:, None], 10.0),
        Slice("group_item", (log.groups * (log.items.max() + 1) + log.items)[:, None], 10.0),
    ]


def model_of(seed: int, numbers: list[str]) -> ml.Model:
    """Ids and numbers, no layers. Another seed salts the ids otherwise, so that their rows begin otherwise."""
    ids: dict[str, ml.Input] = {
        "user": ml.Id("user_id", space=f"user-{seed}"),
        "item": ml.Id("item_id", space=f"item-{seed}"),
    }
    return ml.model_of(
        "ratings",
        ml.Linear,
        inputs=ids | {name: ml.Number(name) for name in numbers},
        label=ml.Regression("rating", "60s", huber=0.2),
        dense=ml.AdaGrad(0.1),
        rows=ml.RowWiseAdaGrad(0.02),
    )


def _pass(log: RatingLog, batch: int, seed: int = 0) -> tuple[Floats, Round]:
    slices = slices_of(log)
    model = model_of(seed, [one.name for one in slices])
    learner = Learner(model)
    wall, cpu = time.perf_counter(), time.process_time()
    past = past_of(log.users, log.items, log.ratings, slices)
    predictions = _test_and_learn(learner, log, past, batch)
    return predictions, Round(time.perf_counter() - wall, time.process_time() - cpu)


def _test_and_learn(learner: Learner, log: RatingLog, past: Past, batch: int) -> Floats:
    columns = {"user": log.users, "item": log.items, **past.numbers}
    examples = Examples(learner.spec, columns, (log.ratings - past.base).astype(np.float32))
    rests = np.empty(len(examples), np.float32)
    for start in range(0, len(examples), batch):
        which = slice(start, min(start + batch, len(examples)))
        rests[which] = learner.test_and_learn(examples.batch(which), _NOW_US)
    return np.clip(past.base + rests, LOWEST, HIGHEST)


def _mae(log: RatingLog, batch: int, seed: int) -> float:
    return float(np.abs(_pass(log, batch, seed)[0] - log.ratings).mean())


def _novelty(log: RatingLog) -> npt.NDArray[np.int64]:
    """How often the item was rated before, in six steps."""
    seen, before = np.zeros(log.items.max() + 1, np.int64), np.empty(len(log.items), np.int64)
    for place, item in enumerate(log.items.tolist()):
        before[place] = seen[item]
        seen[item] += 1
    return np.minimum(np.log2(1 + before) / 1.7, _NOVELTIES - 1).astype(np.int64)


@contextmanager
def _river(log: RatingLog) -> Iterator[tuple[Runner, Path]]:
    past = past_of(log.users, log.items, log.ratings, slices_of(log))
    with TemporaryDirectory(prefix="martlet-") as name:
        path = Path(name) / "events.npy"
        np.save(path, np.column_stack([log.users, log.items, log.ratings, past.base, *past.numbers.values()]))
        with Runner(RIVER, path, 1) as runner:
            yield runner, path.parent


def _errors(log: RatingLog, path: Path) -> float:
    """The mean absolute error of predictions that were left in a file; NaN if there are none."""
    return float(np.abs(np.load(path) - log.ratings).mean()) if path.exists() else float("nan")


def main() -> None:
    """Prints the figures and writes out/bench/learning-ml100k.json."""
    figures = Figures()
    ml100k(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-ml100k.json"))


if __name__ == "__main__":
    main()
