"""A lineage's first entry, and the fresh state that it begins with."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.manifest import spec_digest
from martlet.runtime.config import Config
from martlet.runtime.learning_config import changed_setting, plain_learning
from trainer_svc.event_source import EventSource
from trainer_svc.export.exporter import Exporter
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import Began
from trainer_svc.learner import Learner
from trainer_svc.lineages.model import learning_digest
from trainer_svc.strategies.lineage_settings import settings_of
from trainer_svc.training_ports import AsTheyAre, LetterPort, Preparing
from trainer_svc.training_state import TrainingState

logger = logging.getLogger(__name__)


def beginning(model: ml.Model, config: Config, lineage: str) -> Began:
    """The first entry of a new lineage."""
    settings = config.trainer
    return Began(
        lineage=lineage,
        model=model.name,
        model_ref=settings.model,
        spec_digest=spec_digest(model.spec),
        learning_digest=learning_digest(model),
        batch_examples=settings.batch_examples,
        initial_buckets=settings.initial_buckets,
        threads=settings.threads,
        dedup_window_seconds=settings.dedup_window_seconds,
        recent_requests=settings.recent_requests,
        table_dtype=settings.table_dtype,
        delta_encoding=settings.delta_encoding,
        exact_repair_every=settings.exact_repair_every,
        learning=without_strategy(plain_learning(config.learning)),
    )


def make_state(
    began: Began,
    model: ml.Model,
    config: Config,
    source: EventSource,
    letters: LetterPort,
    preparing: Preparing = AsTheyAre,
) -> TrainingState:
    """A fresh state for a lineage, with the settings that it began with.

    Raises:
        InvalidInput: the lineage is another model's, or was begun with other settings of learning.
    """
    _check_same(began, model, config)
    settings = settings_of(began.learning)
    learner = Learner(model, began.initial_buckets, began.threads, began.table_dtype, settings.frozen)
    exporter = Exporter(model)
    dedup_us = began.dedup_window_seconds * 1_000_000
    rules = IntakeRules(model.name, model.spec, model.label, dedup_us, settings.earlier)
    return TrainingState(began, rules, learner, lambda: exporter.graph(learner), source, letters, preparing())


def without_strategy(learning: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of learning without those that only say when runs begin: what runs learn enters by another road."""
    return {name: value for name, value in learning.items() if name != "strategy"}


def _check_same(began: Began, model: ml.Model, config: Config) -> None:
    own = beginning(model, config, began.lineage)
    if (began.model, began.spec_digest, began.learning_digest) != (own.model, own.spec_digest, own.learning_digest):
        raise InvalidInput(
            f"{config.data_dir} holds the learning of model {began.model!r} with other features, label or optimizers: "
            "name that model, or another data directory"
        )
    changed = changed_setting(without_strategy(began.learning), own.learning)
    if changed:
        raise InvalidInput(
            f"bad setting: {config.data_dir} holds learning with another {changed}: put it back, or name another data "
            "directory"
        )
    if msgspec.structs.replace(began, learning=own.learning) != own:
        logger.warning("settings of learning have changed; they take effect in a new data directory")
