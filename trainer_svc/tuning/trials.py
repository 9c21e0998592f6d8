"""One trial: a model with its settings passes over the log, and its folds are measured. A failure is a result, too."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from martlet.clock import SystemClock
from martlet.runtime.config import Config
from trainer_svc.audit import NoLetters
from trainer_svc.evaluation.log_readers import log_readers
from trainer_svc.event_source import EventSource
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.lineages.model import load_model
from trainer_svc.lineages.pace import CACHE_BYTES, RECORDS_FOR_AN_EXAMPLE
from trainer_svc.lineages.state import beginning, make_state
from trainer_svc.record_weight import weigher
from trainer_svc.tuning.folds import FoldRows, fold_figures
from trainer_svc.tuning.progressive import Course, ProgressivePass
from trainer_svc.tuning.settings import configured
from trainer_svc.tuning.space import Settings

logger = logging.getLogger(__name__)
LINEAGE: Final = "tune"


@dataclass(frozen=True, slots=True)
class Stage:
    """What all trials of a search share.

    Attributes:
        config: the settings that are not searched.
        ends: partition → position where the log ends for the search.
        now_us: when the log is read, for all trials alike.
        edges: of the folds, microseconds since 1970.
        metric: what is to be good.
        numbers: the label is a number.
    """

    config: Config
    ends: Mapping[str, int]
    now_us: int
    edges: tuple[int, ...]
    metric: str
    numbers: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial to run. Plain values: it may run in another process."""

    number: int
    settings: Settings
    stage: Stage


class TrialResult(msgspec.Struct, frozen=True):
    """What came of a trial.

    Attributes:
        value: mean of the metric over the folds; None: it failed, or a fold has no such figure.
        spread: standard deviation of the metric over the folds (of the population: what folds there are).
        folds: figures of each fold.
        error: why it failed, in one line; "" if it did not.
    """

    number: int
    settings: Settings
    value: float | None
    spread: float | None
    folds: list[dict[str, float | None]] = []
    error: str = ""


def run_trial(trial: Trial) -> TrialResult:
    """Runs it; whatever goes wrong becomes the result's error."""
    try:
        found = fold_figures(_passed(trial), trial.stage.edges, numbers=trial.stage.numbers)
    except Exception as error:  # one bad setting must not end a search
        logger.debug("trial %d failed", trial.number, exc_info=True)
        return TrialResult(trial.number, trial.settings, None, None, [], f"{type(error).__name__}: {error}")
    values = [fold[trial.stage.metric] for fold in found]
    told = [{name: value if math.isfinite(value) else None for name, value in fold.items()} for fold in found]
    if not all(math.isfinite(value) for value in values):
        return TrialResult(trial.number, trial.settings, None, None, told, _why(found, trial.stage.metric))
    middle = sum(values) / len(values)
    spread = math.sqrt(sum((value - middle) ** 2 for value in values) / len(values))
    return TrialResult(trial.number, trial.settings, middle, spread, told)


def _passed(trial: Trial) -> FoldRows:
    stage = trial.stage
    config = configured(stage.config, trial.settings)
    model, label, batch = load_model(config), load_model(stage.config).label.main, config.trainer.batch_examples
    with log_readers(config, SystemClock(), 4) as readers:
        weigh = weigher(model.spec.layout, model.label.main)
        source = EventSource(readers[0], readers[1], config.trainer.read_bytes, CACHE_BYTES, weigh)
        again = EventSource(readers[2], readers[3], config.trainer.read_bytes, CACHE_BYTES)
        state = make_state(beginning(model, config, LINEAGE), model, config, source, NoLetters())
        dedup_us = config.trainer.dedup_window_seconds * 1_000_000
        judge = Intake(IntakeRules(model.name, model.spec, label, dedup_us), again.payload, mature=True)
        course = Course(
            stage.ends, stage.now_us, stage.edges[0], label.window_us, RECORDS_FOR_AN_EXAMPLE * batch, batch
        )
        return ProgressivePass(state, judge, source, again).run(course)


def _why(found: list[dict[str, float]], metric: str) -> str:
    bad = [number for number, fold in enumerate(found) if not math.isfinite(fold[metric])]
    fold = found[bad[0]]
    if not fold["examples"]:
        return f"fold {bad[0]} has no labels"
    return f"fold {bad[0]} has no {metric}: labels of one kind only, or learning that went beyond all bounds"
