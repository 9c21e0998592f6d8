"""`python -m benchmarks.training.step`: the learning step alone, beside others' on the same examples.

Examples stand in memory, and their ids are known: a first pass over all of them is not counted. What is timed is
`Learner.test_and_learn`, which scores and learns. Rounds of both sides alternate; a figure is the median of its rounds.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.figures import Figures, at_least
from benchmarks.training.rival import FBGEMM, RIVER, VW, Rival, Round, Runner
from martlet.feature_spec import FeatureBlock
from trainer_svc.batch import Batch
from trainer_svc.learner import Learner

FIELDS: Final = 20
IDS: Final = 1_000_000
THREADS: Final = 2
_BUCKETS: Final = 1 << 18
_NOW_US: Final = 1_700_000_000_000_000
_INPUTS: Final[dict[str, ml.Input]] = {f"c{field}": ml.Id(f"item.c{field}") for field in range(FIELDS)}
_LABEL: Final = ml.Binary("click", "30m")
Examples = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, and the examples of a round at each batch size and for linear models."""

    rounds: int = 5
    large: int = 4096 * 12
    small: int = 256 * 64
    linear: int = 4096 * 12
    one_by_one: int = 10_000


QUICK: Final = Size(large=4096 * 6, small=256 * 32, linear=4096 * 8, one_by_one=4_000)


def step(figures: Figures, size: Size) -> None:
    """DeepFM's step: examples a second, processor time, and the ratio to FBGEMM's step (forward and backward only)."""
    for batch, count, wanted in ((4096, size.large, 100_000.0), (256, size.small, 45_000.0)):
        ours, theirs = _beside(_deep_fm(), FBGEMM, _examples(count), batch, size.rounds)
        figures.add(f"step.deepfm_examples_per_s_b{batch}", count / ours.wall, "examples/s", at_least(wanted))
        figures.add(f"step.deepfm_cpu_us_per_example_b{batch}", ours.cpu / count * 1e6, "us")
        figures.add(f"step.fbgemm_examples_per_s_b{batch}", count / theirs.wall, "examples/s")
        figures.add(f"step.fbgemm_cpu_us_per_example_b{batch}", theirs.cpu / count * 1e6, "us")
        figures.add(f"step.deepfm_ratio_to_fbgemm_b{batch}", theirs.wall / ours.wall, "", at_least(0.8))


def linear(figures: Figures, size: Size) -> None:
    """The linear model, and its ratio to learners that are given one example at a time."""
    batch = 4096
    for name, rival, wanted in (("vw_api", VW, 1.0), ("river", RIVER, 3.0)):
        few = size.one_by_one if rival is RIVER else size.linear
        ours, theirs = _beside(_linear(), rival, _examples(size.linear), batch, size.rounds, few)
        rate, rival_rate = size.linear / ours.wall, few / theirs.wall
        if rival is VW:
            figures.add("step.linear_examples_per_s", rate, "examples/s", at_least(300_000))
            figures.add("step.linear_cpu_us_per_example", ours.cpu / size.linear * 1e6, "us")
        figures.add(f"step.{name}_examples_per_s", rival_rate, "examples/s")
        figures.add(f"step.linear_ratio_to_{name}", rate / rival_rate, "", at_least(wanted))


def fbgemm_examples_per_s(batch: int, count: int = 4096 * 12, rounds: int = 5) -> float:
    """FBGEMM's DeepFM alone: median of the rounds; NaN where it cannot be installed or run."""
    with _running(FBGEMM, _examples(count), batch) as rival:
        return count / median(rival.round().wall for _ in range(rounds))


def _beside(
    model: ml.Model, rival: Rival, examples: Examples, batch: int, rounds: int, few: int | None = None
) -> tuple[Round, Round]:
    """Medians of our rounds over the examples and of a rival's over the first few of them, alternating."""
    learner, batches = Learner(model, _BUCKETS, THREADS), list(_batches(examples, batch))
    ours, theirs = partial(_learn_all, learner, batches), list[Round]()
    ours()
    mine = list[Round]()
    with _running(rival, examples[:few], batch) as runner:
        for _ in range(rounds):
            mine.append(ours())
            theirs.append(runner.round())
    return _median(mine), _median(theirs)


@contextmanager
def _running(rival: Rival, examples: Examples, batch: int) -> Iterator[Runner]:
    with TemporaryDirectory(prefix="martlet-") as folder:
        path = Path(folder) / "examples.npy"
        np.save(path, examples)
        with Runner(rival, path, batch) as runner:
            yield runner


def _learn_all(learner: Learner, batches: Sequence[Batch]) -> Round:
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        learner.test_and_learn(batch, _NOW_US)
    return Round(time.perf_counter() - wall, time.process_time() - cpu)


def _median(rounds: Sequence[Round]) -> Round:
    return Round(median(one.wall for one in rounds), median(one.cpu for one in rounds))


def _examples(count: int) -> Examples:
    """Label and ids, int64[count, 1 + FIELDS]. Ids are Zipf with exponent 1.1 over IDS; labels follow a few of them."""
    random = np.random.default_rng(20)
    weight = np.arange(1, IDS + 1, dtype=np.float64) ** -1.1
    ranks = np.searchsorted(np.cumsum(weight) / weight.sum(), random.random((count, FIELDS)))
    ids = np.minimum(ranks, IDS - 1)
    chance = 1 / (1 + np.exp(1.0 - 2.0 * np.sin(ids[:, :4]).sum(1)))
    return np.concatenate([(random.random(count) < chance)[:, None], ids], 1).astype(np.int64)


def _batches(examples: Examples, size: int) -> Iterator[Batch]:
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        n = len(part)
        none = np.zeros((1, 0), np.float32)
        block = FeatureBlock(
            np.zeros((1, 0), np.int64), none, part[:, 1:].copy(), np.zeros((n, 0), np.float32), np.zeros(n, np.int64)
        )
        yield Batch(block, part[:, 0].astype(np.float32), np.ones(n, np.float32))


def _deep_fm() -> ml.Model:
    return ml.model_of(
        "deep_fm", ml.DeepFM, inputs=_INPUTS, label=_LABEL, dim=16, hidden=(256, 128, 64), dense=ml.AdaGrad(0.01)
    )


def _linear() -> ml.Model:
    return ml.linear("linear", inputs=_INPUTS, label=_LABEL)


def main() -> None:
    """Prints the figures and writes out/bench/training-step.json."""
    size, figures = QUICK if os.environ.get("QUICK", "") not in {"", "0"} else Size(), Figures()
    step(figures, size)
    linear(figures, size)
    figures.write(Path("out/bench/training-step.json"))


if __name__ == "__main__":
    main()
