"""`python -m benchmarks.training.pipeline`: from the log to the commit, end to end (QUICK=1: a short form).

The stream is made of slates: predictions of 50 impressions with about 2 clicks each and an implicit label, so that an
example is one impression. 20 categorical features (8 of the user or context, 12 of the item), Zipf-distributed over
45,000 values each; one table of about a million slots. The hard case is a stream of predictions of one impression.
Journal (with fsync), checkpoints every 10 s, a delta every second, all as in the trainer's service; the registry takes
every version at once.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import martlet.learn as ml
from benchmarks.figures import Figures, at_least
from benchmarks.training.made_up_log import CLICK, WINDOW_SECONDS, Traffic, inputs, write_log
from benchmarks.training.one_process import beginning, trainer
from benchmarks.training.stopwatch import Stopwatch
from martlet.eventlog.file_log import FileEventReader
from trainer_svc import intake, training_state
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.intake import Intake
from trainer_svc.journal import LogJournal
from trainer_svc.learner import Learner
from trainer_svc.prequential import Prequential
from trainer_svc.row_store import RowStore
from trainer_svc.scoreboard import Scoreboard
from trainer_svc.training_state import TrainingState

BUCKETS = 1 << 18
THREADS = 2
SINGLES_PER_SECOND = 10_000
WARM = 0.25  # of the examples: the table fills, torch and the compiled kernels are warm


@dataclass(frozen=True, slots=True)
class Size:
    """How many examples are learned in each measurement."""

    deep: int
    deep_small: int
    linear: int
    single: int


QUICK = Size(deep=400_000, deep_small=120_000, linear=600_000, single=40_000)
FULL = Size(deep=3_000_000, deep_small=1_500_000, linear=6_000_000, single=400_000)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run, without its warm-up.

    Attributes:
        seconds: wall time.
        cpu: processor time of the process.
        watch: times of the loop's thread, by part.
    """

    examples: int
    steps: int
    versions: int
    checkpoints: int
    seconds: float
    cpu: float
    watch: Stopwatch

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.examples / self.seconds


def deepfm() -> ml.Model:
    """DeepFM, 20 features of 16 columns and a first-order weight, a perceptron of 256-128-64."""
    return ml.model_of("deepfm", ml.DeepFM, inputs=inputs(), label=_label(), hidden=(256, 128, 64))


def linear() -> ml.Model:
    """Logistic regression on the same features, by FTRL."""
    return ml.linear("linear", inputs=inputs(), label=_label())


def pipeline(figures: Figures, size: Size, rival: float | None = None) -> None:
    """All figures. `rival`: examples/s of fbgemm's step at batch 4096, on two cores."""
    deep = deepfm()
    with log(deep, Traffic(size.deep)) as source:
        rate = _figures(figures, "deepfm.examples_per_s_b4096", source, 4096, size.deep, 85_000)
        if rival is not None:
            figures.add("deepfm.ratio_to_fbgemm", rate / rival, "", at_least(0.8))
        _figures(figures, "deepfm.examples_per_s_b256", source, 256, size.deep_small, 40_000)
    with log(deep, Traffic(size.single, slate=1, per_second=SINGLES_PER_SECOND)) as source:
        _figures(figures, "deepfm.single_impressions_per_s_b4096", source, 4096, size.single)
    with log(linear(), Traffic(size.linear)) as source:
        _figures(figures, "linear.examples_per_s", source, 4096, size.linear, 300_000)


@dataclass(frozen=True, slots=True)
class Source:
    """A folder with the log of a model's stream, and the event time of its last record."""

    root: Path
    model: ml.Model
    now_us: int


@contextmanager
def log(model: ml.Model, traffic: Traffic) -> Iterator[Source]:
    """Writes a log; it is gone afterwards. BENCH_DIR: the folder, and so the disk, that is used."""
    with TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        yield Source(root, model, write_log(root / "events", model, traffic))


def measured(source: Source, batch: int, examples: int, *, parts: bool) -> Measured:
    """Learns so many examples of a log with batches of this size; the first of them are not measured.

    `parts`: with times by part. Taking them costs about a quarter of a microsecond for an example.
    """
    root, model, watch = source.root, source.model, Stopwatch()
    timing = watch.timing(PARTS if parts else {})
    with trainer(root, model, beginning(model, batch, BUCKETS, THREADS), source.now_us) as (loop, ears), timing:
        while ears.examples < WARM * examples and loop.turn(_no_pause):
            pass
        before = (ears.examples, ears.steps, ears.versions, ears.checkpoints)
        watch.clear()
        began, cpu = time.perf_counter(), time.process_time()
        while ears.examples < examples and loop.turn(_no_pause):
            pass
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        after = (ears.examples, ears.steps, ears.versions, ears.checkpoints)
    for leftover in ("journal", "checkpoints", "artifacts"):
        shutil.rmtree(root / leftover, ignore_errors=True)
    watch.wall["rest"] = seconds - watch.wall.total()
    counts = (now - then for now, then in zip(after, before, strict=True))
    return Measured(*counts, seconds, cpu, watch)


# What is timed, as which part. Checkpoints and versions are copied by the loop, and written beside it.
PARTS: dict[tuple[object, str], str] = {
    (FileEventReader, "read"): "read",
    (intake, "RecordedPrediction"): "decode",
    (intake, "decode_event"): "decode",
    (Intake, "take_in"): "join",
    (Intake, "finish"): "join",
    (training_state, "batch_of"): "assemble",
    (Scoreboard, "update"): "test",
    (Prequential, "update"): "test",
    (RowStore, "read"): "gather",
    (RowStore, "learn"): "update",
    (Learner, "test_and_learn"): "dense",
    (LogJournal, "append"): "commit",
    (Checkpointing, "begin"): "commit",
    (TrainingState, "take_off"): "delta",
}


def _figures(
    figures: Figures, name: str, source: Source, batch: int, examples: int, target: float | None = None
) -> float:
    """Rate, processor time and counts; then, from a second and shorter run, times of the loop's thread by part."""
    run = measured(source, batch, examples, parts=False)
    figures.add(name, run.rate, "1/s", None if target is None else at_least(target))
    figures.add(f"{name}_cpu.process", run.cpu / run.examples * 1e6, "us/example")
    figures.add(f"{name}_counts.examples_per_step", run.examples / max(1, run.steps), "")
    figures.add(f"{name}_counts.versions", run.versions, "")
    figures.add(f"{name}_counts.checkpoints", run.checkpoints, "")
    timed = measured(source, batch, examples // 2, parts=True)
    for kind, times in (("cpu", timed.watch.cpu), ("wall", timed.watch.wall)):
        for part, seconds in sorted(times.items()):
            figures.add(f"{name}_{kind}.{part}", seconds / timed.examples * 1e6, "us/example")
    return run.rate


def _label() -> ml.Binary:
    return ml.Binary(CLICK, f"{WINDOW_SECONDS}s")


def _no_pause() -> None:
    pass


def main() -> None:
    """Prints the figures, and writes out/bench/training_pipeline.json."""
    figures = Figures()
    pipeline(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/training_pipeline.json"))


if __name__ == "__main__":
    main()
