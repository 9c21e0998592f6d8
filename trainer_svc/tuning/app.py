"""Composition of a search: looks the log over, opens the results file, and has the trials run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

import martlet.learn as ml
from martlet.clock import SystemClock
from martlet.errors import Corrupt, InvalidInput, NotFound
from martlet.runtime.config import Config
from martlet.wire.recorded import RecordedPrediction, RecordKind, record_kind
from trainer_svc.batch_engine import BatchEngine
from trainer_svc.evaluation.log_readers import log_readers
from trainer_svc.intake import LATENESS_US
from trainer_svc.lineages.model import load_model
from trainer_svc.tuning.folds import direction, fold_edges
from trainer_svc.tuning.results import ResultsFile, SearchHead, check_same
from trainer_svc.tuning.search import search_of
from trainer_svc.tuning.settings import TRAINER_SETTINGS, configured, full_path
from trainer_svc.tuning.space import Space
from trainer_svc.tuning.trials import Stage, TrialResult
from trainer_svc.tuning.tuning import Effort, tuned

_READ_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """One search.

    Attributes:
        metric: to be good; "": log-loss, or RMSE of a number.
        results: the file that it is recorded in.
    """

    space: Space
    folds: int
    search: str
    seed: int
    metric: str
    effort: Effort
    results: Path


def tune(
    config: Config, plan: Plan, engine: BatchEngine, shown: Callable[[TrialResult], None]
) -> tuple[SearchHead, list[TrialResult]]:
    """Searches, or goes on with a search that was begun; gives what was searched and all results.

    Raises:
        InvalidInput: a setting that cannot be tuned, too short a log, or the results file is another search's.
        NotFound: the log is empty.
    """
    model = load_model(config)
    _check(plan.space, config)
    numbers = model.label.main.link == "identity"
    metric = plan.metric or ("rmse" if numbers else "logloss")
    more_is_better = direction(metric, numbers=numbers)
    file = ResultsFile(plan.results)
    begun = file.begun()
    head = _head(config, plan, metric, model, begun)
    if begun is None:
        file.begin(head)
    stage = Stage(config, head.ends, head.now_us, head.edges, metric, numbers)
    search = search_of(plan.search, plan.space, plan.seed, more_is_better=more_is_better)
    return head, tuned(search, plan.effort, stage, engine, file, shown)


def _check(space: Space, config: Config) -> None:
    """A setting that does not exist fails before the first trial, not in each of them."""
    for path in space.axes:
        full_path(path)
    load_model(configured(config, space.drawn(0, 0)))


def _head(config: Config, plan: Plan, metric: str, model: ml.Model, begun: SearchHead | None) -> SearchHead:
    ends, times = (begun.ends, None) if begun is not None else _looked_over(config, model)
    if begun is not None:
        now_us, edges = begun.now_us, begun.edges
    else:
        assert times is not None
        edges = fold_edges(times, plan.folds)
        now_us = int(times.max()) + 2 * model.label.window_us + LATENESS_US
    wanted = SearchHead(
        config.trainer.model, _plain(config), plan.space.plain(), plan.search, plan.seed, plan.effort.per_round,
        plan.folds, metric, ends, now_us, edges,
    )  # fmt: skip
    if begun is not None:
        check_same(begun, wanted, plan.results)
    return wanted


def _plain(config: Config) -> dict[str, Any]:
    """The settings that learning depends on."""
    trainer = {name: getattr(config.trainer, name) for name in sorted(TRAINER_SETTINGS)}
    plain: dict[str, Any] = msgspec.to_builtins({"learning": config.learning, "trainer": trainer})
    return plain


def _looked_over(config: Config, model: ml.Model) -> tuple[dict[str, int], np.ndarray[Any, np.dtype[np.int64]]]:
    """Where each partition ends, and the event times of the model's answers."""
    times: list[int] = []
    with log_readers(config, SystemClock(), 1) as (reader,):
        ends = {name: reader.end(name) for name in reader.partitions()}
        for partition, end in ends.items():
            start = 0
            while start < end:
                for record in reader.read(partition, start, _READ_BYTES):
                    start = record.end
                    if start <= end:
                        times += _time_of(record.payload, model.name)
    if not times:
        raise NotFound(f"the log holds no answers of model {model.name!r}: there is nothing to tune on")
    return ends, np.array(times, np.int64)


def _time_of(payload: bytes, model: str) -> list[int]:
    if record_kind(payload) is not RecordKind.PREDICTION:
        return []
    try:
        prediction = RecordedPrediction(payload)
    except (Corrupt, InvalidInput):
        return []
    return [prediction.time_us] if prediction.model == model else []
