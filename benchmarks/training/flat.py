"""`python -m benchmarks.training.flat`: an update costs the same however long the history, however large the table.

Processor time of one example in a step, a commit (the copy and the writing of a checkpoint's change) and a delta (what
changed since the last publish). Two plots under out/bench. QUICK=1: shorter, smaller.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures, at_most
from benchmarks.training.crash_model import WIDE
from benchmarks.training.line_plot import Series, line_plot
from martlet.feature_encoding import RankInput, encode
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import Checkpoint, changed_since
from trainer_svc.learner import Batch, Learner

BATCH: Final = 256
LOAD: Final = 0.7
COMMIT_STEPS: Final = 20
SLOTS: Final = 4
PREFIX: Final = "rows/{}/"
FLATTEST: Final = 1.5  # the dearest against the cheapest, over all of a curve


@dataclass(frozen=True, slots=True)
class Size:
    """Rows of the tables that are compared, the last one with a history of `blocks` blocks of so many commits."""

    rows: tuple[int, ...]
    commits: int
    blocks: int


QUICK = Size(rows=(10_000, 100_000, 1_000_000), commits=2, blocks=10)
FULL = Size(rows=(100_000, 1_000_000, 10_000_000), commits=10, blocks=10)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time for one example."""

    step: float
    commit: float
    delta: float

    @property
    def total(self) -> float:
        """All three."""
        return self.step + self.commit + self.delta


class Training:
    """A learner with so many rows, its checkpoints, and batches about ids that are known, so that no table grows."""

    def __init__(self, rows: int, folder: Path) -> None:
        self._dice = np.random.default_rng(rows)
        self._rows = rows
        self._steps = 0
        self._learner = Learner(WIDE, int(rows / LOAD / SLOTS))
        (self._table,) = self._learner.tables.values()
        keys = np.arange(rows, dtype=np.int64) + np.int64(WIDE.spec.salts["item"])
        space = list(WIDE.spec.salts).index("item")
        for part in np.array_split(keys, max(1, rows // 1_000_000)):
            self._table.upsert(part, np.full(part.shape[0], space, np.uint16), np.ones(part.shape[0], np.int64), 1)
        self._table.tracker.take()
        self._table.tracker.acknowledge()
        self._store = FolderCheckpoints(folder / str(rows), 3)
        self._table.tracker.take_unsaved()
        self._store.write(Checkpoint(0, 0, self._learner.state()))
        self._table.tracker.saved()
        self.run(2)  # what is compiled or allocated once

    def run(self, commits: int) -> Cost:
        """Learns, commits and takes deltas; gives their mean cost."""
        spent = np.zeros(3)
        for _ in range(commits):
            batches = list(self._batches())
            marks = [time.process_time()]
            for batch in batches:
                self._learner.learn(batch, self._steps)
            marks.append(time.process_time())
            self._commit()
            marks.append(time.process_time())
            self._table.changed(self._table.tracker.take())
            self._table.tracker.acknowledge()
            marks.append(time.process_time())
            spent += np.diff(marks)
        return Cost(*(spent * 1e6 / (commits * COMMIT_STEPS * BATCH)).tolist())

    def _batches(self) -> Iterator[Batch]:
        for _ in range(COMMIT_STEPS):
            self._steps += 1
            items = self._dice.integers(0, self._rows, BATCH).tolist()
            block = encode(WIDE.spec, RankInput(self._steps % 1000, {}, items, [{"item.price": 1.0}] * BATCH))
            labels = self._dice.integers(0, 2, BATCH).astype(np.float32)
            yield Batch(block, labels, np.ones(BATCH, np.float32))

    def _commit(self) -> None:
        prefix = PREFIX.format(self._table.name)
        unsaved = {prefix: self._table.tracker.take_unsaved()}
        self._store.extend(changed_since(self._learner.state(), unsaved, self._steps, self._steps))
        self._table.tracker.saved()


def flat(figures: Figures, size: Size, folder: Path, plots: Path) -> None:
    """Costs over the table's size and over the history's length."""
    by_rows: list[Cost] = []
    for rows in size.rows:
        training = Training(rows, folder)
        by_rows.append(training.run(size.commits))
        figures.add(f"flat.rows_{rows}_us", by_rows[-1].total, "us per example")
    by_length = [training.run(size.commits) for _ in range(size.blocks)]
    figures.add("flat.history_first_us", by_length[0].total, "us per example")
    figures.add("flat.history_last_us", by_length[-1].total, "us per example")
    figures.add("flat.over_rows", _spread(by_rows), "ratio", at_most(FLATTEST))
    half = size.blocks // 2
    later = _mean(by_length[half:]) / _mean(by_length[:half])
    figures.add("flat.over_history", later, "ratio", at_most(FLATTEST))
    plots.mkdir(parents=True, exist_ok=True)
    lengths = [(number + 1) * size.commits * COMMIT_STEPS * BATCH for number in range(size.blocks)]
    _plot(plots / "flat_rows.svg", "rows of the table", list(size.rows), by_rows)
    _plot(plots / "flat_history.svg", "examples learned", lengths, by_length)


def _spread(costs: Sequence[Cost]) -> float:
    totals = [cost.total for cost in costs]
    return max(totals) / min(totals)


def _mean(costs: Sequence[Cost]) -> float:
    return sum(cost.total for cost in costs) / len(costs)


def _plot(path: Path, across: str, at: Sequence[int], costs: Sequence[Cost]) -> None:
    parts = {part: [getattr(cost, part) for cost in costs] for part in ("step", "commit", "delta", "total")}
    series = [Series(part, at, values) for part, values in parts.items()]
    path.write_text(line_plot("Processor time of an update", across, "µs per example", series))


def main() -> None:
    """Measures, writes out/bench/flat.json and the plots."""
    quick, figures = os.environ.get("QUICK", "") not in {"", "0"}, Figures()
    with tempfile.TemporaryDirectory() as folder:
        flat(figures, QUICK if quick else FULL, Path(folder), Path("out/bench"))
    figures.write(Path("out/bench/flat.json"))


if __name__ == "__main__":
    main()
